"""The conditioner without a kernel: what owners ask and are told, and what verdict each packet gets, and when."""

import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from lab.agent import conditioner
from lab.agent.conditioner import Conditioner
from lab.agent.firewall import REJECTED
from lab.agent.loop import Loop
from lab.agent.nfqueue import ARRIVING, IN, OUT, Packet
from lab.agent.redirect import REDIRECTED

PEER, OTHER, NODE = "10.53.0.11", "10.53.0.12", "10.53.0.20"


class FakeQueue:
    """Packets come from a list, verdicts go to one; a socket pair stands for the kernel."""

    def __init__(self, _number: int) -> None:
        self.ours, self.kernels = socket.socketpair()
        self.ours.setblocking(False)
        self.arriving: list[Packet] = []
        self.verdicts: list[tuple[Any, ...]] = []

    def fileno(self) -> int:
        return self.ours.fileno()

    def arrive(self, *packets: Packet) -> None:
        self.arriving += packets
        self.kernels.send(b"x")

    def packets(self) -> Iterator[Packet]:
        with contextlib.suppress(BlockingIOError):
            self.ours.recv(100)
        packets, self.arriving = self.arriving, []
        yield from packets

    def accept(self, id: int) -> tuple[Any, ...]:
        return ("accept", id)

    def accept_marked(self, id: int, mark: int) -> tuple[Any, ...]:
        return ("mark", id, mark)

    def accept_changed(self, id: int, content: bytes) -> tuple[Any, ...]:
        return ("change", id, content)

    def drop(self, id: int) -> tuple[Any, ...]:
        return ("drop", id)

    def send(self, verdicts: list[tuple[Any, ...]]) -> None:
        self.verdicts += verdicts

    def close(self) -> None:
        self.ours.close()
        self.kernels.close()


class FakeFirewall:
    """Does at once what it is asked, or complains."""

    def __init__(self, _loop: Loop, **_how: object) -> None:
        self.rules: list[str] = []
        self.complaint = ""

    def ask(self, rules: list[Any], done: Callable[[str], None]) -> None:
        self.rules = [rule.id for rule in rules]
        done(self.complaint)


class Bench:
    """A conditioner, turned by hand."""

    def __init__(self, made: Conditioner, path: Path) -> None:
        self.made, self.path = made, path
        self.queue: Any = made._traffic._queue if made._traffic else None
        self.firewall: Any = made._firewall

    def turn(self, until: Callable[[], object]) -> None:
        deadline = time.monotonic() + 5
        while not until():
            assert time.monotonic() < deadline, "it does not come about"
            self.made._loop.run_once(wait=False)

    def connect(self) -> socket.socket:
        owner = socket.socket(socket.AF_UNIX)
        owner.connect(str(self.path))
        owner.settimeout(5)
        return owner

    def told(self, owner: socket.socket) -> dict[str, Any]:
        data = b""
        owner.setblocking(False)

        def whole() -> bool:
            nonlocal data
            try:
                data += owner.recv(1)
            except BlockingIOError:
                return False
            return data.endswith(b"\n")

        self.turn(whole)
        reply: dict[str, Any] = json.loads(data)
        return reply

    def ask(self, owner: socket.socket, op: str, **request: Any) -> dict[str, Any]:
        owner.sendall(json.dumps({"op": op, "id": 1, **request}).encode() + b"\n")
        return self.told(owner)

    def add(self, owner: socket.socket, id: str, effect: dict[str, Any], **fields: Any) -> None:
        rule = {"id": id, "effect": effect, "directions": ["in"], **fields}
        assert self.ask(owner, "add", rule=rule) == {"id": 1, "added": id}

    def verdicts(self, count: int) -> list[tuple[Any, ...]]:
        self.turn(lambda: len(self.queue.verdicts) >= count)
        found, self.queue.verdicts = self.queue.verdicts, []
        return list(found)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(conditioner, "Queue", FakeQueue)
    monkeypatch.setattr(conditioner, "Firewall", FakeFirewall)
    made = Conditioner(tmp_path / "socket")
    yield Bench(made, tmp_path / "socket")
    if made._traffic:
        made._traffic.close()
    made.close()


@pytest.fixture
def owner(bench: Bench) -> Iterator[socket.socket]:
    with bench.connect() as connection:
        yield connection


