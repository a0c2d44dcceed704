"""Disturbs the links of one node, as told over a socket; ``python3 -m agent.conditioner [--socket PATH]``.

It runs in a helper container that shares the node's network namespace. Packets that some rule selects are led to it by
iptables through an NFQUEUE (:mod:`.firewall`); what becomes of each is decided here (:mod:`.effects`), and the packet
waits in the kernel until its verdict. The protocol is in :mod:`.conditions`.

A rule ends at its deadline, when its owner removes it, and when the connection it came on is closed: whoever owned it
is gone. Those of declared links have no owner and stay. The conditioner itself ends when nobody is connected and no
link is declared, or when the node is gone and its namespace empty.
"""

import argparse
import gc
import heapq
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from .conditions import Rule, State
from .copies import Copier
from .damage import damaged
from .datagrams import leads_to_proxy, through
from .effects import Effect, Fate, effect
from .firewall import BLANK, QUEUE, REJECTED, Firewall
from .kernel import nfqueue_refused
from .loop import READ, Loop, Timer
from .messages import MessageRule, Messages
from .nfqueue import IN, OUT, Packet, Queue
from .owner import Owner
from .protocol import ProtocolError
from .proxy import Proxy
from .redirect import REDIRECTED
from .server import Server

SOCKET: Final = "/run/conditioner"
_HOOKS: Final = {"in": IN, "out": OUT}
_PROTOCOLS: Final = {"tcp": 6, "udp": 17}


class Active:
    """A rule in force; one without an owner is a declared link's, and does not end."""

    def __init__(self, rule: Rule, owner: Owner | None) -> None:
        self.rule = rule
        self.owner = owner
        self.messages = MessageRule(rule) if rule.match else None
        self.effect: Effect | None = None if rule.match else effect(rule.effect, rule.seed)
        self.ends = time.monotonic() + rule.lasts
        self.deadline: Timer | None = None
        self.seen = self.matched = self.acted = 0
        self._hooks = frozenset(_HOOKS[direction] for direction in rule.directions)
        self._protocols = frozenset(_PROTOCOLS[transport] for transport in rule.transports)
        self._peers = frozenset(ip_address(peer).packed for peer in rule.peers)

    def apply(self, fate: Fate, hook: int, protocol: int, peer: bytes, size: int, now: float) -> None:
        """Add to the fate of a packet, if it is one of the rule's."""
        if self.effect is None:
            return
        self.seen += 1
        if hook in self._hooks and protocol in self._protocols and (not self._peers or peer in self._peers):
            self.matched += 1
            self.acted += self.effect.apply(fate, size, now)

    def restart(self) -> None:
        """Put the counters to 0, chance back to the seed, and the deadline as far off as at first."""
        self.ends = time.monotonic() + self.rule.lasts
        if self.messages is not None:
            self.messages.restart()
            return
        self.effect = effect(self.rule.effect, self.rule.seed)
        self.seen = self.matched = self.acted = 0

    @property
    def state(self) -> State:
        """The rule with its counters."""
        counted = self.messages or self
        left = None if self.owner is None else max(0.0, self.ends - time.monotonic())
        return State(self.rule, counted.seen, counted.matched, counted.acted, left)


