"""What the experiments that come with dnslab need of the runner; they themselves are run by `make test` afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import BadInput, Lab
from lab.experiments import define, load


def test_a_lab_that_is_not_the_one_declared_is_refused(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"lacks quarter\.example\.com 900 A"):
        load("ttl-hit-rate").run(lab=lab, folder=tmp_path)
    assert list(tmp_path.iterdir()) == [], "nothing is left of what was not begun"


def test_a_round_is_in_flight_together_in_virtual_time(lab: Lab, tmp_path: Path) -> None:
    """A question to silent servers takes its time-out; one after the other, twenty would take twenty times that."""
    rounds = {
        "experiment": "rounds",
        "title": "Twenty at once ask a resolver that has lost its authorities",
        "lab": "textbook",
        "time": "virtual",
        "cache": "flushed",
        "workload": {
            "names": {"each": {"pattern": "p{}.example.com", "count": 20}},
            "rate": "20/10m",
            "arrivals": "rounds",
            "clients": 20,
            "at": "resolver-1",
            "timeout": "1s",
        },
        "phases": {"before": "10m", "after": "20m"},
        "steady_state": ["success(before) >= 70%"],
        "method": [{"fault": "blackhole", "node": ["example-1", "example-2"], "start": "after"}],
        "expect": [{"that": "success(after) == 0", "judged": "value"}],
    }
    found = define(rounds).run(lab=lab, folder=tmp_path)
    assert found.outcome == "held", found.journal.why
    [history] = found.histories
    late = [one.sent - one.intended for one in history.lookups("before") if one.sent is not None]
    assert len(late) == 20
    assert max(late) < 5
    silent = [one for one in history.lookups("after") if one.intended == 1800]
    assert len(silent) == 20
    assert max(one.ended for one in silent) - 1800 < 10
