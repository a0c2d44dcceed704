"""Intervals against published values and against what chance does."""

from __future__ import annotations

import math
import random

import pytest

from lab.experiments import statistics
from lab.experiments.journal import Estimate
from lab.experiments.statistics import Unmeasured


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998), table I: Wilson's score interval, 95 %.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilsons_interval_is_the_published_one(count: int, of: int, low: float, high: float) -> None:
    found = statistics.share(count, of, 0.95)
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))
    assert found.value == count / of


def test_a_share_of_all_reaches_one() -> None:
    found = statistics.share(300, 300, 0.99)
    assert found.high == 1.0
    assert found.low == pytest.approx(300 / (300 + 2.5758**2), abs=1e-4)


def test_how_many_samples_would_do() -> None:
    needed = statistics.enough_for(0.99, 0.99)
    assert statistics.share(needed, needed, 0.99).low >= 0.99
    assert statistics.share(needed - 1, needed - 1, 0.99).low < 0.99


def test_the_interval_of_a_share_covers_the_truth_as_often_as_it_says() -> None:
    chance = random.Random(5)
    covered = 0
    for _ in range(300):
        found = statistics.share(sum(chance.random() < 0.9 for _ in range(200)), 200, 0.95)
        covered += found.low <= 0.9 <= found.high
    assert 0.90 < covered / 300 < 0.99


def test_the_interval_of_a_quantile_covers_the_truth_as_often_as_it_says() -> None:
    chance = random.Random(6)
    truth = -math.log(0.05)  # the 95th percentile of an exponential distribution
    covered = 0
    for _ in range(200):
        found = statistics.quantile([chance.expovariate(1) for _ in range(400)], 0.95, 0.99, "s")
        covered += found.low <= truth <= found.high
    assert covered / 200 > 0.96


def test_a_quantile_is_one_of_the_values() -> None:
    found = statistics.quantile([5.0, 1.0, 4.0, 2.0, 3.0], 0.5, 0.99, "s")
    assert found.value == 3.0
    assert (found.low, found.high) == (0.0, math.inf), "five values say next to nothing"
    assert statistics.quantile([5.0, 1.0], 0.0, 0.99, "s") == Estimate.exact(1.0, "s", 2)
    assert statistics.quantile([5.0, 1.0], 1.0, 0.99, "s").value == 5.0
    assert statistics.quantile([1.0, math.inf], 0.95, 0.99, "s").value == math.inf


def renewal(load: float, count: int, seed: int) -> list[bool]:
    """Whether each look-up of a Poisson process hits a cache entry of TTL 1."""
    chance, expires, time, hits = random.Random(seed), 0.0, 0.0, []
    for _ in range(count):
        time += chance.expovariate(load)
        hits.append(time < expires)
        if not hits[-1]:
            expires = time + 1
    return hits


@pytest.mark.parametrize("load", [0.5, 2.0, 10.0])
def test_the_interval_of_a_hit_ratio_covers_the_model(load: float) -> None:
    covered, model = 0, load / (1 + load)
    for seed in range(150):
        hits = renewal(load, 1000, seed)
        found = statistics.renewal_hit_ratio(hits, ["x"] * len(hits), 0.95)
        assert found.value == sum(hits) / len(hits)
        covered += found.low <= model <= found.high
    assert 0.89 < covered / 150 < 1


def test_cycles_tell_more_than_single_look_ups() -> None:
    hits = renewal(10.0, 2000, 1)
    cycles, wilson = statistics.renewal_hit_ratio(hits, ["x"] * 2000, 0.99), statistics.share(sum(hits), 2000, 0.99)
    assert cycles.high - cycles.low < (wilson.high - wilson.low) / 2


def test_without_cycles_the_hit_ratio_is_a_share() -> None:
    assert statistics.renewal_hit_ratio([True] * 50, ["x"] * 50, 0.99) == statistics.share(50, 50, 0.99)


@pytest.mark.parametrize(
    "function",
    [
        lambda: statistics.share(0, 0, 0.99),
        lambda: statistics.quantile([], 0.5, 0.99, "s"),
        lambda: statistics.mean([], 0.99, "s"),
        lambda: statistics.divide(Estimate.exact(1), Estimate.exact(0)),
        lambda: statistics.combine(lambda a, b: a - b, Estimate.exact(math.inf), Estimate.exact(math.inf)),
    ],
)
def test_of_nothing_nothing_is_measured(function) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(Unmeasured):
        function()


def test_arithmetic_with_intervals() -> None:
    a, b = Estimate(2, 1, 3, 10), Estimate(5, 4, 6, 20)
    product = statistics.combine(lambda x, y: x * y, a, b)
    assert (product.low, product.value, product.high, product.samples) == (4, 10, 18, 10)
    difference = statistics.combine(lambda x, y: x - y, a, b)
    assert (difference.low, difference.high) == (-5, -1)
    assert statistics.absolute(Estimate(1, -1, 2)) == Estimate(1, 0.0, 2)
    assert statistics.divide(Estimate.exact(1), Estimate(1, -1, 2)).high == math.inf


def test_names_of_equal_popularity_have_the_hit_ratio_of_one() -> None:
    assert statistics.zipf_hits(50, 10, 0) == pytest.approx(5 / 6)
    assert statistics.zipf_hits(50, 10, 1) > statistics.zipf_hits(50, 10, 0.5)
