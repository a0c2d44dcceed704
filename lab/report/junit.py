"""A run as JUnit XML, for a CI: a suite per experiment, a case per expectation, gate and fault.

The dialect is what Jenkins, GitLab and GitHub's test reporters read: `testsuites` with `testsuite`, counts, times in
seconds; `failure` for what deviated and `error` for what is inconclusive, so that neither passes unseen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from xml.etree import ElementTree

from lab.experiments import telling
from lab.experiments.history import FaultWindow
from lab.experiments.journal import Finding, Journal, Outcome, Trial
from lab.experiments.run import Run
from lab.report.view import Seen, seen, words_of


@dataclass(frozen=True)
class _Case:
    group: str  # classname: the experiment and its parameters
    name: str
    outcome: Outcome
    message: str
    details: str = ""
    seconds: float = 0.0


def render(run: Run) -> str:
    """The XML of a run; nothing in it fails exactly when the run's exit code is 0."""
    journal = run.journal
    cases = [case for one in seen(run) for case in _of_trial(journal, one)]
    if not cases or journal.interrupted or journal.problem:
        cases.append(_Case(journal.name, "the run came to its end", journal.outcome, journal.why))
    counts = {
        "tests": str(len(cases)),
        "failures": str(sum(case.outcome == "deviated" for case in cases)),
        "errors": str(sum(case.outcome == "inconclusive" for case in cases)),
        "skipped": "0",
        "time": f"{sum(trial.seconds for trial in journal.trials):.3f}",
    }
    whole = ElementTree.Element("testsuites", {"name": "dnslab", **counts})
    suite = ElementTree.SubElement(
        whole, "testsuite", {"name": journal.name, **counts, "timestamp": journal.started.split("+")[0]}
    )
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in (
        ("title", journal.title), ("seed", journal.seed), ("command", journal.command), ("outcome", journal.outcome),
    ):  # fmt: skip
        ElementTree.SubElement(properties, "property", {"name": name, "value": _legal(str(value))})
    for case in cases:
        _write(suite, case)
    ElementTree.indent(whole)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(whole, encoding="unicode") + "\n"


def _of_trial(journal: Journal, one: Seen) -> Iterator[_Case]:
    trial = one.trial
    group = f"{journal.name}.{words_of(trial)}" if trial.parameters else journal.name
    cases = [_gate(journal, trial, group)] if trial.gate else []
    cases += [_fault(fault, group) for fault in one.faults]
    cases += [_finding(journal, finding, group) for finding in trial.findings]
    if trial.correctness:
        wrong = trial.correctness.get("wrong", 0)
        cases.append(
            _Case(
                group, "no answer is wrong", "deviated" if wrong else "held", f"{wrong} wrong", "\n".join(trial.wrong)
            )
        )
    if trial.outcome != "held" and all(case.outcome == "held" for case in cases):
        cases.append(_Case(group, "verdict", trial.outcome, trial.why))  # whatever it was, it does not pass
    for place, case in enumerate(cases):  # a case has no time of its own: the first takes that of its trial
        yield case if place else replace(case, seconds=trial.seconds)


def _gate(journal: Journal, trial: Trial, group: str) -> _Case:
    worst = next((finding for finding in trial.gate if finding.outcome != "held"), None)
    details = "\n".join(_details(journal, finding) for finding in trial.gate)
    # A gate that is not met leaves everything open: nothing was learnt of what is broken later.
    outcome: Outcome = "held" if worst is None else "inconclusive"
    return _Case(group, "steady state", outcome, "" if worst is None else f"{worst.text}: {worst.why}", details)


def _fault(fault: FaultWindow, group: str) -> _Case:
    name = f"the fault bit: {fault.fault} at {fault.node}" + (f" to {', '.join(fault.to)}" if fault.to else "")
    message = fault.problem or (f"asked {fault.asked}, got {fault.got}" if fault.asked else "no effect was measured")
    return _Case(group, name, "held" if fault.bit else "inconclusive", message, fault.words)


def _finding(journal: Journal, finding: Finding, group: str) -> _Case:
    return _Case(group, finding.text, finding.outcome, finding.why, _details(journal, finding))


def _details(journal: Journal, finding: Finding) -> str:
    measured = "nothing" if finding.measured is None else telling.estimate(finding.measured, journal.confidence)
    lines = [f"expected: {finding.text}", f"measured: {measured}", f"verdict:  {finding.outcome}: {finding.why}"]
    return "\n".join([*lines, *([f"because:  {finding.note}"] if finding.note else [])])


def _write(suite: ElementTree.Element, case: _Case) -> None:
    attributes = {"classname": _legal(case.group), "name": _legal(case.name), "time": f"{case.seconds:.3f}"}
    element = ElementTree.SubElement(suite, "testcase", attributes)
    if case.outcome != "held":
        tag = "failure" if case.outcome == "deviated" else "error"
        found = ElementTree.SubElement(element, tag, {"type": case.outcome, "message": _legal(case.message)})
        found.text = _legal(case.details or case.message)


def _legal(text: str) -> str:
    """Text without the characters that XML 1.0 cannot carry (section 2.2)."""
    return "".join(one if one in "\t\n\r" or (ord(one) >= 0x20 and one not in "\ufffe\uffff") else "�" for one in text)
