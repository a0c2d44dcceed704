"""The workload: deterministic, and as it is described."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from typing import Any

import pytest

from lab.experiments.schema import Workload
from lab.experiments.workload import Arrival, arrivals, distinct


def some(count: int, seed: int = 1, **work: Any) -> list[Arrival]:
    given = {"names": ["a.com", "b.com"], "rate": "100/s", **work}
    return list(itertools.islice(arrivals(Workload.model_validate(given), seed), count))


def test_the_same_seed_asks_the_same_questions_at_the_same_times() -> None:
    assert some(500, seed=3) == some(500, seed=3)
    assert some(500, seed=3) != some(500, seed=4)


def test_another_rate_asks_for_the_same_names() -> None:
    slow, fast = some(300), some(300, rate="1000/s")
    assert [one.name for one in slow] == [one.name for one in fast]
    assert slow[100].at == pytest.approx(fast[100].at * 10)


def test_constant_arrivals_are_exactly_apart() -> None:
    assert [one.at for one in some(4, arrivals="constant", rate="4/s")] == [0, 0.25, 0.5, 0.75]


def test_poisson_arrivals_come_at_their_rate() -> None:
    times = [one.at for one in some(20_000)]
    assert times == sorted(times)
    assert times[-1] == pytest.approx(200, rel=0.03)
    gaps = [b - a for a, b in itertools.pairwise(times)]
    # Exponential gaps: the standard deviation is the mean, and a share of 1/e is longer than the mean.
    assert sum(gap > 0.01 for gap in gaps) / len(gaps) == pytest.approx(1 / math.e, abs=0.015)


def test_a_closed_loop_has_no_times() -> None:
    assert {one.at for one in some(10, arrivals="closed", rate=None, clients=4)} == {0.0}


def test_zipf_names_fall_with_their_rank() -> None:
    names = {"zipf": {"pattern": "n{}.example.com", "count": 100, "exponent": 1.0}}
    counts = Counter(one.name for one in some(50_000, names=names))
    harmonic = sum(1 / rank for rank in range(1, 101))
    for rank in (1, 2, 10, 100):
        expected = 50_000 / rank / harmonic
        assert counts[f"n{rank}.example.com."] == pytest.approx(expected, abs=4 * math.sqrt(expected))


def test_unique_names_are_unique_also_in_the_next_repeat() -> None:
    names = {"unique": "u{}.example.com"}
    first, second = some(2000, names=names), some(2000, seed=2, names=names)
    assert len({one.name for one in (*first, *second)}) == 4000


def test_hosts_servers_and_types_have_their_turns() -> None:
    found = some(4000, hosts=["h1", "h2"], at=["r1", "r2"], types=["A", "mx"])
    assert set(Counter((one.host, one.server) for one in found).values()) == {1000}
    types = Counter(one.type for one in found)
    assert set(types) == {"A", "MX"}
    assert types["A"] == pytest.approx(2000, abs=150)


def test_what_can_be_asked_is_known_beforehand() -> None:
    work = Workload.model_validate({"names": ["a.com", "b.com."], "rate": "1/s", "types": ["A", "AAAA"]})
    assert set(distinct(work)) == {(name, type) for name in ("a.com.", "b.com.") for type in ("A", "AAAA")}
    zipf = Workload.model_validate({"names": {"zipf": {"pattern": "n{}.com", "count": 3}}, "rate": "1/s"})
    assert len(list(distinct(zipf))) == 3
    unique = Workload.model_validate({"names": {"unique": "n{}.com"}, "rate": "1/s"})
    assert list(distinct(unique)) == []


def test_of_several_patterns_each_rank_takes_the_next() -> None:
    zipf = Workload.model_validate({"names": {"zipf": {"pattern": ["n{}.com", "n{}.org"], "count": 3}}, "rate": "1/s"})
    assert [name for name, _ in distinct(zipf)] == ["n1.com.", "n2.org.", "n3.com."]


def test_in_a_round_each_client_asks_its_own_name_at_the_same_time() -> None:
    names = {"each": {"pattern": "p{}.example.com", "count": 3}}
    found = some(6, names=names, arrivals="rounds", clients=3, rate="3/10m")
    assert [one.at for one in found] == [0, 0, 0, 600, 600, 600]
    assert [one.name for one in found] == ["p1.example.com.", "p2.example.com.", "p3.example.com."] * 2
