"""The iptables rules that lead packets to the conditioner: chains of its own, put in and taken out as a whole.

Never a table flushed, never another's rule touched: Docker has rules of its own in every namespace. The chains are
written anew, atomically, by one ``iptables-restore --noflush`` for IPv4 and one for IPv6.

More packets are led here at once, fewer only after a moment: to take a rule out costs the kernel tens of milliseconds,
the next fault may want the same packets, and one that meets no rule of the conditioner goes on as it came.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from ipaddress import ip_address
from typing import Final

from .conditions import Rule
from .loop import READ, Loop, Timer
from .redirect import redirect_text, redirects

QUEUE: Final = 53
"""Number of the NFQUEUE; the namespace is the node's, and no server program uses one."""
REJECTED: Final = 0xD5B1
"""Mark on a packet that the filter table is to refuse."""
BLANK: Final = 0xD5B2
"""Mark on a packet of the conditioner's own, to be made a copy of another."""

_CHAINS: Final = {"in": "dnslab-in", "out": "dnslab-out"}
_HOOKS: Final = {"in": "INPUT ! -i lo", "out": "OUTPUT ! -o lo"}
_PEER: Final = {"in": "-s", "out": "-d"}
_REJECT: Final = "dnslab-reject"
_UNREACHABLE: Final = {4: "icmp-port-unreachable", 6: "icmp6-port-unreachable"}
# With bypass packets pass when nobody listens: if the conditioner is killed the link is as before, not dead.
_TO_QUEUE: Final = f"-j NFQUEUE --queue-num {QUEUE} --queue-bypass"
_TO_PROXY: Final = "-p tcp -m conntrack --ctstate DNAT --ctdir ORIGINAL"
_MOMENT: Final = 0.2  # seconds that packets are still led here for which there is no rule any more
_STREAMS: Final = "streams"  # in the place of a direction: the connections that are led to the proxy
_Packets = frozenset[tuple[str, str, str]]  # direction, peer or "" for anybody, transport with its ports


def rules_text(rules: Iterable[Rule], version: int, *, there: bool) -> str:
    """Return what ``iptables-restore --noflush`` (IP `version` 4 or 6) is to read so that these rules are in force.

    `there`: whether chains of the conditioner are there already. Without rules the text takes them away.
    """
    rules = list(rules)
    if not rules:
        return _removal() if there else ""
    mangle = [line for direction in ("in", "out") for line in _chain(rules, direction, version)]
    hooks = [f"-I {hook}" for hook in _hooks()]
    filtering = [
        f"-A {_REJECT} -p tcp -j REJECT --reject-with tcp-reset",
        f"-A {_REJECT} -j REJECT --reject-with {_UNREACHABLE[version]}",
    ]
    rejecting = [f"-I {hook}" for hook in _rejecting()]
    return _table("mangle", _CHAINS.values(), mangle + ([] if there else hooks)) + _table(
        "filter", [_REJECT], filtering + ([] if there else rejecting)
    )


def _hooks() -> list[str]:
    """Return what leads from the built-in chains to ours, the last to be inserted coming first there."""
    # A copy begins as a packet of our own. One for the node itself goes out by the loopback and comes in by it.
    blank = f"-m mark --mark {BLANK:#x} {_TO_QUEUE}"
    chains = [f"{_HOOKS[direction]} -j {chain}" for direction, chain in _CHAINS.items()]
    return [*chains, f"INPUT -i lo {blank}", f"OUTPUT ! -o lo {blank}"]


def _rejecting() -> list[str]:
    return [f"{hook} -m mark --mark {REJECTED:#x} -j {_REJECT}" for hook in ("INPUT", "OUTPUT")]


def _chain(rules: list[Rule], direction: str, version: int) -> list[str]:
    chain = _CHAINS[direction]
    lines = [
        f"-A {chain} {f'{_PEER[direction]} {peer} ' if peer else ''}-p {protocol} {_TO_QUEUE}"
        for way, peer, protocol in sorted(_packets(rules))
        if way == direction and (not peer or ip_address(peer).version == version)
    ]
    # What goes to the proxy is no packet on a link yet; what the proxy sends in its stead is.
    return [f"-A {chain} {_TO_PROXY} -j RETURN", *lines] if lines and direction == "out" else lines


def _packets(rules: Iterable[Rule]) -> _Packets:
    """Return which packets rules are about."""
    return frozenset(
        (direction, peer, protocol)
        for rule in rules
        for direction, protocol in _protocols(rule)
        for peer in rule.peers or ("",)
    )


def _protocols(rule: Rule) -> Iterator[tuple[str, str]]:
    """Give direction and protocol, as iptables has it, of a rule's packets; messages over TCP come by the proxy."""
    port = "--sport" if rule.match.get("message") == "response" else "--dport"
    for direction in rule.directions:
        for transport in rule.transports:
            if not rule.match:
                yield direction, transport
            elif transport == "udp":
                yield direction, f"udp {port} 53"
            else:
                yield _STREAMS, transport


def _proxied(rules: Iterable[Rule]) -> bool:
    return any(direction == _STREAMS for direction, _, _ in _packets(rules))


def _table(table: str, chains: Iterable[str], lines: Iterable[str]) -> str:
    """Return a table's part; naming a chain makes it, or empties it if it is there."""
    return "\n".join([f"*{table}", *(f":{chain} - [0:0]" for chain in chains), *lines, "COMMIT", ""])