def packet(id: int, *, peer: str = PEER, hook: int = IN, protocol: int = 17) -> Packet:
    ends = (peer, NODE) if hook == IN else (NODE, peer)
    head = bytes([0x45, 0, 0, 45, 0, 0, 0, 0, 64, protocol, 0, 0])
    return Packet(id, hook, 0, head + b"".join(ip_address(end).packed for end in ends) + bytes(25))


def test_delays_end_in_the_order_of_their_deadlines(bench: Bench, owner: socket.socket) -> None:
    bench.add(owner, "slow", {"kind": "delay", "mean": 0.05}, peers=[PEER])
    bench.add(owner, "fast", {"kind": "delay", "mean": 0.01}, peers=[OTHER])
    began = time.monotonic()
    bench.queue.arrive(packet(1), packet(2, peer=OTHER), packet(3), packet(4, peer=NODE))
    assert bench.verdicts(1) == [("accept", 4)], "nobody's packet goes on at once"
    assert bench.verdicts(1) == [("accept", 2)]
    assert time.monotonic() - began >= 0.01
    assert bench.verdicts(2) == [("accept", 1), ("accept", 3)]
    assert time.monotonic() - began >= 0.05


def test_at_the_end_all_is_let_go(bench: Bench, owner: socket.socket) -> None:
    bench.add(owner, "slow", {"kind": "delay", "mean": 5.0})
    bench.queue.arrive(packet(1))
    bench.turn(lambda: bench.ask(owner, "list")["rules"][0]["acted"] == 1)
    bench.queue.arrive(packet(2))
    traffic, bench.made._traffic = bench.made._traffic, None
    assert traffic is not None
    traffic.close()
    assert bench.queue.verdicts == [("accept", 1), ("accept", 2)], "what was held, then what was not yet read"


def test_only_what_matches_is_touched_and_all_is_counted(bench: Bench, owner: socket.socket) -> None:
    bench.add(owner, "r", {"kind": "drop"}, peers=[PEER], transports=["udp"])
    bench.queue.arrive(packet(1), packet(2, peer=OTHER), packet(3, hook=OUT), packet(4, protocol=6))
    assert bench.verdicts(4) == [("drop", 1), ("accept", 2), ("accept", 3), ("accept", 4)]
    [state] = bench.ask(owner, "list")["rules"]
    assert (state["seen"], state["matched"], state["acted"]) == (4, 1, 1)
    assert bench.ask(owner, "restart", rule="r") == {"id": 1, "restarted": "r"}
    assert bench.ask(owner, "list")["rules"][0]["seen"] == 0


def test_rejected_packets_are_marked_and_lost_ones_are_lost(bench: Bench, owner: socket.socket) -> None:
    bench.add(owner, "a", {"kind": "reject"})
    bench.queue.arrive(packet(1))
    assert bench.verdicts(1) == [("mark", 1, REJECTED)]
    bench.add(owner, "b", {"kind": "drop"})
    bench.queue.arrive(packet(2))
    assert bench.verdicts(1) == [("drop", 2)]


def answer(id: int, *, hook: int = OUT, peer: str = PEER) -> Packet:
    """An answer over UDP: an id, QR and AA, a question of which nobody asks more than that it can be read."""
    message = bytes([0x12, 0x34, 0x84, 0, 0, 1, 0, 0, 0, 0, 0, 0]) + bytes([1]) + b"a" + bytes([0, 0, 1, 0, 1])
    ends = (peer, NODE) if hook == IN else (NODE, peer)
    udp = bytes([0, 53, 16, 0, 0, 8 + len(message), 0, 0]) + message
    head = bytes([0x45, 0, 0, 20 + len(udp), 0, 0, 0, 0, 64, 17, 0, 0])
    return Packet(id, hook, 0, head + b"".join(ip_address(end).packed for end in ends) + udp)


