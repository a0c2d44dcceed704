"""A run: every combination of parameters and every repeat, on a fresh lab or on one that is up; journal and history."""

from __future__ import annotations

import json
import os
import shlex
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.errors import BadInput, EnvironmentProblem, NoEffect
from lab.experiments.history import History, HistoryFile
from lab.experiments.journal import Journal, LabRecord, NodeRecord, Trial
from lab.experiments.loading import MOST_TRIALS, Cell, Source
from lab.experiments.recording import Recorder
from lab.experiments.run import HISTORY, LATEST, Run
from lab.experiments.schema import LabSource
from lab.experiments.verdict import judge
from lab.runtime.events import Event, Report, silent
from lab.topology.model import spoken

if TYPE_CHECKING:
    from lab.lab import Lab
    from lab.topology.declaration import Declaration

RUNS = "runs"
"""The folder of all runs, in the current one."""


@dataclass(frozen=True)
class Planned:
    """One trial to come."""

    number: int
    cell: Cell
    repeat: int
    seed: int


def plan(
    source: Source,
    parameters: Mapping[str, Any] | None = None,
    *,
    seed: int | None = None,
    repeats: int | None = None,
    quick: bool = False,
) -> list[Planned]:
    """The trials of a run, each cell checked: all cells, then all of them again for each repeat.

    The seed of a repeat is one higher than that of the repeat before; in all cells it is the same, so that they are
    asked the same questions. Raises `BadInput` and `DeclarationError`.
    """
    cells = source.cells(parameters, quick=quick)
    times = repeats or cells[0].experiment.repeats
    first = cells[0].experiment.seed if seed is None else seed
    if len(cells) * times > MOST_TRIALS:
        raise BadInput(f"{len(cells)} combinations, {times} times each; {MOST_TRIALS} trials are the most")
    trials = [(cell, repeat) for repeat in range(1, times + 1) for cell in cells]
    return [Planned(number, cell, repeat, first + repeat - 1) for number, (cell, repeat) in enumerate(trials, 1)]


def run(
    source: Source,
    parameters: Mapping[str, Any] | None = None,
    *,
    lab: Lab | None = None,
    labs: Labs | None = None,
    seed: int | None = None,
    repeats: int | None = None,
    quick: bool = False,
    folder: str | Path = RUNS,
    report: Report = silent,
) -> Run:
    """Run an experiment and judge it.

    Without `lab` it runs on fresh ones, which are gone afterwards; or with `labs`, kept for the next run. `parameters`
    replaces values of the experiment's, each by one or by a list. `report` hears how it goes on. What is left is in
    `folder`/NAME/TIME.

    Raises `BadInput` when it cannot be run, for one because `lab` is not the one that is declared, `EnvironmentProblem`
    when it could not go on (its journal says how far it came), and passes `KeyboardInterrupt` on; whatever is raised,
    what was broken has been healed.
    """
    planned = plan(source, parameters, seed=seed, repeats=repeats, quick=quick)
    if lab is not None:
        _must_be_declared(lab, planned, source.folder)
    place = _make(Path(folder), source.name)
    runner = _Runner(source, planned, place, lab, labs, report)
    runner.journal = replace(runner.journal, quick=quick)
    runner.journal = replace(
        runner.journal, command=_command(source, parameters or {}, runner.journal.seed, repeats, quick)
    )
    return runner.run()


