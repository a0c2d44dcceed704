"""What outlives the owner of a fault: the ledger, and the guard's waiting. No Docker."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from docker.errors import NotFound

from lab.faults.guard import watch
from lab.runtime import labels, ledger
from lab.runtime.clock import SKEW, skews
from lab.runtime.ledger import Entry, Ledger

SOON = 0.05  # seconds


class Volumes:
    """As much of Docker as a ledger uses."""

    def __init__(self) -> None:
        self.there: dict[str, dict[str, str]] = {}

    def create_volume(self, name: str, labels: dict[str, str]) -> None:
        self.there[name] = labels

    def remove_volume(self, name: str) -> None:
        if self.there.pop(name, None) is None:
            raise NotFound(name)

    def volumes(self, filters: dict[str, list[str]]) -> dict[str, Any]:
        wanted = [label.partition("=") for label in filters["label"]]
        found = [
            {"Name": name, "Labels": marks}
            for name, marks in self.there.items()
            if all(key in marks and (not equals or marks[key] == value) for key, equals, value in wanted)
        ]
        return {"Volumes": found or None}


def entry(*nodes: str, lasts: float = 60.0, **data: Any) -> Entry:
    return ledger.entry("change-ttl", nodes, "In zone ...", data, lasts)


def test_entries_come_back_as_they_were_in_order() -> None:
    volumes = Volumes()
    volumes.create_volume("dnslab.a.files", {labels.LAB: "a"})
    here, elsewhere = Ledger(volumes, "a"), Ledger(volumes, "b")  # type: ignore[arg-type]
    written = [entry("x", "y", zone="com.", values={"ttl": 5}), entry("z")]
    for one in reversed(written):
        here.write(one)
    assert here.entries() == written
    assert elsewhere.entries() == []
    assert here.has(written[0].id)
    assert all(json.loads(marks.get(labels.FAULT, "{}")) is not None for marks in volumes.there.values())


def test_an_entry_is_struck_once_or_twice() -> None:
    volumes = Volumes()
    here = Ledger(volumes, "a")  # type: ignore[arg-type]
    here.write(one := entry("x"))
    here.strike(one.id)
    here.strike(one.id)
    assert here.entries() == []
    assert volumes.there == {}


def test_time_left() -> None:
    assert 59 < entry("x").left <= 60
    assert entry("x", lasts=-5).left == 0


def test_skews_of_a_node_add_up() -> None:
    entries = [entry("x", **{SKEW: 60.0}), entry("x", **{SKEW: -10.0}), entry("y", **{SKEW: 1.0}), entry("z")]
    assert skews(entries) == {"x": timedelta(seconds=50), "y": timedelta(seconds=1)}


@pytest.fixture
def owner(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The writing end of the guard's stdin, in a list: emptied by whoever closes it."""
    reading, writing = os.pipe()
    with os.fdopen(reading) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        ends = [writing]
        yield ends
        for end in ends:
            os.close(end)


def test_a_guard_that_is_dismissed_heals_nothing(owner: list[int]) -> None:
    os.write(owner[0], b"healed\n")
    assert watch(60.0) is False


def test_the_death_of_the_owner_is_the_end_of_the_pipe(owner: list[int]) -> None:
    os.close(owner.pop())
    assert watch(60.0) is True


@pytest.mark.usefixtures("owner")
def test_the_end_of_the_time() -> None:
    start = time.monotonic()
    assert watch(SOON) is None
    assert time.monotonic() - start >= SOON


@pytest.mark.usefixtures("owner")
def test_it_acts_at_once_and_then_so_many_seconds_after_each_time() -> None:
    times: list[float] = []

    def act() -> bool:
        times.append(time.monotonic())
        return len(times) < 3

    start = time.monotonic()
    assert watch(60.0, act, SOON) is False, "it said that there is no more to do"
    assert len(times) == 3
    assert times[0] - start < times[2] - start
    assert times[2] - times[0] >= 2 * SOON