def test_messages_are_changed_on_their_way_and_counted(bench: Bench, owner: socket.socket) -> None:
    match = {"message": "response", "name": "a."}
    bench.add(owner, "m", {"kind": "wrong-id"}, match=match, directions=["out"], transports=["udp"], peers=[PEER])
    bench.add(owner, "slow", {"kind": "delay", "mean": 0.01}, directions=["out"])
    bench.queue.arrive(answer(1), answer(2, peer=OTHER), answer(3, hook=IN))
    verdicts = sorted(bench.verdicts(3), key=lambda verdict: verdict[1])
    assert [verdict[0] for verdict in verdicts] == ["change", "accept", "accept"]
    assert verdicts[0][2][28:30] == bytes([0x12 ^ 0xFF, 0x34 ^ 0xFF])
    states = {state["rule"]["id"]: state for state in bench.ask(owner, "list")["rules"]}
    assert [states["m"][count] for count in ("seen", "matched", "acted")] == [3, 1, 1]
    assert [states["slow"][count] for count in ("seen", "matched", "acted")] == [3, 2, 2]


def test_a_message_that_is_dropped_or_late(bench: Bench, owner: socket.socket) -> None:
    which = {"match": {"message": "response"}, "transports": ["udp"], "directions": ["out"]}
    bench.add(owner, "late", {"kind": "message-delay", "delay": 0.05}, **which)
    began = time.monotonic()
    bench.queue.arrive(answer(1))
    assert bench.verdicts(1) == [("accept", 1)]
    assert time.monotonic() - began >= 0.05
    bench.add(owner, "gone", {"kind": "message-drop"}, **which)
    bench.queue.arrive(answer(2))
    assert bench.verdicts(1) == [("drop", 2)]


def test_the_first_packet_of_a_connection_is_marked_for_the_proxy(
    bench: Bench, owner: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.made._proxy, "listen", lambda _wanted: None)
    head = bytes([0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0]) + ip_address(PEER).packed + ip_address(NODE).packed
    syn = Packet(1, ARRIVING, 0, head + bytes([16, 0, 0, 53, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2]) + bytes(6))
    bench.add(owner, "m", {"kind": "wrong-id"}, match={"message": "response"}, directions=["out"])
    bench.queue.arrive(syn)
    assert bench.verdicts(1) == [("mark", 1, REDIRECTED)]
    bench.ask(owner, "remove", rules=["m"])
    bench.queue.arrive(syn)
    assert bench.verdicts(1) == [("accept", 1)], "a connection that no rule is about goes straight on"


def test_a_removed_rule_leaves_its_counters(bench: Bench, owner: socket.socket) -> None:
    bench.add(owner, "a", {"kind": "drop"})
    bench.queue.arrive(packet(1))
    bench.verdicts(1)
    [state] = bench.ask(owner, "remove", rules=["a", "unknown"])["removed"]
    assert (state["rule"]["id"], state["acted"]) == ("a", 1)
    assert bench.firewall.rules == []
    bench.queue.arrive(packet(2))
    assert bench.verdicts(1) == [("accept", 2)]


def test_rules_go_with_their_owner(bench: Bench, owner: socket.socket) -> None:
    bench.add(owner, "a", {"kind": "drop"})
    with bench.connect() as other:
        bench.add(other, "b", {"kind": "drop"})
        assert bench.firewall.rules == ["a", "b"]
    bench.turn(lambda: bench.firewall.rules == ["a"])


def test_owners_are_told_that_somebody_else_healed(bench: Bench, owner: socket.socket) -> None:
    bench.add(owner, "a", {"kind": "drop"})
    with bench.connect() as other:
        assert len(bench.ask(other, "remove")["removed"]) == 1
        told = bench.told(owner)
    assert (told["why"], told["ended"]["rule"]["id"]) == ("healed", "a")


def test_a_deadline_ends_a_rule(bench: Bench, owner: socket.socket) -> None:
    bench.add(owner, "a", {"kind": "drop"}, lasts=0.05)
    told = bench.told(owner)
    assert (told["why"], told["ended"]["left"]) == ("deadline", 0.0)
    assert bench.firewall.rules == []


def test_what_iptables_refuses_is_no_rule(bench: Bench, owner: socket.socket) -> None:
    bench.firewall.complaint = "no such target"
    rule = {"id": "a", "effect": {"kind": "drop"}, "directions": ["in"]}
    assert bench.ask(owner, "add", rule=rule) == {"id": 1, "error": "iptables: no such target"}
    assert bench.ask(owner, "list")["rules"] == []


def declare(bench: Bench, owner: socket.socket, **delays: float) -> dict[str, Any]:
    """One rule a name, that delays by so many seconds."""
    rules = [
        {"id": name, "effect": {"kind": "delay", "mean": delay}, "directions": ["in"]} for name, delay in delays.items()
    ]
    return bench.ask(owner, "declare", rules=rules)


