"""latency: packets arrive later, each by a delay of its own, drawn from a distribution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.errors import BadInput
from lab.faults.kind import Verdict
from lab.faults.link import LinkKind
from lab.faults.measuring import Evidence
from lab.faults.values import Parameter, Values, number, one_of, show_time, time
from lab.units import spread_problem, yes_or_no

_SLACK = 0.9  # of the delay asked for: the kernel's timers and ours never fire early, but rounding is allowed for


def _effect(values: Values) -> Mapping[str, Any]:
    delay, jitter, distribution = values["delay"], values["jitter"], values["distribution"]
    if problem := spread_problem(delay, jitter, distribution):
        raise BadInput(f"latency: {problem}")
    return {
        "kind": "delay",
        "mean": delay,
        "distribution": distribution,
        "jitter": jitter,
        "correlation": values["correlation"],
        "reorder": values["reorder"],
    }


def _words(values: Values) -> str:
    if values["distribution"] == "constant":
        return f"comes {show_time(values['delay'])} later"
    spread = "between" if values["distribution"] == "uniform" else "mean and standard deviation"
    jitter, delay = values["jitter"], values["delay"]
    ends = (delay - jitter, delay + jitter) if values["distribution"] == "uniform" else (delay, jitter)
    correlated = f", correlation {values['correlation']:g}" if values["correlation"] else ""
    order = "" if values["reorder"] else ", none before an earlier one"
    shown = f"{spread} {show_time(ends[0])} and {show_time(ends[1])}"
    return f"comes later: {values['distribution']}, {shown}{correlated}{order}"


def _least(values: Values) -> float:
    """The shortest delay that can be drawn, seconds."""
    bounded = values["distribution"] in ("constant", "uniform")
    return float(values["delay"] - values["jitter"]) if bounded else 0.0


def _judge(values: Values, evidence: Evidence) -> Verdict:
    before, after, crossings = evidence.before, evidence.after, evidence.crossings
    asked = show_time(values["delay"]) + (f", {crossings} times an answer" if crossings > 1 else "")
    if before.median is None or after.median is None or after.least is None:
        got = f"{evidence.state.acted} of {evidence.state.matched} packets delayed; {after}"
        return Verdict(asked, got, evidence.state.acted > 0)
    got = f"{show_time(max(after.median - before.median, 0))} more: {before.median * 1000:.1f} ms before, {after}"
    # The fastest answer, not the median: a busy machine adds to a delay, nothing takes away from it.
    bites = evidence.state.acted > 0 and after.least - evidence.declared >= _SLACK * crossings * _least(values)
    if not bites:
        got += f", the fastest {after.least * 1000:.2f} ms; {evidence.state.acted} packets delayed"
    return Verdict(asked, got, bites)


def _patience(values: Values) -> float:
    return 1.0 + 4.0 * float(values["delay"] + 8 * values["jitter"])


FAULT = LinkKind(
    name="latency",
    summary="Packets arrive later; those with less delay overtake those with more.",
    parameters=(
        Parameter("delay", "by how much; the mean of a distribution", "time: 0.1ms to 10s", time(1e-4, 10)),
        Parameter(
            "distribution",
            "of the delays: constant, uniform, normal (cut at 0), pareto (heavy tail)",
            "word",
            one_of("constant", "uniform", "normal", "pareto"),
            "constant",
        ),
        Parameter(
            "jitter", "half the width if uniform, else the standard deviation", "time: 0 to 10s", time(0, 10), 0.0
        ),
        Parameter("correlation", "of a packet's delay with the one before it", "number: 0 to 0.99", number(0, 1), 0.0),
        Parameter("reorder", "whether packets overtake each other", "yes or no", yes_or_no, True),
    ),
    effect=_effect,
    words=_words,
    judge=_judge,
    example="latency gtld-1 --param delay=80ms",
    patience=_patience,
)
