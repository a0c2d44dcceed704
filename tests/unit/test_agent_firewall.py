"""The text that iptables-restore reads: exactly our own chains, put in and taken out as a whole."""

import re
import subprocess
import time
from collections.abc import Callable

import pytest

from lab.agent import firewall
from lab.agent.conditions import Rule
from lab.agent.firewall import rules_text
from lab.agent.loop import Loop

PEERS = ("10.53.0.11", "fd53::11")


def rule(**fields: object) -> Rule:
    return Rule(**{"id": "r", "effect": {"kind": "drop"}, "directions": ("in",), **fields})  # type: ignore[arg-type]


def lines(text: str, start: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(start)]


def test_only_the_asked_packets_are_queued() -> None:
    text = rules_text([rule(peers=PEERS, transports=("udp",))], 4, there=False)
    assert lines(text, "-A dnslab-in") == ["-A dnslab-in -s 10.53.0.11 -p udp -j NFQUEUE --queue-num 53 --queue-bypass"]
    assert not lines(text, "-A dnslab-out")
    text = rules_text([rule(peers=PEERS, directions=("out",))], 6, there=False)
    assert lines(text, "-A dnslab-out") == [
        "-A dnslab-out -p tcp -m conntrack --ctstate DNAT --ctdir ORIGINAL -j RETURN",
        *(
            f"-A dnslab-out -d fd53::11 -p {transport} -j NFQUEUE --queue-num 53 --queue-bypass"
            for transport in ("tcp", "udp")
        ),
    ]


def test_a_dead_conditioner_is_no_outage() -> None:
    text = rules_text([rule(directions=("in", "out"))], 4, there=False)
    assert all("--queue-bypass" in line for line in text.splitlines() if "NFQUEUE" in line)
    assert "DROP" not in text


def test_the_loopback_is_left_alone() -> None:
    text = rules_text([rule(directions=("in", "out"))], 4, there=False)
    assert "-I INPUT ! -i lo -j dnslab-in" in text
    assert "-I OUTPUT ! -o lo -j dnslab-out" in text


def test_overlapping_rules_queue_a_packet_once() -> None:
    text = rules_text([rule(id="a", peers=PEERS), rule(id="b", peers=PEERS)], 4, there=False)
    chain = lines(text, "-A dnslab-in")
    assert len(chain) == len(set(chain)) == 2


@pytest.mark.parametrize("version", [4, 6])
def test_what_was_put_in_is_taken_out_and_nothing_else(version: int) -> None:
    put, taken = rules_text([rule()], version, there=False), rules_text([], version, there=True)
    inserted = [line.removeprefix("-I ") for line in lines(put, "-I ")]
    assert [line.removeprefix("-D ") for line in lines(taken, "-D ")] == inserted
    assert sorted(line.removeprefix("-X ") for line in lines(taken, "-X ")) == sorted(
        line[1:].split()[0] for line in lines(put, ":")
    )
    touched = set(re.findall(r"^(?::|-[AX] )(\S+)", put + taken, re.M))
    assert touched == {"dnslab-in", "dnslab-out", "dnslab-reject"}, "no chain but our own is emptied or removed"


def test_a_change_inserts_no_second_hook() -> None:
    assert not lines(rules_text([rule()], 4, there=True), "-I ")


def test_nothing_to_do_is_nothing() -> None:
    assert rules_text([], 4, there=False) == ""


def test_refusals_are_of_the_right_protocol() -> None:
    assert "icmp-port-unreachable" in rules_text([rule()], 4, there=False)
    assert "icmp6-port-unreachable" in rules_text([rule()], 6, there=False)
    assert "-p tcp -j REJECT --reject-with tcp-reset" in rules_text([rule()], 6, there=False)


class Kept:
    """A firewall whose iptables-restore is a program that does nothing, with what it was given to read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.texts: list[str] = []
        monkeypatch.setattr(firewall, "_left_behind", lambda: {4: (False, False), 6: (False, False)})
        monkeypatch.setattr(firewall, "_restore", self._restore)
        monkeypatch.setattr(firewall, "_MOMENT", 0.05)
        self.loop = Loop()
        self.made = firewall.Firewall(self.loop)

    def _restore(self, _version: int, text: str) -> "subprocess.Popen[bytes]":
        self.texts.append(text)
        return subprocess.Popen(["true"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def turn(self, until: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not until():
            assert time.monotonic() < deadline, "it does not come about"
            self.loop.run_once(wait=False)

    def ask(self, *rules: Rule) -> list[str]:
        """Ask for rules and wait for the word that they are in force; what iptables was given meanwhile."""
        self.texts.clear()
        said: list[str] = []
        self.made.ask(list(rules), said.append)
        self.turn(lambda: bool(said))
        assert said == [""]
        return list(self.texts)


def test_packets_are_led_here_at_once_and_let_go_a_moment_later(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept(monkeypatch)
    assert len(kept.ask(rule(peers=PEERS))) == 2, "IPv4 and IPv6"
    assert kept.ask() == [], "no packet meets a rule any more: that is enough for now"
    kept.turn(lambda: len(kept.texts) == 2)
    assert all("-X dnslab-in" in text for text in kept.texts)


def test_the_next_rule_for_the_same_packets_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept(monkeypatch)
    kept.ask(rule(id="a", peers=PEERS))
    kept.ask()
    assert kept.ask(rule(id="b", peers=PEERS)) == []
    assert kept.ask(rule(id="b", peers=PEERS), rule(id="c", peers=PEERS, transports=("udp",))) == []
    assert len(kept.ask(rule(id="d"))) == 2, "anybody's packets are more than that peer's"
    kept.texts.clear()
    began = time.monotonic()
    kept.turn(lambda: time.monotonic() - began > 0.2)
    assert kept.texts == [], "what is wanted is there, and nothing else"
