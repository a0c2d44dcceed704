"""Loss on a link: shares, bursts, each n-th, and the same again with the same seed."""

from __future__ import annotations

import math
import re
import statistics
from typing import Any

from faulttools import ask, counters, link, paced

from lab import Lab


def test_loss_is_binomial(lab: Lab) -> None:
    share, count = 0.1, 2000
    with link(lab, "loss", share=share) as fault:
        answers = ask(lab, count=count, window=200, timeout=0.5)
        matched, lost = counters(fault)
    interval = 2.576 * math.sqrt(count * share * (1 - share))  # 99 %
    print(f"{lost} of {matched} packets lost; 99 % interval {count * share:.0f} +- {interval:.0f}")
    assert matched == count
    assert abs(lost - count * share) <= interval
    assert sum(not answer.answered for answer in answers) >= lost


def test_the_same_seed_loses_the_same_packets(lab: Lab) -> None:
    def lost(**how: Any) -> list[int]:
        with link(lab, "loss", share="20%", **how):
            return [n for n, answer in enumerate(paced(lab, 100, 0.005, timeout=2.0)) if not answer.answered]

    first = lost(seed=7)
    assert 5 <= len(first) <= 40
    assert lost(seed=7) == first
    assert lost(seed=8) != first


def test_every_nth_is_exact(lab: Lab) -> None:
    with link(lab, "loss", every=4):
        answers = paced(lab, 40, 0.005)
    assert [n for n, answer in enumerate(answers, 1) if not answer.answered] == list(range(4, 41, 4))


def test_bursts(lab: Lab) -> None:
    with link(lab, "loss", share="30%", burst=5) as fault:
        answers = paced(lab, 400, 0.002)
        matched, lost = counters(fault)
    gone = "".join("." if answer.answered else "x" for answer in answers)
    bursts = [len(run) for run in re.findall("x+", gone)]
    print(f"{lost} of {matched} lost, in {len(bursts)} bursts of {statistics.mean(bursts):.1f}: {gone}")
    assert matched == 400
    assert statistics.mean(bursts) > 2, "independent losses of this share come in runs of 1.4"
