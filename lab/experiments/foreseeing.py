"""What a trial would do, in words, without doing it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lab.experiments import telling
from lab.experiments.labsource import declaration
from lab.experiments.method import told
from lab.experiments.runner import Planned
from lab.experiments.schema import Experiment, Workload
from lab.experiments.timeline import Timed, timed
from lab.topology.derive import derive
from lab.topology.model import Topology

if TYPE_CHECKING:
    pass

_CACHES = {
    "cold": "every resolver is restarted and remembers nothing",
    "flushed": "the caches of all resolvers are emptied",
    "warm": "the caches are emptied, then every distinct question is asked once",
}
_NAMES_SHOWN = 4


def foresee(planned: Planned, folder: Path) -> list[str]:
    """One line for each thing that would happen, in order. Raises `BadInput`."""
    experiment = planned.cell.experiment
    topology = derive(declaration(experiment.lab, folder))
    values = ", ".join(f"{name}={value}" for name, value in planned.cell.parameters.items())
    lines = [f"with {values}"] if values else []
    lines += [
        f"lab {experiment.lab.name}: {len(topology.nodes)} nodes; {_CACHES[experiment.cache]}",
        f"{_workload(experiment.workload)}; {experiment.time} time, seed {planned.seed}",
    ]
    steps = timed(experiment)
    for index, (name, length) in enumerate(experiment.phases.items()):
        seconds = length.at_rate(experiment.workload.rate or 1.0)
        count = f", {length.queries} look-ups on average" if length.queries else ""
        over = [step for step in steps if step.step.fault is not None and step.end_phase == index]
        lines += [f"{name}: {step.step.fault} at {step.node} is healed" for step in over]
        lines += [f"{name}{_after(step)}: {_words(step, topology)}" for step in steps if step.start.phase == index]
        lines.append(f"{name}: {telling.number(seconds, 's')}{count}")
        if index == 0 and experiment.steady_state:
            lines += [f"{name}: gate: {one.that}" for one in experiment.steady_state]
    lines += ["at the end everything is healed, and every node has to answer"] if _faults(experiment) else []
    return lines + [f"expected: {one.that}" for one in experiment.expect]


def _faults(experiment: Experiment) -> bool:
    return any(step.fault is not None for step in experiment.method)


def _workload(work: Workload) -> str:
    names = work.names
    if names.zipf is not None:
        patterns = ", ".join(names.zipf.pattern[:_NAMES_SHOWN])
        asked = f"{names.zipf.count} names like {patterns}, Zipf({names.zipf.exponent:g})"
    elif names.each is not None:
        asked = f"{names.each.count} names like {names.each.pattern}, one after the other"
    elif names.unique is not None:
        asked = f"names like {names.unique}, none of them twice"
    else:
        more = ", ..." if len(names.list) > _NAMES_SHOWN else ""
        asked = ", ".join(names.list[:_NAMES_SHOWN]) + more
    pace = f"{work.clients or 1} clients in a closed loop" if work.rate is None else _rate(work.rate, work)
    by = f", from {', '.join(work.hosts)}" if work.hosts else ""
    at = f", at {', '.join(work.at)}" if work.at else ""
    tool = "" if work.tool == "prober" else f", by {work.tool}"
    return f"{pace}: {asked} {'/'.join(work.types)}{by}{at}{tool}"


def _rate(rate: float, work: Workload) -> str:
    if work.arrivals == "rounds" and work.clients is not None:
        return f"{work.clients} at once every {telling.number(work.clients / rate, 's')}"
    often = f"{rate:g} a second" if rate >= 1 else f"one every {telling.number(1 / rate, 's')}"
    return f"{often}{' on average, at random times' if work.arrivals == 'poisson' else ''}"


def _after(step: Timed) -> str:
    return f" + {telling.number(step.start.after, 's')}" if step.start.after else ""


def _words(step: Timed, topology: Topology) -> str:
    if step.step.fault is None:
        return f"{step.step.do} {step.node}"
    from lab.faults import plan

    words = told(plan(topology, step.step.fault, step.node, step.step.how)).removesuffix(".")
    ends = [f"until {step.condition}"] if step.condition else []
    ends += [f"for {telling.number(step.duration, 's')}"] if step.duration is not None else []
    return ", ".join([words, *ends])