class Traffic:
    """Takes packets from the queue and gives each its verdict when its time has come."""

    def __init__(self, loop: Loop, queue: Queue, rules: Mapping[str, Active], messages: Messages) -> None:
        self._loop = loop
        self._queue = queue
        self._rules = rules
        self._messages = messages
        self._copier = Copier(BLANK)
        self._held: list[tuple[float, int, bytes]] = []  # when, order of arrival, verdict
        self._order = 0
        self._wake = float("inf")  # the earliest time the loop is to wake us
        loop.watch(queue.fileno(), READ, self._arrive)

    @property
    def holding(self) -> bool:
        """Whether packets wait for their time."""
        return bool(self._held)

    def _arrive(self) -> None:
        at_once: list[bytes] = []
        for packet in self._queue.packets():
            now = time.monotonic()  # of each: the last of many came later than the first, and no delay is to be shorter
            if packet.mark == BLANK:
                copy = self._copier.content(packet)
                at_once.append(self._queue.accept_changed(packet.id, copy) if copy else self._queue.drop(packet.id))
                continue
            if self._messages and leads_to_proxy(packet, self._messages):
                at_once.append(self._queue.accept_marked(packet.id, REDIRECTED))
                continue
            fate = self._fate(packet, now)
            sent = through(packet, self._messages, fate) if self._messages else packet
            verdict = self._verdict(sent, fate, altered=sent is not packet)
            for _ in range(fate.copies if not (fate.lost or fate.rejected) else 0):
                self._loop.at(now + fate.delay, partial(self._copier.copy, sent))
            if fate.delay <= 0 or fate.lost:
                at_once.append(verdict)
            else:
                self._order += 1
                heapq.heappush(self._held, (now + fate.delay, self._order, verdict))
        if at_once:
            self._queue.send(at_once)
        self._set_alarm()

    def _fate(self, packet: Packet, now: float) -> Fate:
        fate, content = Fate(packet.hook), packet.content
        if len(content) < 20:
            return fate
        if content[0] >> 4 == 4:  # RFC 791 section 3.1
            protocol, size = content[9], content[2] << 8 | content[3]
            peer = content[12:16] if packet.hook == IN else content[16:20]
        else:  # RFC 8200 section 3; a fragment's header is gone: connection tracking puts the packet together
            protocol, size = content[6], (content[4] << 8 | content[5]) + 40
            peer = content[8:24] if packet.hook == IN else content[24:40]
        for rule in self._rules.values():
            rule.apply(fate, packet.hook, protocol, peer, size, now)
        return fate

    def _verdict(self, packet: Packet, fate: Fate, *, altered: bool) -> bytes:
        if fate.lost:
            return self._queue.drop(packet.id)
        if fate.rejected:
            return self._queue.accept_marked(packet.id, REJECTED)
        if altered or fate.damage:
            return self._queue.accept_changed(packet.id, damaged(packet.content, fate.damage))
        return self._queue.accept(packet.id)

    def _set_alarm(self) -> None:
        if self._held and self._held[0][0] < self._wake:
            self._wake = self._held[0][0]
            self._loop.at(self._wake, self._release)

    def _release(self) -> None:
        now, held, due = time.monotonic(), self._held, []
        while held and held[0][0] <= now:
            due.append(heapq.heappop(held)[2])
        self._wake = float("inf")
        self._queue.send(due)
        self._set_alarm()

    def close(self) -> None:
        """Let go of what is held, and of what has come in unread: the kernel would drop it."""
        self._loop.unwatch(self._queue.fileno())
        self._queue.send([verdict for _, _, verdict in sorted(self._held)])
        while unread := [self._queue.accept(packet.id) for packet in self._queue.packets()]:
            self._queue.send(unread)
        self._queue.close()
        self._copier.close()


