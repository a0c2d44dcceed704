"""Messages as a tap would see them, written in a line each, for the tests of stories."""

from __future__ import annotations

from functools import cache

import dns.message
import dns.rrset

from lab.labs import load
from lab.observe.message import Message
from lab.topology.derive import derive
from lab.topology.model import Topology

_ID = 7000


@cache
def textbook(lab: str = "textbook") -> Topology:
    return derive(load(lab))


class Wire:
    """A network on which messages are put by hand; times in milliseconds, all taps at the one who asks."""

    def __init__(self, topology: Topology | None = None) -> None:
        self.topology = topology or textbook()
        self.messages: list[Message] = []
        self._port = 20000

    def ask(
        self,
        client: str,
        server: str,
        question: str,
        at: float,
        answered: float | None = None,
        *records: str,
        flags: str = "",
        rcode: str = "NOERROR",
        tcp: bool = False,
        rd: bool = False,
        tap: str | None = None,
    ) -> None:
        """`question` at time `at`, and at `answered` a response with `records`: `answer|authority|additional: ...`."""
        name, kind = question.split()
        query = dns.message.make_query(name, kind, id=_ID + len(self.messages))
        query.flags = dns.flags.RD if rd else 0
        self._port += 1
        self._put(client, server, at, query, tcp, tap or client, back=False)
        if answered is None:
            return
        response = dns.message.make_response(query)
        response.flags |= dns.flags.from_text(flags)
        response.set_rcode(dns.rcode.from_text(rcode))
        for record in records:
            section, _, text = record.partition(": ")
            owner, ttl, type, data = text.split(maxsplit=3)
            getattr(response, section).append(dns.rrset.from_text(owner, int(ttl), "IN", type, data))
        self._put(client, server, answered, response, tcp, tap or client, back=True)

    def _put(
        self, client: str, server: str, at: float, message: dns.message.Message, tcp: bool, tap: str, *, back: bool
    ) -> None:
        nodes = self.topology.nodes
        here, there = (str(nodes[client].ipv4), self._port), (str(nodes[server].ipv4), 53)
        ends = (*there, *here, server, client) if back else (*here, *there, client, server)
        self.messages.append(
            Message(tap, 1.7e9 + at / 1000, *ends, "tcp" if tcp else "udp", message.to_wire(want_shuffle=False))
        )


COM = ("authority: com. 172800 NS a.gtld-servers.net.", "additional: a.gtld-servers.net. 172800 A 10.53.0.14")
EXAMPLE = ("authority: example.com. 172800 NS ns1.example.com.", "additional: ns1.example.com. 172800 A 10.53.0.18")
WWW = "answer: www.example.com. 3600 A 192.0.2.80"


def cold(wire: Wire) -> None:
    """The textbook's figure: host, local resolver, root, TLD, authority, with query name minimisation and priming."""
    wire.ask("host", "resolver-1", "www.example.com. A", 0, 170, WWW, flags="RA RD", rd=True)
    roots = [f"answer: . 172800 NS {letter}.root-servers.net." for letter in "abc"]
    wire.ask("resolver-1", "root-a", ". NS", 1, 3, *roots, flags="AA")
    wire.ask("resolver-1", "root-b", "com. A", 4, 34, *COM)
    wire.ask("resolver-1", "gtld-1", "example.com. A", 35, 85, *EXAMPLE)
    wire.ask("resolver-1", "example-1", "www.example.com. A", 88, 168, WWW, flags="AA")
