"""Reports of fake runs: what is said, what is drawn, and that no text of others becomes markup."""

from __future__ import annotations

import json
import re
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from lab.cli.main import run as dnslab
from lab.errors import BadInput, EnvironmentProblem
from lab.experiments.history import FaultWindow, History, HistoryFile, Phase
from lab.experiments.journal import Estimate, Finding, Journal, Outcome
from lab.experiments.run import HISTORY, Run
from lab.report import render, write
from lab.report.scale import points, windows
from tests.fakerun import fake_history, fake_journal, fake_run, fake_trial
from tests.unit.reporttools import Page, check

NASTY = '<script>alert("1")</script> & $x_1$ | `b` \\ "'


def leave(folder: Path, journal: Journal, *histories: History) -> Run:
    """A run as it would be found."""
    folder.mkdir(exist_ok=True)
    journal.write(folder)
    with HistoryFile(folder / HISTORY) as file:
        for history in histories:
            file.begin(history.trial, watched=history.watched)
            for entry in (*history.phases, *history.all_lookups, *history.all_messages, *history.faults):
                file.write(entry)
    return Run.load(folder)


def with_outcome(outcome: Outcome) -> Journal:
    finding = Finding("success(fault) >= 0.99", outcome, "a sentence of its own", Estimate(0.5, 0.4, 0.6, 9, "share"))
    trial = replace(fake_trial(), findings=(finding,), outcome=outcome, why="a sentence of its own")
    return fake_journal().with_trials(trial)


# The page


def test_a_page_shows_the_run(tmp_path: Path) -> None:
    run = fake_run(tmp_path)
    page = check(render(run, "html"))
    journal = run.journal
    for text in (
        journal.title, journal.question, journal.why, journal.command, "stop gtld-1, gtld-2", "baseline", "recovery",
        "What was expected", "75%", "71% to 79%, n = 780", "Linux 6.1.0", "20.10.24", "sha256:aaaa", "no answer to",
        "served: measured and predicted", "1350 from the cache", "✗ stop", "time-out", "seed 1",
    ):  # fmt: skip
        assert text in page.text, text
    assert {"run-topology", "run-measured-served", "t1-rates", "t1-latency", "t1-percentiles", "t1-load"} <= {*page.ids}


def calibration(folder: Path, time: str, started: str, **changes: Any) -> None:
    """A run of `calibration` as it would be found beside another one."""
    figures = {"added": Estimate.exact(0.0416, "s")}
    added = replace(fake_trial(), parameters={"delay": "40ms"}, measurements=figures, outcome="held")
    place = folder / "calibration" / time
    place.mkdir(parents=True)
    replace(fake_journal().with_trials(added), name="calibration", started=started, **changes).write(place)


def test_a_report_cites_the_latest_calibration_of_the_machine(tmp_path: Path) -> None:
    run = fake_run(tmp_path)
    assert "none on this machine; `dnslab run calibration`" in check(render(run, "html")).text
    calibration(tmp_path, "1", "2026-11-24T10:00:00+00:00")
    calibration(tmp_path, "2", "2026-11-25T10:00:00+00:00")
    calibration(tmp_path, "3", "2026-11-25T10:30:00+00:00", environment={"cpus": 64})
    calibration(tmp_path, "4", "2027-01-01T10:00:00+00:00")
    calibration(tmp_path, "5", "2026-11-25T11:00:00+00:00", trials=())
    (tmp_path / "calibration" / "6").mkdir()
    (tmp_path / "calibration" / "latest").symlink_to("4")
    said = "held, 25 November 2026, 10:00 UTC"
    for format in ("html", "markdown"):
        text = check(render(run, format)).text if format == "html" else render(run, format)
        assert said in text
        assert "delay = 40ms: added 41.6 ms" in text
    itself = Run.load(tmp_path / "calibration" / "1")
    assert said not in render(Run(run.folder, itself.journal), "markdown"), "a calibration cites no other"


def test_every_lookup_is_in_the_scatter(tmp_path: Path) -> None:
    run = fake_run(tmp_path)
    drawn = Counter(
        (round(when, 4), question, status, count)
        for when, _took, question, status, _server, count in check(render(run, "html")).points
    )
    lookups = run.histories[0].sorted_lookups
    assert drawn == Counter((round(one.intended, 4), f"{one.name} {one.type}", one.status, 1) for one in lookups)


