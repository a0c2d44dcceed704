"""What cannot be run although every key is right: each check yields the problems it finds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.agent.dnsperf import MOST_RATE, MOST_SECONDS
from lab.agent.message import encode_name, type_number
from lab.errors import BadInput
from lab.experiments.evaluating import FUNCTIONS, Names, checked, names_of
from lab.experiments.expressions import parse_comparison, parse_value
from lab.experiments.labsource import declaration
from lab.experiments.schema import Experiment, LabSource, Step
from lab.experiments.timeline import Moment, parse_start, parse_until
from lab.topology.model import Role, Topology
from lab.topology.problems import Path as Place
from lab.topology.problems import Problem
from lab.topology.suggest import did_you_mean

if TYPE_CHECKING:
    pass

MOST_LOOKUPS = 200_000  # in one trial: what the prober takes at once, and what a history can hold without care


def check(experiment: Experiment, parameters: Mapping[str, Any], used: Set[str], folder: Path) -> list[Problem]:
    """Every problem of an experiment with its parameters filled in.

    `used`: the parameters that stand in some `${...}`; `folder`: what a lab file's path is relative to.
    """
    try:
        topology = _topology(experiment.lab.model_dump_json(), str(folder))
    except BadInput as error:
        return [Problem(("lab",), str(error).replace("\n", "; "))]
    names = names_of(parameters, experiment.phases, topology.nodes)
    names = replace(names, counts_only=experiment.workload.tool == "dnsperf")
    problems = [*_parameters(experiment, used), *_workload(experiment, topology), *_method(experiment, topology, names)]
    return [*problems, *_expressions(experiment, names)]


@lru_cache(maxsize=16)
def _topology(source: str, folder: str) -> Topology:
    from lab.topology.derive import derive

    return derive(declaration(LabSource.model_validate_json(source), Path(folder)))


def _parameters(experiment: Experiment, used: Set[str]) -> Iterator[Problem]:
    from lab.experiments.checks import measures

    texts = [
        *(expectation.that for expectation in (*experiment.steady_state, *experiment.expect)),
        *experiment.measurements.values(),
        *experiment.predictions.values(),
        *(step.until or "" for step in experiment.method),
    ]
    declared: dict[str, Place] = {name: ("parameters", name) for name in experiment.parameters}
    for place, case in enumerate(experiment.cases):
        for name in case:
            if name in experiment.parameters:
                yield Problem(("cases", place, name), f"{name!r} is one of the `parameters` too; keep one")
            declared.setdefault(name, ("cases", place, name))
        if missing := set(experiment.cases[0]) - set(case):
            yield Problem(("cases", place), f"{', '.join(sorted(missing))} is missing, which the first case has")
    own: dict[str, Place] = {name: ("measurements", name) for name in experiment.measurements}
    for name, where in (declared | own).items():
        if name in measures() or name in FUNCTIONS or name == "all":
            yield Problem(where, f"{name!r} is a measure or a function already; take another name")
    for name, where in declared.items():
        if name not in used and not any(name in text for text in texts):
            yield Problem(where, f"nothing depends on it; write ${{{name}}} where its value is to stand")
    for name in experiment.predictions:
        if name not in experiment.measurements:
            hint = did_you_mean(name, experiment.measurements)
            yield Problem(
                ("predictions", name), f"there is no measurement {name!r} that it could be compared with{hint}"
            )


def _workload(experiment: Experiment, topology: Topology) -> Iterator[Problem]:
    work = experiment.workload
    for place, type in enumerate(work.types):
        try:
            type_number(type)
        except ValueError as error:
            yield Problem(("workload", "types", place), str(error))
    patterns = work.names.patterns
    for place, name in enumerate((*work.names.list, *patterns)):
        try:
            encode_name(f"{name.format(1) if name in patterns else name.removesuffix('.')}.")
        except (ValueError, LookupError) as error:
            yield Problem(("workload", "names", place) if work.names.list else ("workload", "names"), str(error))
    yield from _nodes(("workload", "hosts"), work.hosts, topology, (Role.HOST,))
    asked = (Role.RESOLVER, Role.ROOT, Role.TLD, Role.AUTHORITY, Role.GATEWAY)
    yield from _nodes(("workload", "at"), work.at, topology, asked)
    if work.tool == "prober" and work.rate is not None and (count := work.rate * experiment.seconds) > MOST_LOOKUPS:
        yield Problem(
            ("workload", "rate"),
            f"that makes {count:.0f} look-ups; {MOST_LOOKUPS} are the most: make phases shorter, or ask less often",
        )
    if work.arrivals == "closed":
        for name, length in experiment.phases.items():
            if length.queries is not None:
                yield Problem(("phases", name), "a closed loop asks as fast as it is answered: give a time, as in 10s")
    if experiment.time == "virtual":
        yield from _virtual(experiment, topology)
    if work.tool == "dnsperf":
        yield from _dnsperf(experiment)


def _virtual(experiment: Experiment, topology: Topology) -> Iterator[Problem]:
    if experiment.workload.arrivals == "closed":
        yield Problem(("workload", "arrivals"), "in virtual time nothing passes while a client waits: use an open loop")
    if experiment.workload.arrivals == "rounds" and len(experiment.workload.hosts) > 1:
        yield Problem(("workload", "hosts"), "in virtual time a round comes from one host")
    for node in topology.resolvers:
        if not node.on_lab_clock:
            yield Problem(("time",), f"{node.name} is not on the lab's clock, so time cannot be virtual for it")


def _dnsperf(experiment: Experiment) -> Iterator[Problem]:
    """What dnsperf cannot do, and what it is not to do."""
    work = experiment.workload
    for key, is_possible, why in (
        (
            "arrivals",
            work.arrivals in ("constant", "closed"),
            "dnsperf asks at equal distances (`constant`), or `closed`",
        ),
        ("names", work.names.unique is None, "dnsperf asks the same questions over and over again: not `unique`"),
        ("at", len(work.at) == 1, "dnsperf asks one node: write `at: NODE`"),
        ("hosts", len(work.hosts) <= 1, "dnsperf asks from one host"),
        ("attempts", work.attempts in (None, 1), "dnsperf asks once"),
        ("recurse", work.recurse, "dnsperf always asks for recursion (RD)"),
        ("rate", (work.rate or 0) <= MOST_RATE, f"dnsperf is to send {MOST_RATE:g} a second at the most"),
    ):
        if not is_possible:
            yield Problem(("workload", key), why)
    if experiment.time == "virtual":
        yield Problem(("time",), "dnsperf asks in real time")
    if experiment.seconds > MOST_SECONDS:
        length = f"these are {experiment.seconds:g} s"
        yield Problem(("phases",), f"dnsperf is run for {MOST_SECONDS:g} s at the most, all phases together; {length}")
    for place, step in enumerate(experiment.method):
        if step.until is not None and step.until not in experiment.phases:
            yield Problem(
                ("method", place, "until"), "a condition sees look-ups, and dnsperf tells counts when it is over"
            )


def _nodes(where: Place, given: tuple[str, ...], topology: Topology, roles: tuple[Role, ...]) -> Iterator[Problem]:
    for place, name in enumerate(given):
        try:
            node = topology.node(name)
        except BadInput as error:
            yield Problem((*where, place), str(error))
            continue
        if node.role not in roles:
            yield Problem((*where, place), f"{node.name} is a {node.role.value}, which cannot be that")


def _method(experiment: Experiment, topology: Topology, names: Names) -> Iterator[Problem]:
    if any(step.fault for step in experiment.method) and not experiment.steady_state:
        yield Problem(
            (),
            "'steady_state' is missing: what has to hold before anything is broken, as in"
            f" `steady_state: [success({experiment.first_phase}) >= 0.9]`",
        )
    for place, step in enumerate(experiment.method):
        where: Place = ("method", place)
        yield from _fault(where, step, topology)
        start = Moment()
        try:
            start = parse_start(step.start, list(experiment.phases))
        except BadInput as error:
            yield Problem((*where, "start"), str(error))
        if step.fault is not None and start.phase == 0 and len(experiment.phases) > 1:
            first = experiment.first_phase
            yield Problem(
                (*where, "start"), f"nothing is broken in the first phase, {first}: it is what is compared with"
            )
        if step.until is not None:
            try:
                until = parse_until(step.until, list(experiment.phases))
            except BadInput as error:
                yield Problem((*where, "until"), str(error))
                continue
            if isinstance(until, int) and until <= start.phase:
                yield Problem((*where, "until"), f"{step.until} is over, or has begun, when the fault starts")
            if isinstance(until, str):
                yield from _wrong((*where, "until"), until, names, comparison=True)


def _fault(where: Place, step: Step, topology: Topology) -> Iterator[Problem]:
    """What the fault itself says of its name, its node and its parameters."""
    from lab.faults import kind, plan

    if step.fault is None:
        roles = (Role.RESOLVER,) if step.do == "flush" else tuple(Role)
        yield from _nodes((*where, "node"), step.node, topology, roles)
        return
    try:
        kind(step.fault)
    except BadInput as error:
        yield Problem((*where, "fault"), str(error))
        return
    for place, node in enumerate(step.node):
        try:
            topology.select(node)
        except BadInput as error:
            yield Problem((*where, "node", place), str(error))
            continue
        try:
            plan(topology, step.fault, node, {**step.how, "seed": step.seed})
        except BadInput as error:
            given = next((key for key in step.how if re.search(rf"\b{re.escape(key)}\b", str(error))), None)
            yield Problem(where if given is None else (*where, given), str(error))
            return


def _expressions(experiment: Experiment, names: Names) -> Iterator[Problem]:
    for name, text in experiment.measurements.items():
        yield from _wrong(("measurements", name), text, names)
    for name, text in experiment.predictions.items():
        yield from _wrong(("predictions", name), text, names)
    whole = replace(names, measurements=experiment.measurements)
    first = replace(names, phases=(experiment.first_phase,))
    for place, expectation in enumerate(experiment.steady_state):
        yield from _wrong(("steady_state", place), expectation.that, first, comparison=True)
    for place, expectation in enumerate(experiment.expect):
        yield from _wrong(("expect", place), expectation.that, whole, comparison=True)


def _wrong(where: Place, text: str, names: Names, *, comparison: bool = False) -> Iterator[Problem]:
    for error in checked(text, names, parse_comparison if comparison else parse_value):
        yield Problem(where, str(error))
