"""dnslab run and dnslab experiment, as far as they need no lab."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from lab.cli.main import run
from lab.errors import BadInput, EnvironmentProblem
from lab.experiments.journal import EXIT_CODES, Outcome
from lab.experiments.loading import Source, load, names
from lab.experiments.run import HISTORY, LATEST, Run
from tests.fakerun import fake_journal, fake_run, fake_trial

Told = tuple[int, str, str]


class Child:
    """In place of a process that runs a group of experiments; it is over at once."""

    returncode = 0

    def communicate(self) -> tuple[None, str]:
        return None, ""

    def poll(self) -> int:
        return self.returncode


@pytest.fixture
def dnslab(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Told]:
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> Told:
        code = run(list(arguments))
        return code, *capfd.readouterr()

    return call


def test_the_library_is_listed(dnslab: Callable[..., Told]) -> None:
    code, out, _ = dnslab("experiment", "list")
    assert code == 0
    assert "tld-outage " in out
    code, out, _ = dnslab("experiment", "list", "--json")
    assert {"tld-outage", "ttl-hit-rate"} <= {one["experiment"] for one in json.loads(out)}


def test_an_experiment_is_shown(dnslab: Callable[..., Told]) -> None:
    code, out, _ = dnslab("experiment", "show", "tld-outage")
    assert code == 0
    assert "success(fault) >= ${least}" in out, "brackets and all, as in the file"
    assert json.loads(dnslab("experiment", "show", "tld-outage", "--json")[1])["trials"] == 4


def test_a_new_experiment_is_sound_and_can_be_foreseen(dnslab: Callable[..., Told]) -> None:
    assert dnslab("experiment", "new", "mine")[0] == 0
    assert dnslab("experiment", "validate", "mine.yaml")[:2] == (0, "mine is sound: 1 trial.\n")
    code, out, _ = dnslab("run", "mine.yaml", "--dry-run")
    assert code == 0
    assert "fault: example-1 is stopped" in out
    [trial] = json.loads(dnslab("run", "mine.yaml", "--dry-run", "--json")[1])
    assert trial["steps"][-1] == "expected: recovery_time < 2s"


def test_every_measure_is_listed_once(dnslab: Callable[..., Told]) -> None:
    lines = dnslab("experiment", "measures")[1].splitlines()
    assert len(lines) == len(set(lines))
    assert sum("p100" in line for line in lines) == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run"], "which experiment?"),
        (["run", "tld-outge"], "did you mean 'tld-outage'?"),
        (["run", "nothing.yaml"], "there is no experiment file"),
        (["run", "tld-outage", "--dry-run", "--param", "how"], "write it as --param key=value"),
        (["run", "tld-outage", "--dry-run", "--param", "hwo=stop"], "did you mean 'how'?"),
        (["run", "tld-outage", "--dry-run", "--param", "how=nonsense"], "no fault 'nonsense'"),
        (["run", "tld-outage", "--dry-run", "--param", "how=a", "--param", "how=b"], "given twice"),
        (["run", "ttl-hit-rate", "--dry-run", "--repeats", "900"], "1000 trials are the most"),
        (["run", "--judge", "."], "no run is in"),
        (["run", "all", "--lab", "mine"], "no --param, --lab or --dry-run"),
        (["run", "caching", "distance", "--dry-run"], "no --param, --lab or --dry-run"),
        (["run", "all", "--param", "how=stop"], "no --param, --lab or --dry-run"),
        (["run", "tld-outage", "--jobs", "2"], "--jobs is for several experiments"),
        (["experiment", "new", "No Name"], "cannot be the name"),
    ],
)
def test_bad_input_ends_with_4_and_says_why(arguments: list[str], told: str, dnslab: Callable[..., Told]) -> None:
    code, out, err = dnslab(*arguments)
    assert code == 4
    assert told in err
    assert "Traceback" not in out + err


def test_mistakes_are_told_as_in_a_lab_file(dnslab: Callable[..., Told]) -> None:
    Path("bad.yaml").write_text("experiment: bad\ntitle: x\nlab: textbook\ncahce: warm\n")
    code, out, err = dnslab("experiment", "validate", "bad.yaml", "--json")
    assert code == 4
    assert err.startswith("dnslab: 4 problems in the experiment file\nbad.yaml:")
    assert "bad.yaml:4: cahce: unknown key 'cahce'; did you mean 'cache'?" in err
    assert {"line": 4, "place": "cahce", "text": "unknown key 'cahce'; did you mean 'cache'?"} in json.loads(out)[
        "problems"
    ]


def test_what_a_quick_run_would_stumble_over_is_told_too(dnslab: Callable[..., Told]) -> None:
    assert dnslab("experiment", "new", "mine")[0] == 0
    file = Path("mine.yaml")
    file.write_text(file.read_text() + "quick: {cache: hot}\n")
    code, _, err = dnslab("experiment", "validate", "mine.yaml")
    assert code == 4
    assert "cache: 'cold', 'flushed' or 'warm' is wanted here (got 'hot')" in err


def test_a_file_without_a_quick_form_has_no_quick_run(dnslab: Callable[..., Told], tmp_path: Path) -> None:
    text = load("tld-outage").text
    (tmp_path / "whole.yaml").write_text(text[: text.index("quick:")])
    ended, _, err = dnslab("run", "whole.yaml", "--dry-run", "--quick")
    assert ended == BadInput.exit_code
    assert "has no `quick`" in err


def test_all_of_the_library_has_a_quick_form() -> None:
    assert [name for name in names() if not load(name).has_quick] == []


@pytest.mark.parametrize(("outcome", "code"), [("held", 0), ("deviated", 1), ("inconclusive", 2)])
def test_the_verdict_is_the_exit_code(
    outcome: Outcome, code: int, dnslab: Callable[..., Told], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = fake_run(tmp_path)
    judged = replace(found, journal=fake_journal().with_trials(replace(fake_trial(), outcome=outcome, why="because")))
    monkeypatch.setattr("lab.experiments.judging.judge", lambda _folder: judged)
    ended, out, _ = dnslab("run", "--judge", str(found.folder))
    assert ended == code
    assert f"{outcome}: because" in out
    ended, out, _ = dnslab("run", "--judge", str(found.folder), "--json")
    assert (ended, json.loads(out)["outcome"]) == (code, outcome)


@pytest.mark.parametrize(
    ("outcomes", "code", "told"),
    [
        (("held", "held"), 0, "held: 2 held in "),
        (("inconclusive", "held"), 2, "inconclusive: 1 inconclusive, 1 held in "),
        (("inconclusive", "deviated"), 1, "deviated: 1 deviated, 1 inconclusive in "),
    ],
)
def test_all_are_run_and_the_worst_counts(
    outcomes: tuple[Outcome, ...],
    code: int,
    told: str,
    dnslab: Callable[..., Told],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, Path, bool]] = []

    def run_one(source: Source, *, folder: Path, quick: bool, **_: object) -> Run:
        found = fake_run(folder / source.name)
        trial = replace(fake_trial(), outcome=outcomes[len(asked)], why="because")
        asked.append((source.name, folder, quick))
        return replace(found, journal=fake_journal().with_trials(trial))

    monkeypatch.setattr("lab.experiments.runner.run", run_one)
    monkeypatch.setattr("lab.experiments.loading.names", lambda: ["ttl-hit-rate", "distance"])
    monkeypatch.setenv("DNSLAB_RUNS", str(tmp_path / "kept"))
    monkeypatch.setenv("DNSLAB_LAB", "of-somebody")
    ended, out, _ = dnslab("run", "all", "--quick")
    assert ended == code
    assert sorted(asked) == [("distance", tmp_path / "kept", True), ("ttl-hit-rate", tmp_path / "kept", True)]
    assert told in out
    assert list((tmp_path / "kept").glob("distance/*/*/report.html"))


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_one_that_cannot_go_on_does_not_keep_the_others_from_it(
    jobs: str, dnslab: Callable[..., Told], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = {
        "dike": replace(fake_journal(), name="dike", problem="the network is full"),
        "root-bypass": replace(fake_journal(), name="root-bypass"),
    }

    def run_one(source: Source, *, folder: Path, **_: object) -> Run:
        place = folder / source.name / LATEST
        place.mkdir(parents=True)
        (place / HISTORY).touch()
        runs[source.name].write(place)
        if runs[source.name].problem:
            raise EnvironmentProblem(runs[source.name].problem)
        return Run.load(place)

    class OneFails(Child):
        def __init__(self, command: list[str], **_: object) -> None:
            self.returncode = 3 if "dike" in command[4] else 0
            with suppress(EnvironmentProblem):
                run_one(load(command[4]), folder=tmp_path / "kept")

    monkeypatch.setattr("lab.experiments.runner.run", run_one)
    monkeypatch.setattr("lab.cli.library.subprocess.Popen", OneFails)
    ended, out, _ = dnslab("run", "dike", "root-bypass", "--jobs", jobs, "--runs", str(tmp_path / "kept"))
    assert ended == EnvironmentProblem.exit_code
    assert "failed dike, " in out
    assert ": the network is full" in out
    assert "deviated root-bypass, " in out
    assert "failed: 1 failed, 1 deviated in " in out


def test_what_runs_beside_others_is_the_file_that_was_meant(
    dnslab: Callable[..., Told], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the one of the library that is called the same, nor on the lab that somebody works with."""
    mine = tmp_path / "mine.yaml"
    mine.write_text(load("dike").text.replace("labs/dike.yaml", str(Path(load("dike").file).parent / "labs/dike.yaml")))
    started: list[tuple[list[str], Mapping[str, str]]] = []

    class Noted(Child):
        def __init__(self, command: list[str], *, env: Mapping[str, str], **_: object) -> None:
            started.append((command, env))

    monkeypatch.setattr("lab.cli.library.subprocess.Popen", Noted)
    found = fake_run(tmp_path / "found")
    monkeypatch.setattr(Run, "load", lambda _folder: found)
    monkeypatch.setenv("DNSLAB_LAB", "of-somebody")
    ended, _, said = dnslab("run", str(mine), "root-bypass", "--jobs", "2", "--runs", str(tmp_path / "kept"))
    assert ended == EXIT_CODES[found.outcome], said
    assert sorted(command[4] for command, _ in started) == sorted([str(mine), load("root-bypass").file])
    assert not any("DNSLAB_LAB" in env for _, env in started)


def test_what_measures_the_machine_runs_before_the_others_and_alone(
    dnslab: Callable[..., Told], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    going: set[str] = set()
    beside: dict[str, set[str]] = {}

    class Going(Child):
        def __init__(self, command: list[str], **_: object) -> None:
            self._name = Path(command[4]).stem
            beside[self._name] = set(going)
            going.add(self._name)

        def communicate(self) -> tuple[None, str]:
            going.remove(self._name)
            return super().communicate()

    monkeypatch.setattr("lab.cli.library.subprocess.Popen", Going)
    found = fake_run(tmp_path / "found")
    monkeypatch.setattr(Run, "load", lambda _folder: found)
    dnslab("run", "single-point-of-failure", "dike", "calibration", "--jobs", "3", "--runs", str(tmp_path / "kept"))
    assert next(iter(beside)) == "calibration"
    assert beside.keys() == {"calibration", "dike", "single-point-of-failure"}
    assert beside["calibration"] == set()
    assert not any("calibration" in others for others in beside.values())