@pytest.mark.parametrize("outcome", ["held", "deviated", "inconclusive"])
def test_the_verdict_is_first(tmp_path: Path, outcome: Outcome) -> None:
    page = check(render(leave(tmp_path, with_outcome(outcome), fake_history()), "html"))
    head = page.text[: page.text.index("What was expected")]
    assert outcome in head
    assert "a sentence of its own" in head


def test_the_colours_of_a_plot_are_those_of_the_page(tmp_path: Path) -> None:
    text = render(fake_run(tmp_path), "html")
    drawings = text[text.index("<svg") : text.rindex("</svg>")]
    assert "var(--served)" in drawings
    assert "#" not in "".join(
        part.split(";")[0][:8] for part in drawings.split("stroke: ")[1:] + drawings.split("fill: ")[1:]
    )


def test_text_of_others_is_never_markup(tmp_path: Path) -> None:
    history = fake_history()
    history.all_lookups = [replace(one, name=NASTY, server=NASTY) for one in history.all_lookups]
    history.faults = [replace(fault, words=NASTY, got=NASTY, problem=NASTY, fault=NASTY) for fault in history.faults]
    history.phases = [replace(phase, name=f"{NASTY}{place}") for place, phase in enumerate(history.phases)]
    finding = Finding(NASTY, "deviated", NASTY, None, NASTY, note=NASTY)
    trial = replace(
        fake_trial(), findings=(finding,), gate=(finding,), why=NASTY, wrong=(NASTY,), parameters={NASTY: NASTY},
        measurements={NASTY: Estimate.exact(1)}, predictions={NASTY: 2.0},
    )  # fmt: skip
    lab = fake_journal().labs[0]
    lab = replace(lab, nodes=tuple(replace(node, program=NASTY, hostname=NASTY) for node in lab.nodes))
    journal = fake_journal(
        title=NASTY, question=NASTY, says=NASTY, command=NASTY, text=NASTY, environment={NASTY: NASTY}, source=NASTY,
        labs=(lab,), experiment={"published": {NASTY: {"value": NASTY, "source": NASTY}}},
    ).with_trials(trial)  # fmt: skip
    run = leave(tmp_path, journal, history)
    page = check(render(run, "html"))
    assert page.text.count('<script>alert("1")</script>') > 15
    assert [kind for kind, _ in page.scripts] == ["application/json", ""]  # the data and the program, no more
    assert all(point[4] == NASTY for point in page.points)
    names = [case.get("name") for case in ElementTree.fromstring(render(run, "junit")).iter("testcase")]
    assert NASTY in names
    for line in render(run, "markdown").splitlines():  # only as code, where it is nothing but letters
        assert "<script>" not in "".join(re.split(r"``.*?``", line)), line


def test_a_matrix_is_a_table_that_leads_to_its_cells(tmp_path: Path) -> None:
    trials, histories = [], []
    for number, (ttl, resolver) in enumerate(((t, r) for r in ("unbound", "bind") for t in (60, 300, 3600)), 1):
        outcome: Outcome = "held" if ttl > 60 else "deviated"
        measured = Estimate(ttl / 7200, ttl / 8000, ttl / 6000, 100, "share")
        trials.append(
            replace(
                fake_trial(number), parameters={"ttl": ttl, "resolver": resolver}, measurements={"hit": measured},
                predictions={"hit": ttl / 7000}, outcome=outcome,
            )
        )  # fmt: skip
        histories.append(fake_history(number, rate=2))
    journal = fake_journal(experiment={"published": {"hit": 0.8}}).with_trials(*trials)
    run = leave(tmp_path, journal, *histories)
    page = check(render(run, "html"))
    assert {f"trial-{number}" for number in range(1, 7)} <= page.references
    assert "2 deviated" in page.text
    assert "published" in page.text
    text = render(run, "markdown")
    assert "| resolver | 60 | 300 | 3600 |" in text
    assert "| unbound | ✗ 0.833% | ✓ 4.17% | ✓ 50% |" in text


