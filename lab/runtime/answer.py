"""What a query brought back: the message, taken apart, and how it came."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Any

from lab.agent.protocol import Attempt, Query, Result

if TYPE_CHECKING:
    from dnslib import DNSRecord


@dataclass(frozen=True)
class ResourceRecord:
    """One record of a section; `ttl` in seconds, as received."""

    name: str
    ttl: int
    type: str
    data: str


@dataclass(frozen=True)
class Answer:
    """The outcome of one query, as the program that asked would see it.

    `outcome` is "answer" when a message came back, whatever it says; else "timeout", "unreachable", "malformed" or
    "error". `latency` is in seconds, taken inside the lab by a monotonic clock.
    """

    query: Query
    result: Result
    host: str  # node that asked
    server: str  # node that gave the answer, or that failed last

    @property
    def outcome(self) -> str:
        """How the query ended; see `lab.agent.protocol.Outcome`."""
        return self.result.outcome

    @property
    def answered(self) -> bool:
        """Whether a message came back."""
        return self.result.outcome == "answer"

    @property
    def latency(self) -> float:
        """Seconds from sending to the answer, all attempts included."""
        return self.result.latency

    @property
    def transport(self) -> str:
        """The transport of the answer: "udp" or "tcp"."""
        return self.result.transport

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Every server asked, one after the other, with what came of it."""
        return self.result.attempts

    @property
    def size(self) -> int:
        """Octets of the message."""
        return self.result.size

    @property
    def wire(self) -> bytes:
        """The message as received."""
        return self.result.wire

    @cached_property
    def status(self) -> str:
        """The response code as text (RFC 6895 section 2.3), or the outcome when there was no answer."""
        if not self.answered:
            return self.outcome.upper()
        code = self.result.rcode or 0
        for record in self._opt:
            code |= (record.ttl >> 24) << 4  # the upper eight bits of an extended RCODE (RFC 6891 section 6.1.3)
        return _RCODES.get(code, f"RCODE{code}")

    @cached_property
    def flags(self) -> tuple[str, ...]:
        """The header flags that are set, as dig shows them: qr aa tc rd ra ad cd."""
        result = self.result
        names = ("aa", "tc", "rd", "ra", "ad", "cd")
        return ("qr", *(name for name in names if getattr(result, name))) if self.answered else ()

    @cached_property
    def answer(self) -> tuple[ResourceRecord, ...]:
        """The answer section."""
        return _records(self.message.rr) if self.message else ()

    @cached_property
    def authority(self) -> tuple[ResourceRecord, ...]:
        """The authority section."""
        return _records(self.message.auth) if self.message else ()

    @cached_property
    def additional(self) -> tuple[ResourceRecord, ...]:
        """The additional section, without OPT."""
        return _records(record for record in self.message.ar if record.rtype != _OPT) if self.message else ()

    @cached_property
    def edns_size(self) -> int | None:
        """The UDP payload size the server offers (RFC 6891 section 6.2.3), octets; None without EDNS."""
        return next((record.rclass for record in self._opt), None)

    @cached_property
    def ede(self) -> tuple[tuple[int, str], ...]:
        """Extended errors (RFC 8914 section 2), which an answer can have too: info code, and text for people."""
        options = [option for record in self._opt for option in record.rdata if option.code == _EDE]
        return tuple(
            (int.from_bytes(option.data[:2], "big"), option.data[2:].decode(errors="replace"))
            for option in options
            if len(option.data) >= 2
        )

    @cached_property
    def message(self) -> DNSRecord | None:
        """The message as dnslib parses it; None when there is none or it cannot be parsed."""
        from dnslib import DNSError, DNSRecord

        if not self.answered:
            return None
        try:
            return DNSRecord.parse(self.wire)
        except DNSError:
            return None

    @property
    def is_referral(self) -> bool:
        """Whether this is a referral: no answer, no authority, but the servers of a zone below (RFC 1034 4.3.1)."""
        nothing = self.status == "NOERROR" and not self.answer and not self.result.aa
        return nothing and any(record.type == "NS" for record in self.authority)

    def data(self, type: str | None = None) -> tuple[str, ...]:
        """The data of the answer section's records of a type (default: the type asked for)."""
        wanted = (type or self.query.type).upper()
        return tuple(record.data for record in self.answer if record.type == wanted)

    @cached_property
    def chain(self) -> tuple[str, ...]:
        """The names from the one asked for along the aliases to the canonical one (RFC 1034 section 3.6.2)."""
        aliases = {record.name.lower(): record.data for record in self.answer if record.type == "CNAME"}
        names = [self.query.name]
        while (following := aliases.pop(names[-1].lower(), None)) is not None:
            names.append(following)
        return tuple(names)

    def to_json(self) -> dict[str, Any]:
        """Everything, as plain data; latencies in milliseconds."""
        return {
            "name": self.query.name,
            "type": self.query.type,
            "from": self.host,
            "server": self.server,
            "address": self.result.server,
            "outcome": self.outcome,
            "status": self.status,
            "flags": list(self.flags),
            "transport": self.transport,
            "latency_ms": round(self.latency * 1000, 3),
            "size": self.size,
            "reason": self.result.reason or None,
            "ede": [{"code": code, "text": text} for code, text in self.ede],
            **{section: [vars(record) for record in getattr(self, section)] for section in SECTIONS},
            "attempts": [
                {
                    "server": attempt.server,
                    "transport": attempt.transport,
                    "outcome": attempt.outcome,
                    "latency_ms": round(attempt.latency * 1000, 3),
                }
                for attempt in self.attempts
            ],
        }

    @property
    def _opt(self) -> list[Any]:
        return [record for record in self.message.ar if record.rtype == _OPT] if self.message else []


SECTIONS = ("answer", "authority", "additional")
_OPT = 41
_EDE = 15  # of the options in OPT
_RCODES = {
    0: "NOERROR",
    1: "FORMERR",
    2: "SERVFAIL",
    3: "NXDOMAIN",
    4: "NOTIMP",
    5: "REFUSED",
    6: "YXDOMAIN",
    7: "YXRRSET",
    8: "NXRRSET",
    9: "NOTAUTH",
    10: "NOTZONE",
    16: "BADVERS",
    23: "BADCOOKIE",
}


def _records(section: Any) -> tuple[ResourceRecord, ...]:
    from dnslib import QTYPE

    found = []
    for record in section:
        kind, data = QTYPE.forward.get(record.rtype, f"TYPE{record.rtype}"), str(record.rdata)
        if kind == "AAAA":
            data = str(IPv6Address(data))  # dnslib does not shorten as RFC 5952 says
        found.append(ResourceRecord(str(record.rname), record.ttl, kind, data))
    return tuple(found)
