"""The lab that comes with links: what distance costs each of its users, cold and warm."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from faulttools import WIDE

from lab import Lab
from lab.faults.active import active
from lab.runtime.status import status


@pytest.fixture(scope="module")
def wide() -> Iterator[Lab]:
    with Lab.temporary("wide-area", name=f"wide-{os.getpid()}") as lab:
        yield lab


def latency(lab: Lab, name: str, host: str) -> float:
    answer = lab.query(name, host=host, timeout=10)
    assert answer.status in ("NOERROR", "NXDOMAIN"), answer.status
    print(f"{host} {name}: {answer.latency * 1000:.1f} ms")
    return answer.latency


# Round trips in seconds: client, then root, com and example.com, the nearer and the farther server of each.
ROADS = {"ams": (0.005, (0.010, 0.140), (0.010, 0.085)), "sea": (0.008, (0.002, 0.150), (0.065, 0.150))}


@pytest.mark.parametrize("host", ROADS)
def test_each_user_waits_for_the_round_trips_on_the_way(wide: Lab, host: str) -> None:
    client, root, others = ROADS[host]
    wide.flush()
    latency(wide, "nowhere.arpa", host)  # priming is not part of the sum
    cold = latency(wide, "www.example.com", host)
    assert cold >= client + root[0] + 2 * others[0], "the nearest server of each zone at best"
    hit = min(latency(wide, "www.example.com", host) for _ in range(5))
    assert client <= hit < client + WIDE
    known = min(latency(wide, f"nothing-{number}.example.com", host) for number in range(5))
    assert known >= client + others[0]
    assert cold > hit


def test_what_is_far_from_everybody_costs_everybody(wide: Lab) -> None:
    wide.flush()
    for host, least in (("ams", 2 * 0.210), ("sea", 2 * 0.106)):  # 8 standard deviations below the mean
        assert latency(wide, "www.example.kr", host) >= least


def test_links_are_shown_and_are_no_faults(wide: Lab) -> None:
    shown = {node.node: node for node in status(wide)}
    assert {node: found.health for node, found in shown.items() if found.health != "ok"} == {}
    assert [(link.to, link.direction, link.words, link.on) for link in shown["root-fra"].links] == [
        ("resolver-ams", "both", "10ms", True),
        ("resolver-sea", "both", "150ms", True),
    ]
    assert shown["resolver-ams"].links == ()
    assert shown["kr-sel"].links[0].words == "250ms normal ±5ms"
    assert active(wide) == []
