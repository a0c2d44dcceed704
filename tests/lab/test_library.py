"""Experiments that come with dnslab, the quickest of them, for real: each ends in its verdict, and that is `held`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab import Lab
from lab.experiments import load
from lab.faults.active import active

QUICKEST: tuple[tuple[str, dict[str, Any]], ...] = (
    ("ttl-hit-rate", {"resolver": "resolver-1", "lambda_T": 1}),
    ("root-instances", {}),
    ("resolver-outage", {"how": "reject"}),
)


@pytest.mark.parametrize(("name", "parameters"), QUICKEST, ids=[name for name, _ in QUICKEST])
def test_it_holds(lab: Lab, tmp_path: Path, name: str, parameters: dict[str, Any]) -> None:
    found = load(name).run(parameters, lab=lab, quick=True, folder=tmp_path)
    told = "\n".join(f"{finding.text}: {finding.why}" for trial in found.journal.trials for finding in trial.findings)
    assert found.outcome == "held", f"{found.journal.why}\n{told}"
    assert not any(trial.correctness["wrong"] for trial in found.journal.trials)
    assert active(lab) == []