def test_declared_links_have_no_owner_and_no_end(bench: Bench) -> None:
    with bench.connect() as owner:
        assert declare(bench, owner, near=0.01, far=0.02) == {"id": 1, "declared": 2}
        bench.add(owner, "fault", {"kind": "drop"})
        listed = bench.ask(owner, "list")
        assert [state["rule"]["id"] for state in listed["rules"]] == ["fault"]
        assert [(state["rule"]["id"], state["left"]) for state in listed["links"]] == [("near", None), ("far", None)]
        assert len(bench.ask(owner, "remove")["removed"]) == 1, "healing leaves them"
        assert bench.ask(owner, "remove", rules=["near"])["removed"] == []
    bench.turn(lambda: not bench.made._clients)
    assert bench.firewall.rules == ["near", "far"]
    assert bench.made._alone.callback is None, "it does not end while links are declared"
    with bench.connect() as owner:
        assert declare(bench, owner) == {"id": 1, "declared": 0}
    bench.turn(lambda: not bench.made._clients)
    assert bench.made._alone.callback is not None


def test_declaring_again_changes_only_what_has_changed(bench: Bench, owner: socket.socket) -> None:
    declare(bench, owner, near=0.001, far=0.001)
    bench.queue.arrive(packet(1))
    bench.verdicts(1)
    declare(bench, owner, near=0.001, far=0.002, new=0.001)
    counted = {state["rule"]["id"]: state["acted"] for state in bench.ask(owner, "list")["links"]}
    assert counted == {"near": 1, "far": 0, "new": 0}


def test_a_declared_link_and_a_fault_add_up(bench: Bench, owner: socket.socket) -> None:
    declare(bench, owner, near=0.02)
    bench.add(owner, "fault", {"kind": "delay", "mean": 0.02})
    began = time.monotonic()
    bench.queue.arrive(packet(1))
    bench.verdicts(1)
    assert time.monotonic() - began >= 0.04


def test_damaged_packets_go_on_changed(bench: Bench, owner: socket.socket) -> None:
    bench.add(owner, "a", {"kind": "damage", "share": 1.0})
    arriving = packet(1)
    bench.queue.arrive(arriving)
    [(verdict, id, content)] = bench.verdicts(1)
    assert (verdict, id) == ("change", 1)
    assert len(content) == len(arriving.content)
    assert sum((one ^ other).bit_count() for one, other in zip(content, arriving.content, strict=True)) == 1


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        ({"op": "dance"}, '"op" is one of add'),
        ({"op": "add"}, "a rule is an object"),
        ({"op": "add", "rule": {"id": "a", "effect": {"kind": "tarpit"}, "directions": ["in"]}}, "no effect"),
        ({"op": "remove", "rules": "a"}, "list of their ids"),
        ({"op": "restart", "rule": "a"}, "no rule a"),
        ({"op": "declare", "rules": "a"}, "list of rules"),
        ({"op": "declare", "rules": [{"id": "a", "effect": {"kind": "tarpit"}, "directions": ["in"]}]}, "no effect"),
    ],
)
def test_what_is_no_request_is_answered(
    bench: Bench, owner: socket.socket, request_: dict[str, Any], text: str
) -> None:
    assert text in bench.ask(owner, **request_)["error"]


def test_one_id_is_one_rule(bench: Bench, owner: socket.socket) -> None:
    bench.add(owner, "a", {"kind": "drop"})
    rule = {"id": "a", "effect": {"kind": "drop"}, "directions": ["in"]}
    assert "already" in bench.ask(owner, "add", rule=rule)["error"]


def test_a_kernel_without_nfqueue_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_number: int) -> None:
        raise OSError(93, "Protocol not supported")

    monkeypatch.setattr(conditioner, "Queue", refuse)
    monkeypatch.setattr(conditioner, "Firewall", FakeFirewall)
    bench = Bench(Conditioner(tmp_path / "socket"), tmp_path / "socket")
    with bench.connect() as owner:
        rule = {"id": "a", "effect": {"kind": "drop"}, "directions": ["in"]}
        assert "NFQUEUE does not work in this kernel" in bench.ask(owner, "add", rule=rule)["error"]
        assert bench.ask(owner, "list")["rules"] == []