def test_of_many_trials_those_that_deviated_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.report.html.MOST_DRAWN", 2)
    trials = tuple(
        replace(fake_trial(number), parameters={"n": number}, outcome="deviated" if number == 5 else "held")
        for number in range(1, 6)
    )
    run = leave(tmp_path, fake_journal().with_trials(*trials), *(fake_history(n, rate=1) for n in range(1, 6)))
    page = check(render(run, "html"))
    assert "t5-latency" in page.ids
    assert "t2-latency" not in page.ids
    assert "--trial 2" in page.text
    assert "t2-latency" in Page(render(run, "html", trial=2)).ids
    with pytest.raises(BadInput, match="no trial 6"):
        render(run, "html", trial=6)


def test_virtual_time_has_days_on_its_axis(tmp_path: Path) -> None:
    history, day = History(1), 86400.0
    history.phases = [Phase("month", 0.0, 30 * day)]
    history.all_lookups = [
        replace(one, intended=one.intended / 45 * 30 * day, sent=None) for one in fake_history().all_lookups
    ]
    page = check(render(leave(tmp_path, fake_journal(), history), "html"))
    assert "time from the beginning of the first phase, d" in page.text
    assert "Nothing was broken." in page.text


@pytest.mark.parametrize("trials", [0, 1])
def test_a_run_in_which_nothing_was_asked_is_told(tmp_path: Path, trials: int) -> None:
    journal = replace(fake_journal(trials), interrupted=True)
    run = leave(tmp_path, journal, *([History(1)] if trials else []))
    page = check(render(run, "html"))
    assert "interrupted; what was broken has been healed" in page.text
    assert ("No look-up was made" in page.text) == bool(trials)
    assert ElementTree.fromstring(render(run, "junit")).find(".//testcase[@name='the run came to its end']") is not None
    assert "interrupted" in render(run, "markdown")


def test_a_fault_that_never_bit_is_drawn_as_such(tmp_path: Path) -> None:
    history = fake_history()
    history.faults = [replace(history.faults[0], bites_from=None, problem="every probe was answered")]
    page = check(render(leave(tmp_path, fake_journal(), history), "html"))
    for text in ("(stop: no effect)", "stop gtld-1 (no effect)", "every probe was answered"):
        assert text in page.text, text


def test_a_hundred_thousand_lookups_make_a_page_of_bounded_size(tmp_path: Path) -> None:
    history = fake_history(rate=2250)
    assert len(history.sorted_lookups) > 100_000
    run = leave(tmp_path, fake_journal(), history)
    _ = run.histories  # reading 100,000 lines is not what is measured
    began = time.process_time()
    text = render(run, "html")
    assert time.process_time() - began < 30  # 4.0 s of CPU when measured
    assert len(text) < 800_000  # 450 kB when measured
    page = check(text)
    assert len(page.points) <= 3000
    assert sum(point[5] for point in page.points) == len(history.sorted_lookups)


# What is drawn


def test_points_that_share_a_cell_keep_their_counts_and_their_status() -> None:
    lookups = fake_history(rate=200).sorted_lookups
    marks = points(lookups, 300)
    assert 20 < len(marks) <= 300
    counts: Counter[str] = Counter()
    for mark in marks:
        counts[mark.lookup.status] += mark.count
    assert counts == Counter(one.status for one in lookups)


def test_faults_of_one_kind_at_one_time_are_one_window() -> None:
    history = fake_history()
    history.faults.append(FaultWindow("stop", "root-a", "", 40.0, 40.1, 42.0, 42.1))
    first, second = windows(history)
    assert (first.nodes, first.start, first.bites, first.healed) == (("gtld-1", "gtld-2"), 10.0, 10.4, 31.2)
    assert first.words(60) == "stop gtld-1, gtld-2"
    assert first.words(15) == "stop, 2 nodes"
    assert second.nodes == ("root-a",)


# JUnit


