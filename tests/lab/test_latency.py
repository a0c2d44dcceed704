"""What caching saves: a cold question, one whose top-level domain is known, and one that is answered from memory."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median, quantiles

from lab import Lab
from lab.runtime.node import NodeHandle

SAMPLES = 30


def test_cold_is_slower_than_warm_and_warm_than_a_hit(lab: Lab, resolver: NodeHandle) -> None:
    def ask(name: str) -> float:
        answer = lab.query(name, at=resolver.name)
        assert answer.status == "NOERROR", answer.status
        return answer.latency * 1000

    def cold() -> float:
        lab.flush(resolver.name)
        return ask("www.example.com")

    def warm() -> float:
        lab.flush(resolver.name)
        ask("www.enterprise.com")  # com is known now, example.com is not
        return ask("www.example.com")

    def hit() -> float:
        return ask("www.example.com")

    kinds: dict[str, Callable[[], float]] = {"cold": cold, "warm": warm, "hit": hit}
    times: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(SAMPLES):  # in turn, so that what else the machine does falls on all three
        for kind, measure in kinds.items():
            times[kind].append(measure())

    for kind, measured in times.items():
        low, middle, high = quantiles(measured, n=4)
        print(
            f"{resolver.node.program} {kind:<4} median {middle:6.2f} ms, quartiles {low:.2f} to {high:.2f},"
            f" {SAMPLES} samples: {' '.join(f'{value:.2f}' for value in measured)}"
        )
    assert median(times["cold"]) > median(times["warm"]) > median(times["hit"])
