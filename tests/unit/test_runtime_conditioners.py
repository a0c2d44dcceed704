"""Links of a node that has just stopped: its helper is still listed, and no rule is in force."""

from __future__ import annotations

from typing import Any, cast

import pytest

from lab.errors import EnvironmentProblem
from lab.runtime import conditioners, helper
from lab.runtime.conditioners import Conditioners


class _Docker:
    """Docker, of which one node is known, and whether it runs."""

    def __init__(self, running: bool) -> None:
        self._running = running

    def inspect_container(self, _container: str) -> dict[str, Any]:
        return {"State": {"Running": self._running, "StartedAt": "2026-11-25T20:00:00Z"}}


@pytest.fixture(params=[False, True], ids=["stopped", "runs"])
def running(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def links(monkeypatch: pytest.MonkeyPatch, running: bool) -> Conditioners:
    def lost(*_how: object) -> None:
        raise EnvironmentProblem("tld does not run, so it has no link")

    monkeypatch.setattr(conditioners, "Conditioner", lost)
    monkeypatch.setattr(helper, "running", lambda *_how: {"tld": "4711"})
    return Conditioners(cast(Any, _Docker(running)), "minimal", lambda _node: None, {})


def test_a_stopped_node_has_nothing_to_heal(links: Conditioners, running: bool) -> None:
    if running:
        with pytest.raises(EnvironmentProblem, match="no link"):
            links.heal("tld")
    else:
        assert links.heal("tld") == []


def test_a_stopped_node_is_not_disturbed(links: Conditioners, running: bool) -> None:
    if running:
        with pytest.raises(EnvironmentProblem, match="no link"):
            links.disturbed()
    else:
        assert links.disturbed() == {}