def test_junit_has_a_case_for_each_expectation_fault_and_gate(tmp_path: Path) -> None:
    suites = ElementTree.fromstring(render(fake_run(tmp_path), "junit"))
    suite = suites.find("testsuite")
    assert suite is not None
    cases = {case.get("name"): case for case in suite.iter("testcase")}
    assert list(cases) == [
        "steady state", "the fault bit: stop at gtld-1", "the fault bit: stop at gtld-2", "success(fault) >= 0.99",
        "upstream(root, fault) == 0", "recovery_time < 5s", "no answer is wrong",
    ]  # fmt: skip
    counts = {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "7", "failures": "1", "errors": "1", "skipped": "0"}
    assert suite.get("timestamp") == "2026-11-25T16:00:00"
    failure = cases["success(fault) >= 0.99"].find("failure")
    assert failure is not None
    assert "75.0 % of 780" in (failure.get("message") or "")
    assert "measured: 75% (71% to 79% at 99% confidence) of 780 look-ups" in (failure.text or "")
    assert cases["recovery_time < 5s"].find("error") is not None
    assert all(case.get("classname") and case.get("time") for case in cases.values())


@pytest.mark.parametrize("outcome", ["held", "deviated", "inconclusive"])
def test_junit_fails_exactly_when_the_run_did(tmp_path: Path, outcome: Outcome) -> None:
    journal = with_outcome(outcome)
    hidden = replace(journal.trials[0], findings=())  # nothing says why
    for found in (journal, journal.with_trials(hidden)):
        suites = ElementTree.fromstring(render(leave(tmp_path, found, fake_history()), "junit"))
        bad = int(suites.get("failures", 0)) + int(suites.get("errors", 0))
        assert (bad > 0) == (found.exit_code > 0)


def test_junit_has_no_character_that_xml_cannot_have(tmp_path: Path) -> None:
    journal = fake_journal().with_trials(replace(fake_trial(), wrong=("a\x00b\x1b[31m",), correctness={"wrong": 1}))
    text = render(leave(tmp_path, journal, fake_history()), "junit")
    assert "a�b�[31m" in "".join(ElementTree.fromstring(text).itertext())


# The files and the verb


def test_write_leaves_all_reports_beside_the_journal(tmp_path: Path) -> None:
    run = fake_run(tmp_path)
    assert [file.name for file in write(run.folder)] == ["report.html", "junit.xml", "summary.md"]
    assert all((run.folder / name).stat().st_size > 500 for name in ("report.html", "junit.xml", "summary.md"))


def test_the_verb_finds_the_latest_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run = fake_run(tmp_path / "runs")
    for words in ([], ["tld-outage-fake"], [str(run.folder)], ["runs/tld-outage-fake"]):
        assert dnslab(["report", *words, "--markdown", "-"]) == 0
        assert capsys.readouterr().out == render(run, "markdown")
    assert dnslab(["report", "--junit", "j.xml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"] == ["j.xml"]
    assert dnslab(["report", "--png", "pictures", "--svg", "pictures", "--trial", "1"]) == 0
    assert (tmp_path / "pictures" / "latency.png").read_bytes().startswith(b"\x89PNG")
    assert ElementTree.parse(tmp_path / "pictures" / "latency.svg").getroot().tag.endswith("svg")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["report"], "no run is in runs"),
        (["report", "nowhere"], "no run is at nowhere"),
        (["report", "nowhere", "--trial", "0"], "--trial"),
        (["report", "there", "--trial", "7"], "no trial 7"),
        (["report", "there", "--html", "missing/x.html"], "cannot write missing/x.html"),
        (["report", "there", "--html", "-", "--junit", "-"], "only one thing can be printed"),
        (["report", "there", "--png", "there/history.jsonl"], "cannot write into there/history.jsonl"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    leave(tmp_path / "there", fake_journal(), fake_history(rate=1))
    assert dnslab(words) == 4
    found = capsys.readouterr()
    assert said in found.err
    assert "Traceback" not in found.err + found.out


def test_without_matplotlib_the_page_has_everything_but_plots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = fake_run(tmp_path)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    page = check(render(run, "html"))
    assert "pip install 'dnslab[report]'" in page.text
    assert "75%" in page.text
    assert page.points == []
    assert dnslab(["report", str(run.folder), "--png", str(tmp_path / "p")]) == EnvironmentProblem.exit_code
    assert "pip install 'dnslab[report]'" in capsys.readouterr().err
