"""Numbers with their intervals: of shares, of quantiles, of hit ratios; and arithmetic with them.

Only the standard library: an experiment is judged on any machine that can run one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import product
from statistics import NormalDist, fmean, variance

from lab.experiments.journal import Estimate


class Unmeasured(Exception):
    """A number that the history does not give: too few samples, nothing recorded; the message says which."""


def normal_quantile(confidence: float) -> float:
    """How many standard deviations a two-sided interval of this confidence has on each side: 2.576 for 0.99."""
    return NormalDist().inv_cdf((1 + confidence) / 2)


def share(count: int, of: int, confidence: float) -> Estimate:
    """A share with its Wilson score interval (E. B. Wilson, JASA 22, 1927). Raises `Unmeasured` of nothing."""
    if of == 0:
        raise Unmeasured("there is nothing to take a share of")
    z, observed = normal_quantile(confidence), count / of
    centre = (observed + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * math.sqrt(observed * (1 - observed) / of + z * z / (4 * of * of))
    # At the ends the interval is one-sided by construction; rounding must not leave 1 out of it.
    low = 0.0 if count == 0 else max(0.0, centre - half)
    high = 1.0 if count == of else min(1.0, centre + half)
    return Estimate(observed, low, high, of, "share")


def enough_for(threshold: float, confidence: float) -> int:
    """How many samples, all of them successes, put Wilson's lower bound at `threshold`."""
    z = normal_quantile(confidence)
    return math.ceil(z * z * threshold / (1 - threshold)) if threshold < 1 else 0


def quantile(values: Sequence[float], fraction: float, confidence: float, unit: str) -> Estimate:
    """A quantile with an interval between order statistics, whatever the distribution.

    The value is the smallest that at least `fraction` of the values do not exceed, so that no two values are mixed; an
    end of the interval that lies beyond the values is infinite (below: 0). W. J. Conover, Practical Nonparametric
    Statistics, section 3.2, with the normal approximation to the binomial. Raises `Unmeasured` of nothing.
    """
    if not values:
        raise Unmeasured("there is nothing to take a quantile of")
    ordered, count = sorted(values), len(values)
    value = ordered[max(0, math.ceil(count * fraction - 1e-9) - 1)]
    if fraction in (0.0, 1.0):  # the least and the greatest are what they are
        return Estimate.exact(value, unit, count)
    half = normal_quantile(confidence) * math.sqrt(count * fraction * (1 - fraction))
    below, above = math.floor(count * fraction - half), math.ceil(count * fraction + half) + 1
    low = ordered[below - 1] if below >= 1 else min(0.0, ordered[0])
    high = ordered[above - 1] if above <= count else math.inf
    return Estimate(value, low, high, count, unit)


def mean(values: Sequence[float], confidence: float, unit: str) -> Estimate:
    """A mean with its normal interval; infinite values make it infinite. Raises `Unmeasured` of nothing."""
    if not values:
        raise Unmeasured("there is nothing to take a mean of")
    centre = fmean(values)
    if not math.isfinite(centre):
        return Estimate(math.inf, math.inf, math.inf, len(values), unit)
    if len(values) < 2:
        return Estimate(centre, -math.inf, math.inf, 1, unit)
    half = normal_quantile(confidence) * math.sqrt(variance(values) / len(values))
    return Estimate(centre, centre - half, centre + half, len(values), unit)


def mean_of_groups(groups: Sequence[tuple[int, float, float]], confidence: float, unit: str) -> Estimate:
    """As `mean`, of values of which only the size, the mean and the standard deviation of each group are known."""
    count = sum(size for size, _, _ in groups)
    if any(math.isinf(centre) for _, centre, _ in groups):
        return Estimate(math.inf, math.inf, math.inf, count, unit)
    if not count:
        raise Unmeasured("there is nothing to take a mean of")
    centre = sum(size * mean for size, mean, _ in groups) / count
    squares = sum(size * (spread**2 + (mean - centre) ** 2) for size, mean, spread in groups)
    half = normal_quantile(confidence) * math.sqrt(squares / count / count)
    return Estimate(centre, centre - half, centre + half, count, unit)


