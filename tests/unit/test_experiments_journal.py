"""What a run leaves behind is found again as it was."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lab.errors import BadInput
from lab.experiments import history as histories
from lab.experiments.history import ALL, RR, Load, Lookup, Mark, Truth, from_json, to_json
from lab.experiments.journal import EXIT_CODES, Estimate, Journal, read
from lab.experiments.run import Run
from tests.fakerun import fake_history, fake_journal, fake_run, fake_trial


def test_a_run_is_found_again_as_it_was_written(tmp_path: Path) -> None:
    run = fake_run(tmp_path, trials=2)
    assert run.journal == fake_journal(2)
    for number, found in enumerate(run.histories, 1):
        made = fake_history(number, number)
        assert found.sorted_lookups == made.sorted_lookups
        assert found.sorted_messages == made.sorted_messages
        assert (found.phases, found.faults, found.marks) == (made.phases, made.faults, made.marks)
        assert found.truths == made.truths
    assert Run.load(tmp_path / "tld-outage-fake" / "latest").journal == run.journal


def test_the_journal_is_json_that_others_can_read(tmp_path: Path) -> None:
    trial = replace(fake_trial(), measurements={"never": Estimate(float("inf"), 1.0, float("inf"), 3, "s")})
    journal = fake_journal().with_trials(trial)
    journal.write(tmp_path)
    text = (tmp_path / "journal.json").read_text()
    plain = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert plain["schema"] == "dnslab-journal/1"
    assert plain["outcome"] == "deviated"
    assert read(tmp_path) == journal


def test_every_record_keeps_its_fields() -> None:
    for entry in (
        Lookup(3, 1.0, None, 0.0, "host", "", "x.", "A", "error", "ERROR"),
        Truth("x.", "A", "NXDOMAIN", negative_ttl=900, since=2.0),
        Lookup(
            1,
            1.0,
            1.1,
            0.2,
            "host",
            "r",
            "x.",
            "A",
            "answer",
            "NOERROR",
            answer=(RR("x.", 1, "A", "192.0.2.1"),),
            ede=(3,),
        ),
        Mark(0.5, "cache", "flushed"),
        Load(0.1, 2.1, "host", "r", 100, {"NOERROR": 99, "TIMEOUT": 1}, 0.001, 0.0001, 0.1, 0.002),
    ):
        assert from_json(json.loads(json.dumps(to_json(entry)))) == entry


def test_the_outcome_of_a_run_is_the_worst_of_its_trials() -> None:
    journal = fake_journal()
    for outcomes, expected in (
        (("held", "held"), "held"),
        (("held", "inconclusive"), "inconclusive"),
        (("held", "inconclusive", "deviated"), "deviated"),
        ((), "inconclusive"),
    ):
        run = journal.with_trials(*(replace(fake_trial(), outcome=outcome) for outcome in outcomes))
        assert run.outcome == expected
        assert run.exit_code == EXIT_CODES[expected]
    held = journal.with_trials(replace(fake_trial(), outcome="held"))
    assert replace(held, interrupted=True).outcome == "inconclusive"
    assert replace(held, problem="the host is gone").outcome == "inconclusive"


def test_a_moment_lies_in_one_phase_or_in_a_transition() -> None:
    history = fake_history()
    assert history.phase_of(5.0) == "baseline"
    assert history.phase_of(10.2) is None
    assert history.phase_of(-1.0) is None
    parts = [len(history.lookups(phase.name)) for phase in history.phases]
    assert all(parts)
    assert sum(parts) < len(history.lookups(ALL))
    assert len(history.lookups(ALL)) == len(history.sorted_lookups)
    with pytest.raises(BadInput, match="no phase 'before'"):
        history.phase("before")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "not a line of a history"),
        ('{"is":"lookup"}', "missing"),
        ('{"is":"poem"}', "'poem'"),
        ('{"is":"mark","time":1,"what":"gate","text":"", "colour":"red"}', "colour"),
    ],
)
def test_a_history_that_cannot_be_read_names_the_line(tmp_path: Path, line: str, told: str) -> None:
    file = tmp_path / "history.jsonl"
    file.write_text(f'{{"trial":1,"watched":true}}\n{line}\n')
    with pytest.raises(BadInput, match=r"history\.jsonl:2: .*" + told):
        histories.load(file)


def test_a_folder_without_a_run_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no run is in"):
        Run.load(tmp_path)
    (tmp_path / "journal.json").write_text('{"schema": "dnslab-journal/9"}')
    with pytest.raises(BadInput, match="dnslab-journal/9"):
        Run.load(tmp_path)
    (tmp_path / "journal.json").write_text("[]")
    with pytest.raises(BadInput, match="not the journal"):
        Run.load(tmp_path)


def test_a_history_as_a_table(tmp_path: Path) -> None:
    run = fake_run(tmp_path)
    try:
        import pandas  # noqa: F401
    except ImportError:
        with pytest.raises(BadInput, match="pandas"):
            _ = run.history
        return
    table = run.history
    assert len(table) == len(run.histories[0].sorted_lookups)
    assert set(table.phase.dropna()) == {"baseline", "fault", "recovery"}
    assert not table[table.phase == "baseline"].latency.isna().any()
    assert len(run.upstream) == len(run.histories[0].all_messages)


def test_journal_from_json_is_exact() -> None:
    assert Journal.from_json(json.loads(json.dumps(fake_journal().to_json()))) == fake_journal()


def test_a_line_that_was_being_written_when_the_run_was_killed_is_left_out(tmp_path: Path) -> None:
    file = fake_run(tmp_path).folder / "history.jsonl"
    whole = histories.load(file)[0]
    file.write_text(file.read_text()[:-10])
    cut = histories.load(file)[0]
    assert len(cut.faults) == len(whole.faults) - 1
