"""Observations without Docker: taps that end, nodes that live again, and what is told of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from observe_frames import CLIENT, SERVER, frame, udp

from lab import BadInput, EnvironmentProblem, labs
from lab.agent.frames import encode
from lab.errors import NotSeen
from lab.observe import watching
from lab.observe.observation import Observation
from lab.topology.derive import derive

TOPOLOGY = derive(labs.load("textbook"))


class FakeTap:
    """A tap that sees what the test says."""

    made: list[FakeTap]
    refuse = False

    def __init__(
        self,
        _api: object,
        _lab: str,
        node: str,
        arrived: Callable[[bytes], None],
        ended: Callable[[str], None],
        *,
        prompt: bool = False,
    ) -> None:
        if self.refuse:
            raise EnvironmentProblem(f"{node} does not run")
        self.prompt = prompt
        self.node, self.arrived, self.ended = node, arrived, ended
        self.alive, self.dropped, self.syncs = True, 0, 0
        self.made.append(self)

    def syncing(self) -> Callable[[], None]:
        self.syncs += 1
        return lambda: None

    def close(self) -> None:
        self.alive = False

    def end(self) -> None:
        self.alive = False
        self.ended("its container is gone")

    def see(self, *payloads: bytes) -> None:
        self.arrived(b"".join(encode(*frame(udp(payload), time=time.time_ns())) for payload in payloads))


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(FakeTap, "made", [], raising=False)
    monkeypatch.setattr(FakeTap, "refuse", False)
    monkeypatch.setattr(watching, "Tap", FakeTap)
    monkeypatch.setattr(watching, "_PAUSE", 0.01)
    nodes = {name: SimpleNamespace(life="1") for name in TOPOLOGY.nodes}
    return SimpleNamespace(name="textbook", topology=TOPOLOGY, api=None, nodes=nodes, watching=[], closing=[])


def eventually(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 5
    while not true():
        assert time.monotonic() < deadline, "it does not come about"
        time.sleep(0.005)


def test_the_resolvers_by_default_and_others_by_name_or_role(lab: Any) -> None:
    assert Observation(lab).taps == ("resolver-1", "resolver-2")
    assert Observation(lab, ("root", "host")).taps == ("root-a", "root-b", "root-c", "host")
    for wrong in ("nobody", "192.0.2.1"):
        with pytest.raises(BadInput):
            Observation(lab, (wrong,))


def test_everything_is_asked_for_before_it_is_told(lab: Any) -> None:
    with Observation(lab, ("resolver-1",)) as seen:
        [tap] = FakeTap.made
        tap.see(b"one", b"two")
        assert [message.wire for message in seen.messages] == [b"one", b"two"]
        assert tap.syncs == 1
        tap.see(b"three")
    assert [message.wire for message in seen.messages] == [b"one", b"two", b"three"]
    assert (tap.syncs, tap.alive) == (2, False)
    assert lab.watching == lab.closing == []
    assert (seen.messages[0].source, seen.messages[0].destination) == (CLIENT, SERVER)


def test_waiting_ends_when_it_comes_or_is_cleared_or_not_at_all(lab: Any) -> None:
    with Observation(lab, ("resolver-1",)) as seen:
        [tap] = FakeTap.made
        threading.Timer(0.05, lambda: tap.see(b"late")).start()
        assert seen.wait_for(lambda message: message.wire == b"late").wire == b"late"
        seen.clear()
        with pytest.raises(NotSeen, match="0 messages were seen"):
            seen.wait_for(lambda message: message.wire == b"late", deadline=0.05)


def test_messages_are_followed_bit_by_bit(lab: Any) -> None:
    with Observation(lab, ("resolver-1",), prompt=True) as seen:
        [tap] = FakeTap.made
        assert tap.prompt
        tap.see(b"before")
        assert [message.wire for message in seen.messages] == [b"before"]
        follower, syncs = seen.follow(), tap.syncs
        tap.see(b"one", b"two")
        threading.Timer(0.05, lambda: tap.see(b"three")).start()
        found = follower.more([lambda message: message.wire == b"one", lambda message: message.wire == b"three"])
        assert [message.wire for message in found] == [b"one", b"two", b"three"]
        assert tap.syncs == syncs, "the taps need not be asked for what comes"
        tap.see(b"four")
        assert [message.wire for message in follower.more()] == [b"four"]
        assert tap.syncs == syncs + 1
        assert follower.more([lambda message: message.wire == b"never"], deadline=0.05) == []
        assert tap.syncs == syncs + 2, "what does not come is asked for after all"


def test_a_tap_that_ends_is_told_and_comes_back(lab: Any) -> None:
    with Observation(lab, ("resolver-1",)) as seen:
        FakeTap.made[0].dropped = 3
        lab.nodes["resolver-1"].life = ""
        FakeTap.made[0].end()
        assert seen.stopped == {"resolver-1": "its container is gone"}
        lab.nodes["resolver-1"].life = "2"
        eventually(lambda: not seen.stopped)
        FakeTap.made[1].dropped = 2
        assert seen.dropped == {"resolver-1": 5}
        [gap] = seen.gaps
        assert gap.until is not None
        assert gap.since <= gap.until


def test_a_node_started_anew_is_watched_before_its_start_returns(lab: Any) -> None:
    with Observation(lab, ("resolver-1",)) as seen:
        for resume in lab.watching:
            resume("resolver-1")
            resume("resolver-2")
        assert len(FakeTap.made) == 1, "it was only paused"
        lab.nodes["resolver-1"].life = "2"
        for resume in lab.watching:
            resume("resolver-1")
        assert [tap.alive for tap in FakeTap.made] == [False, True]
        assert len(seen.gaps) == 1
        assert not seen.stopped


def test_what_cannot_begin_leaves_nothing_behind(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeTap, "refuse", True)
    with pytest.raises(EnvironmentProblem, match="does not run"), Observation(lab):
        pass
    assert lab.watching == lab.closing == []