def renewal_hit_ratio(hits: Sequence[bool], names: Sequence[object], confidence: float) -> Estimate:
    """The hit ratio of look-ups in order, with an interval from cycles.

    A cache entry's life is a cycle: one miss and the hits until the next miss of the same name. Cycles are independent
    where look-ups are not: many hits in a row come from one life. So the interval is that of a ratio of means over
    cycles (regenerative method: M. A. Crane and D. L. Iglehart, JACM 21, 1974); look-ups before a name's first miss
    belong to no cycle. With fewer than two misses there are no cycles, and Wilson's interval stands in.
    """
    count = len(hits)
    observed = share(sum(hits), count, confidence)
    lengths: list[int] = []
    open_cycles: Counter[object] = Counter()
    for hit, name in zip(hits, names, strict=True):
        if not hit:
            if open_cycles[name]:
                lengths.append(open_cycles[name])
            open_cycles[name] = 1
        elif open_cycles[name]:
            open_cycles[name] += 1
    if len(lengths) < 2:
        return observed
    # hits / look-ups = 1 - 1 / mean length, so its error is that of the mean, divided by the square of the mean.
    half = normal_quantile(confidence) * math.sqrt(variance(lengths) / len(lengths)) / fmean(lengths) ** 2
    return Estimate(observed.value, max(0.0, observed.value - half), min(1.0, observed.value + half), count, "share")


def zipf_hits(lambda_t: float, count: float, exponent: float) -> float:
    """The hit ratio of a cache for names of unequal popularity: H = sum p_i x_i / (1 + x_i), x_i = p_i lambda T.

    J. Jung, A. W. Berger, H. Balakrishnan, Modeling TTL-based Internet caches, INFOCOM 2003, with Zipf popularity p_i.
    """
    weights = [float(rank) ** -exponent for rank in range(1, int(count) + 1)]
    shares = [weight / math.fsum(weights) for weight in weights]
    return math.fsum(share * share * lambda_t / (1 + share * lambda_t) for share in shares)


def combine(function: Callable[..., float], *operands: Estimate, unit: str = "") -> Estimate:
    """What a function that grows or falls in each operand makes of intervals: its range over their ends.

    Raises `Unmeasured` where it has no value: a division by 0, the difference of two infinities.
    """
    ends = [sorted({operand.low, operand.high}) for operand in operands]
    try:
        value = function(*(operand.value for operand in operands))
        range_ = [function(*corner) for corner in product(*ends)]
    except ZeroDivisionError:
        raise Unmeasured("it is divided by 0") from None
    except (ValueError, OverflowError, TypeError):
        raise Unmeasured("it has no value: a root of less than 0, or a number beyond all bounds") from None
    if any(isinstance(number, complex) or math.isnan(number) for number in (value, *range_)):
        raise Unmeasured("it has no value: both sides are infinite, or a root of less than 0")
    samples = [operand.samples for operand in operands if operand.samples is not None]
    return Estimate(value, min(value, *range_), max(value, *range_), min(samples, default=None), unit)


def divide(left: Estimate, right: Estimate) -> Estimate:
    """A quotient; where the divisor's interval has 0 in it, the quotient may be anything."""
    if right.low <= 0 <= right.high and not right.is_exact and right.value != 0:
        return Estimate(left.value / right.value, -math.inf, math.inf, right.samples)
    return combine(lambda a, b: a / b, left, right)


def absolute(operand: Estimate) -> Estimate:
    """The absolute value: 0 is in its interval when it is in the operand's."""
    found = combine(abs, operand, unit=operand.unit)
    low = 0.0 if operand.low <= 0 <= operand.high else found.low
    return Estimate(found.value, low, found.high, found.samples, found.unit)
