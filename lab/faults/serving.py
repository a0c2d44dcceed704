"""What authoritative servers answer, held against what their zone data say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dns.exception
import dns.message
import dns.name
import dns.rdata
import dns.rdatatype
import tenacity
from dns.name import Name

from lab.topology.lookup import ADDRESSES, Found
from lab.topology.model import Record, spoken

if TYPE_CHECKING:
    from lab.runtime.answer import Answer
    from lab.runtime.lab import RunningLab

_TIMEOUT = 0.5  # seconds for one answer
_SETTLES = 5.0  # seconds from the reload of a zone to its first answer, on a busy machine
_PAUSE = 0.01  # seconds between questions

Question = tuple[Name, str]
"""Owner name and type."""


@dataclass(frozen=True)
class Told:
    """What one server answered; `status` is its RCODE, or why there was no answer."""

    status: str
    authoritative: bool = False
    records: frozenset[Record] = frozenset()  # of the answer section, of the question's own name; else NS of a referral
    addresses: frozenset[Record] = frozenset()  # of the additional section

    @property
    def answered(self) -> bool:
        """Whether there was an answer."""
        return self.status in ("NOERROR", "NXDOMAIN", "SERVFAIL", "REFUSED", "FORMERR", "NOTIMP", "NOTAUTH")

    def agrees(self, found: Found) -> bool:
        """Whether this is what the zone says. Glue for a name that is not below the child may be left out."""
        if (self.status, self.authoritative) != ("NOERROR" if found.exists else "NXDOMAIN", found.authoritative):
            return False
        said = _comparable(self.addresses)
        if not found.authoritative and not _comparable(found.needed) <= said <= _comparable(found.glue):
            return False
        return _comparable(self.records) == _comparable(found.records)

    def __str__(self) -> str:
        if not self.answered or self.status not in ("NOERROR", "NXDOMAIN"):
            return self.status
        return _words(self.status, self.authoritative, self.records, self.addresses)


@dataclass(frozen=True)
class Seen:
    """What several servers answered to one question, by node."""

    question: Question
    told: Mapping[str, Told]

    def to_json(self) -> Any:
        """Node -> answer in words."""
        return {node: str(told) for node, told in self.told.items()}

    def __str__(self) -> str:
        return _grouped(self.question, {node: str(told) for node, told in self.told.items()})


def expected(question: Question, wanted: Mapping[str, Found]) -> str:
    """What the zone data say, in the words of `Seen`."""
    return _grouped(
        question,
        {
            node: _words("NOERROR" if found.exists else "NXDOMAIN", found.authoritative, found.records, found.glue)
            for node, found in wanted.items()
        },
    )


def observe(lab: RunningLab, question: Question, nodes: list[str]) -> Seen:
    """Ask each of these servers, from the first host."""
    name, kind = question
    asked = [lab.question(name.to_text(), kind, at=node, recurse=False, timeout=_TIMEOUT, attempts=2) for node in nodes]
    return Seen(question, {answer.server: _told(answer, name) for answer in lab.ask(asked)})


def settle(lab: RunningLab, question: Question, wanted: Mapping[str, Found]) -> Seen:
    """What the servers answer once all of them say what is wanted, or when it is clear that they will not."""

    def differs(seen: Seen) -> bool:
        return not all(told.agrees(wanted[node]) for node, told in seen.told.items())

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_result(differs),
        wait=tenacity.wait_fixed(_PAUSE),
        stop=tenacity.stop_after_delay(_SETTLES),
        retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
    )
    seen: Seen = retrying(observe, lab, question, list(wanted))
    return seen


def _told(answer: Answer, name: Name) -> Told:
    if not answer.answered:
        return Told(answer.status)
    try:
        message = dns.message.from_wire(answer.wire)
    except dns.exception.DNSException as error:
        return Told(f"an answer that cannot be read ({error})")
    referral = answer.is_referral
    section = message.authority if referral else message.answer
    return Told(
        answer.status,
        "aa" in answer.flags,
        frozenset(_records(section, dns.rdatatype.NS if referral else None, None if referral else name)),
        frozenset(record for record in _records(message.additional) if record.type in ADDRESSES)
        if referral
        else frozenset(),
    )


def _records(section: Any, kind: int | None = None, owner: Name | None = None) -> list[Record]:
    return [
        Record(rrset.name, rrset.ttl, dns.rdatatype.to_text(rrset.rdtype), rdata.to_text())
        for rrset in section
        for rdata in rrset
        if (kind is None or rrset.rdtype == kind) and (owner is None or rrset.name == owner)
    ]


def _comparable(records: frozenset[Record]) -> set[tuple[Name, int, dns.rdata.Rdata]]:
    """Records without regard to letter case and spelling."""
    return {
        (record.owner, record.ttl, dns.rdata.from_text("IN", record.type, record.data, dns.name.root))
        for record in records
    }


def _words(status: str, authoritative: bool, records: frozenset[Record], addresses: frozenset[Record]) -> str:
    data = ", ".join(sorted(_short(record) for record in records))
    ttls = " ".join(str(ttl) for ttl in sorted({record.ttl for record in records}))
    if not authoritative:
        glue = len({record.owner for record in addresses})
        return f"referral to {data}, TTL {ttls}, {f'glue for {glue} of them' if glue else 'no glue'}"
    if records:
        return f"{data}, TTL {ttls}"
    return "no such name" if status == "NXDOMAIN" else "no such record"


def _short(record: Record) -> str:
    return record.data.rstrip(".") if record.type in ("NS", "CNAME") else record.data


def _grouped(question: Question, by_node: Mapping[str, str]) -> str:
    """Answers in words, each once, with the servers that gave it."""
    servers: dict[str, list[str]] = {}
    for node, text in by_node.items():
        servers.setdefault(text, []).append(node)
    asked = f"{spoken(question[0])} {question[1]}"
    return f"{asked}: " + "; ".join(f"{text} ({', '.join(nodes)})" for text, nodes in servers.items())