class Labs:
    """Fresh labs for runs, one at a time: the last one is kept for as long as the same is wanted, or until `close`."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._lab: Lab | None = None
        self._declared: Declaration | None = None

    def get(self, source: LabSource, folder: Path, report: Report) -> Lab:
        """A lab that nobody else uses, as `source` declares it; `folder` is what its path is relative to."""
        from lab.experiments.labsource import closed, declaration
        from lab.lab import Lab

        declared = closed(declaration(source, folder))
        if self._lab is None or declared != self._declared:
            self.close()
            name = f"exp-{declared.lab[:24].rstrip('-')}-{os.getpid()}"
            self._lab = self._stack.enter_context(Lab.temporary(declared, name=name, report=report))
            self._declared = declared
        return self._lab

    def close(self) -> None:
        """Take the lab away."""
        self._lab = self._declared = None
        self._stack.close()


class _Runner:
    def __init__(
        self,
        source: Source,
        planned: list[Planned],
        place: Path,
        lab: Lab | None,
        labs: Labs | None,
        report: Report,
    ) -> None:
        self._source, self._planned, self._place, self._lab, self._report = source, planned, place, lab, report
        self._kept = labs
        experiment = planned[0].cell.experiment
        self._trials: list[Trial] = []
        self._labs: list[LabRecord] = []
        self.journal = Journal(
            name=experiment.experiment,
            title=experiment.title,
            experiment=_plain(source.tree),
            source=source.file,
            text=source.text,
            command="",
            started=_now(),
            seed=planned[0].seed,
            confidence=experiment.confidence,
            question=experiment.question.strip(),
            says=experiment.source.strip(),
        )

    def run(self) -> Run:
        self._write()
        try:
            self._prepare()
            with HistoryFile(self._place / HISTORY) as file, ExitStack() as stack:
                source, lab = None, self._lab
                labs = self._kept or stack.enter_context(closing(Labs()))
                for planned in self._planned:
                    wanted = planned.cell.experiment.lab
                    if self._lab is None and wanted != source:
                        lab = labs.get(wanted, self._source.folder, self._report)
                    if source is None or wanted != source:
                        assert lab is not None
                        self._labs.append(_lab_record(lab, wanted, fresh=self._lab is None))
                        self._note_environment(lab)
                        source = wanted
                    assert lab is not None
                    self._trial(lab, planned, file)
        except KeyboardInterrupt:
            self.journal = replace(self.journal, interrupted=True)
            raise
        except EnvironmentProblem as error:
            self.journal = replace(self.journal, problem=str(error))
            raise
        finally:
            self.journal = replace(self.journal, ended=_now())
            self._write()
        return Run(self._place, self.journal)

    def _prepare(self) -> None:
        """Have the images of what watches and what breaks made: no workload waits while a fault is injected."""
        from lab.runtime.conditioner import CONDITIONER
        from lab.runtime.helper import prepare
        from lab.runtime.tap import TAP

        breaks = any(planned.cell.experiment.method for planned in self._planned)
        prepare([TAP, CONDITIONER] if breaks else [TAP], self._report)

    def _trial(self, lab: Lab, planned: Planned, file: HistoryFile) -> None:
        from lab.experiments.trial import Conductor

        experiment, parameters = planned.cell.experiment, planned.cell.parameters
        self._report(Event("trials", _told(parameters), planned.number - 1, len(self._planned)))
        _must_be_whole(lab, self._lab is None)
        history = History(planned.number, watched=experiment.workload.tool == "prober")
        recorder = Recorder(history, file)
        nodes = {node.name: node for node in self._labs[-1].nodes}
        begun, started = time.monotonic(), _now()
        try:
            Conductor(lab, experiment, parameters, nodes, planned.seed, recorder, self._report).run()
        except NoEffect as error:
            self._report(Event(f"trial {planned.number}", str(error)))
        finally:
            trial = Trial(
                planned.number, _plain(parameters), planned.repeat, planned.seed, started,
                round(time.monotonic() - begun, 3), lab.name,
            )  # fmt: skip
            self._trials.append(judge(experiment, trial, history, nodes))
            self._write()
        self._report(Event("trials", _told(parameters), planned.number, len(self._planned)))

    def _note_environment(self, lab: Lab) -> None:
        if not self.journal.environment:
            from lab.runtime.environment import environment

            self.journal = replace(self.journal, environment=environment(lab))

    def _write(self) -> None:
        self.journal = replace(self.journal, trials=tuple(self._trials), labs=tuple(self._labs))
        self.journal.write(self._place)


def _must_be_declared(lab: Lab, planned: list[Planned], folder: Path) -> None:
    from lab.experiments.likeness import check_likeness

    declared = []
    for trial in planned:
        if (source := trial.cell.experiment.lab) not in declared:
            declared.append(source)
            check_likeness(lab, source, folder)


def _must_be_whole(lab: Lab, fresh: bool) -> None:
    """Nothing may be broken before an experiment breaks something; a lab of our own is mended."""
    from lab.faults.active import active

    if fresh:
        lab.reset()
        return
    if broken := active(lab):
        words = "; ".join(entry.words for entry in broken)
        raise EnvironmentProblem(
            f"something is broken in lab {lab.name} already: {words}; `dnslab heal --all` mends it"
        )


def _lab_record(lab: Lab, source: LabSource, *, fresh: bool) -> LabRecord:
    from lab.runtime.environment import versions
    from lab.software.program import programs

    found = versions(lab)
    nodes = tuple(
        NodeRecord(
            node.name,
            node.role.value,
            node.program,
            found.get(node.name, ""),
            *node.addresses,
            spoken(node.hostname) if node.hostname else None,
            tuple(zone.label for zone in lab.topology.zones_of(node)),
            node.resolvers,
            programs()[node.program].max_ttl if node.program and node.role.value == "resolver" else None,
        )
        for node in lab.topology.nodes.values()
    )
    zones = lab.topology.zones
    delegations = tuple(
        (lab.topology.enclosing_zone(zone.name.parent()).label, zone.label)
        for zone in zones.values()
        if zone.label != "."
    )
    return LabRecord(source.name, nodes, delegations, fresh)


def _make(runs: Path, name: str) -> Path:
    """A new folder for a run, and `latest` pointing to it. Raises `BadInput` when it cannot be made."""
    stamp, number = datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%S"), 1
    folder = runs / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        while True:
            place = folder / (stamp if number == 1 else f"{stamp}-{number}")
            try:
                place.mkdir()
                break
            except FileExistsError:
                number += 1
        new = folder / f".{LATEST}-{os.getpid()}"
        new.unlink(missing_ok=True)
        new.symlink_to(place.name)
        new.replace(folder / LATEST)
    except OSError as error:
        raise BadInput(f"cannot write the run to {folder}: {error.strerror}") from None
    return place


def _command(source: Source, parameters: Mapping[str, Any], seed: int, repeats: int | None, quick: bool) -> str:
    """What to type to run it again."""
    from lab.experiments.loading import names

    known = source.name in names() and Path(source.file).stem == source.name
    words = ["dnslab", "run", source.name if known else source.file, "--seed", str(seed)]
    for name, value in parameters.items():
        text = ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
        words += ["--param", f"{name}={text}"]
    words += ["--repeats", str(repeats)] if repeats else []
    words += ["--quick"] if quick else []
    return shlex.join(words)


def _told(parameters: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in parameters.items())


def _plain(value: Any) -> Any:
    """Without what the YAML reader adds to texts and numbers."""
    return json.loads(json.dumps(value))


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