def _removal() -> str:
    hooks = [f"-D {hook}" for hook in _hooks()]
    rejecting = [f"-D {hook}" for hook in _rejecting()]
    return _table("mangle", _CHAINS.values(), [*hooks, *(f"-X {chain}" for chain in _CHAINS.values())]) + _table(
        "filter", [_REJECT], [*rejecting, f"-X {_REJECT}"]
    )


_There = tuple[bool, bool]
"""Which chains of ours are there: those for packets, those that lead connections to the proxy."""


class FirewallError(Exception):
    """iptables refused; the text is what it said."""


class Firewall:
    """Keeps the rules in force that were last asked for; never waits for iptables, which takes some milliseconds.

    Changes asked for while one is under way are made together, after it. Nothing is done at once when all packets are
    led here already: those that no rule wants any more are let go later, when it is `idle`, as the kernel may lose
    packets that wait for a verdict while its rules are written.
    """

    def __init__(self, loop: Loop, idle: Callable[[], bool] = lambda: True) -> None:
        self._loop = loop
        self._idle = idle
        self._there = _left_behind()  # by IP version: chains for packets, chains that lead to the proxy
        self._wanted: list[Rule] = []
        self._waiting: list[Callable[[str], None]] = []
        self._served: list[Callable[[str], None]] = []
        self._running: dict[subprocess.Popen[bytes], tuple[int, _There]] = {}  # IP version; what was there before
        self._complaint = ""
        self._led: _Packets = frozenset()  # what is led here now
        self._narrowing: Timer | None = None

    def ask(self, rules: Iterable[Rule], done: Callable[[str], None]) -> None:
        """Have these rules in force and call back with what iptables complained of, with nothing if it did not."""
        self._wanted = list(rules)
        if not self._running and _packets(self._wanted) <= self._led:
            self._narrow_soon()
            done("")
            return
        self._waiting.append(done)
        if not self._running:
            self._start()

    def _narrow_soon(self) -> None:
        if self._narrowing is None:
            self._narrowing = self._loop.at(time.monotonic() + _MOMENT, self._narrow)

    def _narrow(self) -> None:
        self._narrowing = None
        if self._running or _packets(self._wanted) == self._led:
            return
        if not self._idle():
            self._narrow_soon()
        else:
            self._waiting.append(_log)
            self._start()

    def clear(self) -> None:
        """Take all rules out, waiting for it: for the end. Raises FirewallError."""
        for process in self._running:
            process.wait()
        for version in [version for version, there in self._there.items() if any(there)]:
            process = _restore(version, _text([], version, self._there[version]))
            assert process.stderr is not None
            said = process.stderr.read()
            if process.wait():
                raise FirewallError(said.decode(errors="replace").strip())
        self._there = dict.fromkeys(self._there, (False, False))
        self._led = frozenset()

    def _start(self) -> None:
        self._served, self._waiting, self._complaint = self._waiting, [], ""
        self._asked = _packets(self._wanted)
        for version, there in self._there.items():
            text = _text(self._wanted, version, there)
            self._there[version] = (bool(self._wanted), _proxied(self._wanted))
            if text:
                process = _restore(version, text)
                self._running[process] = (version, there)
                self._loop.watch(_stderr(process), READ, partial(self._heard, process))
        if not self._running:
            self._finish()

    def _heard(self, process: subprocess.Popen[bytes]) -> None:
        said = os.read(_stderr(process), 4096)
        if said:
            self._complaint += said.decode(errors="replace")
            return
        # It has closed its stderr: it is ending.
        self._loop.unwatch(_stderr(process))
        assert process.stderr is not None
        process.stderr.close()
        version, before = self._running.pop(process)
        if process.wait():
            self._there[version] = before  # all or nothing: what it refused has changed nothing
            self._complaint = self._complaint or f"iptables-restore ended with status {process.returncode}"
        if not self._running:
            self._finish()

    def _finish(self) -> None:
        # Of what was refused nothing is known: whatever is asked for next is written anew.
        self._led = frozenset() if self._complaint else self._asked
        served, self._served = self._served, []
        for done in served:
            done(self._complaint.strip())
        if self._waiting and not self._running:
            self._start()


def _log(complaint: str) -> None:
    """Nobody waits for what is put right behind the scenes; the helper's log is read when it does not come up."""
    if complaint:
        print(f"iptables: {complaint}", file=sys.stderr, flush=True)  # noqa: T201 - its log


_COMMANDS: Final = {4: "iptables", 6: "ip6tables"}


def _restore(version: int, text: str) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(
        [f"{_COMMANDS[version]}-restore", "--noflush"], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it says on stderr why it ended
        process.stdin.write(text.encode())
        process.stdin.close()
    return process


def _text(rules: list[Rule], version: int, there: _There) -> str:
    streams = redirect_text(_TO_QUEUE, wanted=_proxied(rules), there=there[1])
    return rules_text(rules, version, there=there[0]) + streams


def _left_behind() -> dict[int, _There]:
    """Tell, by IP version, which chains a conditioner that was killed left here."""
    looking = {
        version: subprocess.Popen([f"{command}-save"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for version, command in _COMMANDS.items()
    }
    saved = {version: process.communicate()[0] for version, process in looking.items()}
    return {version: (f":{_CHAINS['in']} " in text, redirects(text)) for version, text in saved.items()}


def _stderr(process: "subprocess.Popen[bytes]") -> int:
    assert process.stderr is not None
    return process.stderr.fileno()
