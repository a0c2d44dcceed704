"""A program in a container, where Docker does not let it begin."""

from __future__ import annotations

from typing import Any

import pytest
from docker.errors import APIError, NotFound

from lab.errors import EnvironmentProblem
from lab.runtime.shell import Shell
from lab.runtime.stream import Stream


class Refusing:
    """Docker, when a container has ended: before the program is made in it, or just after."""

    def __init__(self, error: APIError, *, late: bool) -> None:
        self._error, self._late = error, late

    def exec_create(self, *_: Any, **__: Any) -> dict[str, str]:
        if not self._late:
            raise self._error
        return {"Id": "1"}

    def exec_start(self, *_: Any, **__: Any) -> None:
        raise self._error


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    "error", [APIError("409", explanation="it is not running"), NotFound("404", explanation="none")]
)
def test_a_container_that_has_ended_is_a_problem_that_can_be_read(error: APIError, late: bool) -> None:
    api: Any = Refusing(error, late=late)
    with pytest.raises(EnvironmentProblem, match=rf"did not run `sh` in dnslab.x.root: {error.explanation}; `dnslab"):
        Stream(api, "dnslab.x.root", ["sh"])
    with pytest.raises(EnvironmentProblem, match=r"dnslab\.x\.root"):
        Shell(api, "dnslab.x.root", "root").run("true")
