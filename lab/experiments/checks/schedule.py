"""The instrument itself: how many look-ups a second were sent, and how long a phase was."""

from __future__ import annotations

from collections.abc import Sequence

from lab.experiments.checks.measure import LOOKUP_OPTIONS, Case, Measure, Options, phase_of
from lab.experiments.journal import Estimate
from lab.experiments.statistics import Unmeasured


def _rate(case: Case, arguments: Sequence[str], options: Options) -> Estimate:
    """From the first to the last one sent, so that neither end of the phase counts."""
    phase = phase_of(arguments, 0)
    sent = [one.sent for one in case.lookups(phase, options) if one.sent is not None]
    if len(sent) < 2 or max(sent) == min(sent):
        raise Unmeasured(f"a rate takes two look-ups, and {phase} has {len(sent)}")
    return Estimate.exact((len(sent) - 1) / (max(sent) - min(sent)), "per s", len(sent))


def _rate_of_loads(case: Case, arguments: Sequence[str], _options: Options) -> Estimate:
    phase = phase_of(arguments, 0)
    loads = case.history.loads(phase)
    sent, seconds = sum(load.sent for load in loads), sum(load.end - load.start for load in loads)
    if seconds <= 0:
        raise Unmeasured(f"nothing was sent in {phase}")
    return Estimate.exact(sent / seconds, "per s", sent)


def _duration(case: Case, arguments: Sequence[str], _options: Options) -> Estimate:
    return Estimate.exact(case.phase(phase_of(arguments, 0)).duration, "s")


MEASURES = (
    Measure("rate", "look-ups sent a second of experiment time", ("phase",), _rate, LOOKUP_OPTIONS, _rate_of_loads),
    Measure("duration", "seconds of experiment time that a phase lasted", ("phase",), _duration, of_loads=_duration),
)