class Conditioner(Server[Owner]):
    """Serves owners until there are none."""

    def __init__(self, path: Path) -> None:
        super().__init__(Loop(), path)
        self._rules: dict[str, Active] = {}
        self._messages = Messages()
        self._proxy = Proxy(self._loop, self._messages)
        self._traffic: Traffic | None = None
        self._refusal = ""
        try:
            self._traffic = Traffic(self._loop, Queue(QUEUE), self._rules, self._messages)
        except OSError as error:  # told to who asks for a rule: nobody reads the log of a helper
            self._refusal = nfqueue_refused(error)
        self._firewall = Firewall(self._loop, idle=lambda: self._traffic is None or not self._traffic.holding)
        self._operations: Mapping[str, Callable[[Owner, dict[str, Any]], None]] = {
            "add": self._add,
            "remove": self._remove,
            "restart": self._restart,
            "declare": self._declare,
            "list": self._list,
        }

    def run(self) -> None:
        """Serve; at the end no rule is left, here or in the kernel."""
        try:
            super().run()
        finally:
            # First the rules, so that nothing new arrives; then what is still held is let go.
            try:
                self._firewall.clear()
            finally:
                self._proxy.close()
                if self._traffic is not None:
                    self._traffic.close()

    def client(self, connection: socket.socket) -> Owner:
        """Make an owner of a new connection."""
        return Owner(connection)

    def request(self, owner: Owner, request: dict[str, Any]) -> None:
        """Do what an owner asks for. Raises ProtocolError."""
        self._operation(request)(owner, request)

    def lost(self, owner: Owner) -> None:
        """End the rules of an owner that is gone."""
        self._drop(rule for rule in list(self._rules.values()) if rule.owner is owner)
        self._apply(lambda _complaint: None)

    def stays(self) -> bool:
        """Tell whether there are rules that nobody owns, those of declared links."""
        return bool(self._declared())

    def busy(self) -> bool:
        """Tell whether connections go by the proxy, which are not to be cut off."""
        return self._proxy.busy

    def _operation(self, request: Mapping[str, Any]) -> Callable[[Owner, dict[str, Any]], None]:
        operation = request.get("op")
        if not isinstance(operation, str) or operation not in self._operations:
            raise ProtocolError(f'"op" is one of {", ".join(self._operations)}')
        return self._operations[operation]

    # The operations

    def _add(self, owner: Owner, request: dict[str, Any]) -> None:
        if self._refusal:
            raise ProtocolError(self._refusal)
        rule = Rule.from_json(request.get("rule"))
        if rule.id in self._rules:
            raise ProtocolError(f"there is a rule {rule.id} already")
        active = self._rules[rule.id] = Active(rule, owner)
        active.deadline = self._loop.at(active.ends, partial(self._expire, active, owner))

        def done(complaint: str) -> None:
            if complaint:
                self._drop([active] if self._rules.get(rule.id) is active else [])
                owner.tell({"error": f"iptables: {complaint}", "id": request.get("id")})
            else:
                owner.tell({"id": request.get("id"), "added": rule.id})

        self._apply(done)

    def _remove(self, owner: Owner, request: dict[str, Any]) -> None:
        names = request.get("rules", [name for name, active in self._rules.items() if active.owner is not None])
        if not isinstance(names, list):
            raise ProtocolError('"rules" is a list of their ids')
        found = [self._rules[name] for name in names if name in self._rules]
        removed = self._drop(active for active in found if active.owner is not None)
        for active in removed:
            if active.owner is not None and active.owner is not owner:
                active.owner.tell({"ended": active.state.to_json(), "why": "healed"})

        def done(complaint: str) -> None:
            outcome = {"error": f"iptables: {complaint}"} if complaint else {}
            owner.tell({"id": request.get("id"), "removed": [active.state.to_json() for active in removed], **outcome})

        self._apply(done)

    def _restart(self, owner: Owner, request: dict[str, Any]) -> None:
        active = self._rules.get(str(request.get("rule")))
        if active is None:
            raise ProtocolError(f"there is no rule {request.get('rule')}")
        active.restart()
        if active.deadline is not None and active.owner is not None:
            self._loop.cancel(active.deadline)
            active.deadline = self._loop.at(active.ends, partial(self._expire, active, active.owner))
        owner.tell({"id": request.get("id"), "restarted": active.rule.id})

    def _declare(self, owner: Owner, request: dict[str, Any]) -> None:
        wanted = request.get("rules")
        if not isinstance(wanted, list):
            raise ProtocolError('"rules" is a list of rules')
        rules = {rule.id: rule for rule in map(Rule.from_json, wanted)}
        fresh = {name: Active(rule, None) for name, rule in rules.items()}  # refuses what is no effect
        if rules and self._refusal:
            raise ProtocolError(self._refusal)
        # What stays as it is keeps its counters and its chance.
        self._drop([active for active in self._declared() if rules.get(active.rule.id) != active.rule])
        if taken := next((name for name in rules if name in self._rules and self._rules[name].owner is not None), None):
            raise ProtocolError(f"there is a rule {taken} already")
        self._rules.update({name: active for name, active in fresh.items() if name not in self._rules})

        def done(complaint: str) -> None:
            outcome = {"error": f"iptables: {complaint}"} if complaint else {"declared": len(rules)}
            owner.tell({"id": request.get("id"), **outcome})

        self._apply(done)

    def _declared(self) -> list[Active]:
        return [active for active in self._rules.values() if active.owner is None]

    def _list(self, owner: Owner, request: dict[str, Any]) -> None:
        states: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
        for active in self._rules.values():
            states[active.owner is None].append(active.state.to_json())
        owner.tell({"id": request.get("id"), "rules": states[False], "links": states[True]})

    def _expire(self, active: Active, owner: Owner) -> None:
        if self._rules.get(active.rule.id) is active:
            self._drop([active])
            state = active.state.to_json()
            self._apply(lambda _complaint: owner.tell({"ended": state, "why": "deadline"}))

    def _drop(self, actives: Iterable[Active]) -> list[Active]:
        """Forget rules: from here on no packet meets them, even if it is still led here."""
        dropped = [self._rules.pop(active.rule.id) for active in actives]
        for active in dropped:
            if active.deadline is not None:
                self._loop.cancel(active.deadline)
        return dropped

    def _apply(self, done: Callable[[str], None]) -> None:
        rules = [active.rule for active in self._rules.values()]
        self._messages.settle(self._rules.values())
        try:
            self._proxy.listen(any(rule.match and "tcp" in rule.transports for rule in rules))
        except OSError as error:
            done(f"the proxy for TCP cannot listen: {error.strerror}")
        else:
            self._firewall.ask(rules, done)


def main() -> None:
    """Run the conditioner."""
    parser = argparse.ArgumentParser(prog="agent.conditioner", description=__doc__)
    parser.add_argument("--socket", type=Path, default=Path(SOCKET), metavar="PATH", help="where to listen")
    arguments = parser.parse_args()
    conditioner = Conditioner(arguments.socket)
    gc.freeze()
    gc.disable()  # nothing here makes cycles that last, and a collection would hold every packet up
    conditioner.run()


if __name__ == "__main__":
    main()
