"""The verdict on a trial, from its history alone, so that it can be given again from the files.

In this order: a wrong answer is a deviation, whatever else; a trial that came to no end, a gate that was not met and a
fault without effect make it inconclusive; then the expectations decide. "Held" means that the faults bit and every
expectation held for all values in the intervals of what was measured.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lab.errors import BadInput
from lab.experiments import statistics, telling
from lab.experiments.checks import Case, correctness
from lab.experiments.evaluating import Names, evaluate, holds, names_of
from lab.experiments.expressions import Call, Comparison, Number, parse_comparison, parse_value
from lab.experiments.history import FaultWindow, History
from lab.experiments.journal import Estimate, Finding, NodeRecord, Outcome, Trial
from lab.experiments.schema import Expectation, Experiment
from lab.experiments.statistics import Unmeasured
from lab.experiments.timeline import timed
from lab.experiments.watching import UNSEEN

INTERRUPTED, PROBLEM = "interrupted", "problem"
"""What marks say of a trial that came to no end."""

_WRONG_SHOWN = 5


def case_of(experiment: Experiment, history: History, nodes: Mapping[str, NodeRecord]) -> Case:
    """A history as the checks see it."""
    watched = history.watched and not any(mark.what == UNSEEN for mark in history.marks)
    return Case(replace(history, watched=watched), nodes, experiment.confidence, experiment.stale)


def names(experiment: Experiment, parameters: Mapping[str, Any], case: Case) -> Names:
    """What words stand for in the expectations of an experiment."""
    return replace(names_of(parameters, experiment.phases, case.nodes), measurements=experiment.measurements)


def judge(experiment: Experiment, trial: Trial, history: History, nodes: Mapping[str, NodeRecord]) -> Trial:
    """`trial` with everything that follows from its history."""
    case = case_of(experiment, history, nodes)
    known = names(experiment, trial.parameters, case)
    judged = correctness.judge(case, case.lookups())
    wrong = [correctness.told(one) for one in judged if one.kind == "wrong"]
    counts = Counter(one.kind for one in judged)
    for load in history.all_loads:
        counts["unknown"] += load.served
        counts["unanswered"] += load.sent - load.served
    met = gate(experiment, case, known)
    findings = tuple(_findings(experiment.expect, case, known)) if _is_whole(experiment, history) else ()
    found = replace(
        trial,
        gate=met,
        findings=findings,
        measurements=_measurements(experiment.measurements, case, known),
        predictions={
            name: estimate.value for name, estimate in _measurements(experiment.predictions, case, known).items()
        },
        correctness={kind: counts[kind] for kind in correctness.KINDS},
        wrong=tuple(wrong[:_WRONG_SHOWN]),
    )
    outcome, why = _verdict(experiment, found, history, len(wrong))
    return replace(found, outcome=outcome, why=why)


def gate(experiment: Experiment, case: Case, known: Names) -> tuple[Finding, ...]:
    """The steady-state hypothesis, judged on the first phase; nothing when that did not come to its end."""
    if not any(phase.name == experiment.first_phase for phase in case.history.phases):
        return ()
    return tuple(_findings(experiment.steady_state, case, known))


def is_met(findings: Iterable[Finding]) -> bool:
    """Whether a gate is open."""
    return all(finding.outcome == "held" for finding in findings)


def condition_holds(text: str, case: Case, known: Names) -> bool:
    """Whether a condition holds by the values measured so far, without their intervals."""
    comparison = parse_comparison(text)
    try:
        sides = (evaluate(side, case, known) for side in (comparison.left, comparison.right))
        left, right = (Estimate.exact(side.value) for side in sides)
    except Unmeasured:
        return False
    return holds(comparison, left, right) is True


def find(expectation: Expectation, case: Case, known: Names) -> Finding:
    """One expectation, judged."""
    comparison = parse_comparison(expectation.that)
    parts: dict[str, Estimate] = {}
    finding = Finding(expectation.that, "inconclusive", "", asked=comparison.asked, note=expectation.because)
    try:
        left = evaluate(comparison.left, case, known, parts)
        right = evaluate(comparison.right, case, known, parts)
    except Unmeasured as error:
        return replace(finding, why=str(error), parts=parts)
    finding = replace(finding, measured=left, limit=right, parts=parts)
    least = min((part.samples for part in parts.values() if part.samples is not None), default=None)
    told = telling.estimate(_in_unit(left, right), case.confidence)
    if least is not None and least < expectation.samples:
        return replace(finding, why=f"{told}; {expectation.samples} samples were asked for, and there are {least}")
    sides = (left, right)
    if expectation.judged == "value":
        sides = (Estimate.exact(left.value), Estimate.exact(right.value))
    verdict = holds(comparison, *sides)
    limit = "" if isinstance(comparison.right, Number) else f" ({telling.number(right.value, right.unit or left.unit)})"
    if verdict is None:
        return replace(
            finding, why=f"{told}: both {comparison.asked}{limit} and not; {_advice(comparison, left, case)}"
        )
    outcome: Outcome = "held" if verdict else "deviated"
    return replace(finding, outcome=outcome, why=f"{told}{limit and f', against{limit}'}")


def _findings(expectations: Sequence[Expectation], case: Case, known: Names) -> Iterable[Finding]:
    return (find(expectation, case, known) for expectation in expectations)


def _in_unit(left: Estimate, right: Estimate) -> Estimate:
    """A difference, or what is compared with a time, has no unit of its own."""
    return left if left.unit else replace(left, unit=right.unit)


def _advice(comparison: Comparison, left: Estimate, case: Case) -> str:
    """How many samples would tell."""
    is_share = isinstance(comparison.left, Call) and left.unit == "share" and isinstance(comparison.right, Number)
    if is_share and comparison.sign in (">", ">=") and left.value == 1 and isinstance(comparison.right, Number):
        needed = statistics.enough_for(comparison.right.value, case.confidence)
        return f"too few samples: {needed} would do, were they all like these"
    return "too few samples to tell"


def _measurements(texts: Mapping[str, str], case: Case, known: Names) -> dict[str, Estimate]:
    found = {}
    for name, text in texts.items():
        try:
            found[name] = evaluate(parse_value(text), case, known)
        except (Unmeasured, BadInput):  # the latter of a phase that a trial which was ended early has not seen
            continue  # what is not there is not reported; an expectation on it says why
    return found


def _is_whole(experiment: Experiment, history: History) -> bool:
    return {phase.name for phase in history.phases} == set(experiment.phases)


def _is_in_a_phase(fault: FaultWindow, history: History) -> bool:
    bites, ended = fault.bites_from or 0.0, fault.ended if fault.ended is not None else float("inf")
    return any(phase.start < ended and bites < phase.end for phase in history.phases)


def _verdict(experiment: Experiment, trial: Trial, history: History, wrong: int) -> tuple[Outcome, str]:
    if wrong:
        return "deviated", f"{wrong} wrong {'answers' if wrong > 1 else 'answer'}: {trial.wrong[0]}"
    for mark in history.marks:
        if mark.what in (INTERRUPTED, PROBLEM):
            return "inconclusive", mark.text
    for finding in trial.gate:
        if finding.outcome != "held":
            return "inconclusive", f"the gate was not met, and nothing was broken: {finding.text}: {finding.why}"
    for fault in history.faults:
        if not fault.bit:
            return "inconclusive", f"{fault.fault} at {fault.node} had no effect: {fault.problem}"
        if not _is_in_a_phase(fault, history):
            return "inconclusive", f"{fault.fault} at {fault.node} bit only between phases: injecting it took too long"
    if not _is_whole(experiment, history):
        return "inconclusive", "it did not come to its end"
    wanted = sum(step.step.fault is not None for step in timed(experiment))
    if len(history.faults) < wanted:
        return "inconclusive", f"{len(history.faults)} of {wanted} faults were injected"
    for outcome in ("deviated", "inconclusive"):
        for finding in trial.findings:
            if finding.outcome == outcome:
                return finding.outcome, f"{finding.text}: {finding.why}"
    count = len(trial.findings)
    what = "nothing was expected" if not count else f"{'all ' if count > 1 else ''}{count} held"
    bit = f"{wanted} {'faults' if wanted > 1 else 'fault'} bit, " if wanted else ""
    total = sum(trial.correctness.values())
    answers = "whose answers dnsperf does not tell" if history.all_loads else "none with a wrong answer"
    return "held", f"{bit}{what}; {total} look-ups, {answers}"
