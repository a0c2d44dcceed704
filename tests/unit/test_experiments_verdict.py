"""What must not pass does not: every way to deviate, and every way in which nothing can be said."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab.experiments.history import RR, FaultWindow, History, HistoryFile, Mark
from lab.experiments.journal import NodeRecord, Trial, read
from lab.experiments.judging import judge as judge_run
from lab.experiments.loading import define
from lab.experiments.run import HISTORY, Run
from lab.experiments.verdict import INTERRUPTED, PROBLEM, condition_holds, judge, names
from lab.experiments.watching import UNSEEN
from tests.fakerun import CACHED, NODES, fake_history, fake_journal, fake_run

BY_NAME: dict[str, NodeRecord] = {node.name: node for node in NODES}
DECLARED: dict[str, Any] = {
    "experiment": "tld-outage-fake",
    "title": "Both TLD servers stop",
    "lab": "textbook",
    "cache": "warm",
    "workload": {"names": ["www.example.com"], "rate": "40/s"},
    "phases": {"baseline": "10s", "fault": "20s", "recovery": "15s"},
    "steady_state": ["success(baseline) >= 0.9"],
    "method": [{"fault": "stop", "node": ["gtld-1", "gtld-2"], "start": "fault"}],
    "expect": ["success(fault) >= 0.6", "upstream(root, fault) == 0", "recovery_time < 5s"],
    "measurements": {"served": "success(fault)"},
    "predictions": {"served": "3 / 4"},
}


def judged(history: History | None = None, **changes: Any) -> Trial:
    experiment = define({**DECLARED, **changes}).experiment({})
    trial = Trial(1, {}, 1, 1, "2026-11-25T16:00:00+00:00", 47.3)
    return judge(experiment, trial, history or fake_history(), BY_NAME)


def test_held() -> None:
    found = judged()
    assert found.outcome == "held", found.why
    assert "2 faults bit, all 3 held" in found.why
    assert found.measurements["served"].value == pytest.approx(0.742, abs=0.001)
    assert found.predictions == {"served": 0.75}
    assert found.correctness["wrong"] == 0
    assert found.correctness["unanswered"] > 0


@pytest.mark.parametrize(
    "expectation",
    ["success(fault) >= 0.99", "success(fault) <= 0.5", "upstream(tld, baseline) == 0", "p99(latency, fault) < 1s",
     "hit_ratio(baseline) > 0.9", "served == 0", "abs(served - 0.5) <= 0.1"],
)  # fmt: skip
def test_a_missed_expectation_deviates(expectation: str) -> None:
    found = judged(expect=["upstream(root, fault) == 0", expectation])
    assert found.outcome == "deviated"
    assert found.why.startswith(f"{expectation}: ")
    assert [one.outcome for one in found.findings] == ["held", "deviated"]


def without(history: History, phase: str) -> History:
    history.phases = [one for one in history.phases if one.name != phase]
    return history


def windows(change: Callable[[FaultWindow], FaultWindow]) -> History:
    history = fake_history()
    history.faults[0] = change(history.faults[0])
    return history


def marked(what: str, text: str) -> History:
    history = fake_history()
    history.add(Mark(20.0, what, text))
    return history


def fewer_faults() -> History:
    history = fake_history()
    history.faults.pop()
    return history


@pytest.mark.parametrize(
    ("history", "told"),
    [
        (lambda: marked(INTERRUPTED, "it was interrupted"), "it was interrupted"),
        (lambda: marked(PROBLEM, "after healing gtld-1 is stopped"), "after healing"),
        (lambda: windows(lambda one: replace(one, bites_from=None, problem="no")), "had no effect: no"),
        (lambda: windows(lambda one: replace(one, lasted=False, problem="it ended")), "had no effect: it ended"),
        (lambda: windows(lambda one: replace(one, bites_from=30.1, ended=31.1)), "bit only between phases"),
        (lambda: without(fake_history(), "recovery"), "did not come to its end"),
        (fewer_faults, "1 of 2 faults were injected"),
    ],
)  # fmt: skip
def test_where_nothing_can_be_said_it_is_inconclusive(history: Callable[[], History], told: str) -> None:
    found = judged(history(), expect=["success(fault) >= 0.99"])  # which would deviate
    assert found.outcome == "inconclusive"
    assert told in found.why


def test_a_gate_that_is_not_met_is_inconclusive() -> None:
    found = judged(steady_state=["success(baseline) >= 0.99", "hit_ratio(baseline) < 0.1"])
    assert found.outcome == "inconclusive"
    assert "the gate was not met" in found.why
    assert [one.outcome for one in found.gate] == ["inconclusive", "deviated"]


def test_too_few_samples_are_inconclusive_and_it_is_said_how_many_would_do() -> None:
    found = judged(expect=["success(baseline) >= 0.99"])
    assert found.outcome == "inconclusive"
    assert "too few samples: 657 would do" in found.why
    asked = judged(expect=[{"that": "success(baseline) >= 0.9", "samples": 5000}])
    assert asked.outcome == "inconclusive"
    assert "5000 samples were asked for, and there are 373" in asked.why


def test_judged_by_the_value_the_interval_does_not_count() -> None:
    assert judged(expect=[{"that": "success(baseline) >= 0.99", "judged": "value"}]).outcome == "held"
    assert judged(expect=[{"that": "success(fault) >= 0.75", "judged": "value"}]).outcome == "deviated"


def test_a_less_confident_experiment_needs_fewer_samples() -> None:
    assert judged(expect=["success(baseline) >= 0.99"], confidence="90%").outcome == "held"


def test_what_was_not_seen_proves_nothing() -> None:
    found = judged(marked(UNSEEN, "12 packets were lost"), expect=["upstream(root, fault) == 0"])
    assert found.outcome == "inconclusive"
    assert "not recorded" in found.why


def test_a_wrong_answer_deviates_whatever_else() -> None:
    history = marked(INTERRUPTED, "it was interrupted")
    place = next(place for place, one in enumerate(history.all_lookups) if one.name == CACHED and one.n > 5)
    lie = (RR(CACHED, 3600, "A", "192.0.2.66"),)
    history.all_lookups[place] = replace(history.all_lookups[place], answer=lie)
    found = judged(history)
    assert found.outcome == "deviated"
    assert found.why.startswith("1 wrong answer: www.example.com. A")
    assert len(found.wrong) == 1


def test_without_expectations_only_a_lie_deviates() -> None:
    found = judged(expect=[])
    assert found.outcome == "held"
    assert "nothing was expected" in found.why


def test_a_condition_is_judged_by_what_is_known_so_far() -> None:
    experiment = define(DECLARED).experiment({})
    from lab.experiments.verdict import case_of

    history = fake_history()
    history.watched = False
    case = case_of(experiment, history, BY_NAME)
    known = names(experiment, {}, case)
    assert condition_holds("failures(fault) >= 10", case, known)
    assert not condition_holds("failures(fault) >= 10000", case, known)
    assert not condition_holds("upstream(root, fault) == 0", case, known), "messages are not known yet"


def test_a_run_is_judged_again_from_its_files(tmp_path: Path) -> None:
    run = fake_run(tmp_path)
    text = json.dumps(DECLARED)  # which is YAML, too
    fake_journal(text=text, experiment=DECLARED).write(run.folder)
    again = judge_run(run.folder)
    assert again.journal.trials[0].outcome == "held"
    assert read(run.folder) == again.journal
    assert judge_run(run.folder).journal == again.journal


def test_a_run_whose_history_was_changed_gets_another_verdict(tmp_path: Path) -> None:
    run = fake_run(tmp_path)
    fake_journal(text=json.dumps(DECLARED), experiment=DECLARED).write(run.folder)
    lines = (run.folder / HISTORY).read_text().splitlines()
    (run.folder / HISTORY).write_text(
        "\n".join(line.replace("192.0.2.80", "192.0.2.81", 1) if '"lookup"' in line else line for line in lines)
    )
    assert judge_run(run.folder).outcome == "deviated"


def test_a_history_is_written_as_it_happens(tmp_path: Path) -> None:
    history = fake_history()
    with HistoryFile(tmp_path / HISTORY) as file:
        file.begin(1, watched=True)
        for entry in history.phases:
            file.write(entry)
    fake_journal().write(tmp_path)
    assert Run.load(tmp_path).histories[0].phases == history.phases


def test_a_time_in_an_expectation_keeps_its_fraction() -> None:
    found = judged(expect=["within(500ms, baseline) >= 95%", "within(0.1ms, baseline) <= 50%"])
    assert [finding.outcome for finding in found.findings] == ["held", "held"]
