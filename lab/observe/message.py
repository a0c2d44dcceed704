"""One DNS message on the wire, and what happened on the wire that is no message."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from lab.agent.protocol import Transport
from lab.observe.wire import HEADER, extended_rcode, first_question, header_counts, mnemonic
from lab.runtime.answer import ResourceRecord

if TYPE_CHECKING:
    import dns.message

Kind = Literal["query", "answer", "negative", "referral", "truncated", "error", "lame", "malformed"]
"""What a message is, judged by itself, without knowing what its sender should have known.

- "query": QR is clear.
- "answer": records for the question, or an alias on the way; by an authority (AA), or a resolver (RA).
- "negative": there is no such name, or none of this type (RFC 2308).
- "referral": no answer, but the name servers of a zone below (RFC 1034 section 4.3.1).
- "truncated": TC is set; to be asked again over TCP.
- "error": an RCODE other than NOERROR and NXDOMAIN.
- "lame": neither authority nor resolver nor a referral downwards: a server that was asked and is not in charge.
- "malformed": what cannot be parsed; `Message.malformed` says why.
"""

EventKind = Literal["connect", "accepted", "closed", "reset", "unreachable", "cut", "skipped"]
"""What happened on the wire that is no message.

- "connect": a SYN; again for each time it is sent. Without an "accepted" or "reset" nobody answered.
- "accepted": the answer to it.
- "closed": a FIN.
- "reset": a RST.
- "unreachable": ICMP said that a packet could not be delivered; the addresses and ports are those of that packet.
- "cut": a TCP stream that ended in the middle of a message.
- "skipped": messages that cannot be told, as of a TCP stream whose beginning was not seen.
"""

_AA, _TC, _RD, _RA, _AD, _CD = 0x0400, 0x0200, 0x0100, 0x0080, 0x0020, 0x0010
_FLAGS = {"aa": _AA, "tc": _TC, "rd": _RD, "ra": _RA, "ad": _AD, "cd": _CD}


@dataclass(frozen=True)
class Edns:
    """The OPT record of a message (RFC 6891)."""

    size: int  # UDP payload size offered, octets
    version: int
    do: bool  # DNSSEC OK (RFC 3225)
    options: tuple[tuple[int, str], ...]  # code and text of each
    ede: tuple[tuple[int, str], ...]  # extended errors (RFC 8914): info code and text


@dataclass(frozen=True)
class TransportEvent:
    """Something on the wire that is no DNS message; fields as those of `Message`."""

    tap: str
    time: float
    kind: EventKind
    source: str
    source_port: int
    destination: str
    destination_port: int
    sender: str
    receiver: str
    transport: Transport
    text: str = ""  # in words, what `kind` does not say


@dataclass(frozen=True)
class Message:
    """One DNS message, seen at one node.

    Parsed when first asked for: the header by itself, the question by itself, then all of it. What cannot be parsed has
    no name, no records, and says why in `malformed`. Names are absolute, in presentation format (RFC 1035 section 5.1).
    """

    tap: str  # node at which it was seen
    time: float  # seconds since 1970 of the machine's clock, not the lab's, stamped by the kernel; TCP: the last octet
    source: str  # address
    source_port: int
    destination: str
    destination_port: int
    sender: str  # node name, or the address when it is no node's
    receiver: str
    transport: Transport
    wire: bytes  # over TCP without the two octets of length

    @property
    def size(self) -> int:
        """Octets of the message."""
        return len(self.wire)

    # The header; RFC 1035 section 4.1.1. Fields of a message that is shorter than a header are 0.

    @property
    def id(self) -> int:
        """The number that a response repeats."""
        return int.from_bytes(self.wire[:2], "big")

    @property
    def is_query(self) -> bool:
        """Whether QR is clear."""
        return not self._flags & 0x8000

    @property
    def is_response(self) -> bool:
        """Whether QR is set."""
        return not self.is_query

    @property
    def opcode(self) -> int:
        """What is asked for; 0 is QUERY."""
        return self._flags >> 11 & 0xF

    @property
    def aa(self) -> bool:
        """Authoritative answer."""
        return bool(self._flags & _AA)

    @property
    def tc(self) -> bool:
        """Truncated."""
        return bool(self._flags & _TC)

    @property
    def rd(self) -> bool:
        """Recursion desired."""
        return bool(self._flags & _RD)

    @property
    def ra(self) -> bool:
        """Recursion available."""
        return bool(self._flags & _RA)

    @property
    def ad(self) -> bool:
        """Authentic data (RFC 4035 section 3.2.3)."""
        return bool(self._flags & _AD)

    @property
    def cd(self) -> bool:
        """Checking disabled (RFC 4035 section 3.2.2)."""
        return bool(self._flags & _CD)

    @property
    def flags(self) -> tuple[str, ...]:
        """The flags that are set, as dig shows them: qr aa tc rd ra ad cd."""
        set_ = tuple(name for name, bit in _FLAGS.items() if self._flags & bit)
        return set_ if self.is_query else ("qr", *set_)

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """How many entries the header announces: question, answer, authority, additional (OPT among these)."""
        return header_counts(self.wire)

    @property
    def _flags(self) -> int:
        return int.from_bytes(self.wire[2:4].ljust(2, b"\0"), "big")

    # The question

    @property
    def name(self) -> str:
        """The name asked for, with its letter case and final dot; empty without a question."""
        return self._question[0]

    @cached_property
    def qname(self) -> str:
        """The name asked for, to compare: lower case, without the final dot; `.` for the root."""
        return self.name.lower() if self.name in ("", ".") else self.name[:-1].lower()

    @property
    def type(self) -> str:
        """The type asked for, as a mnemonic or TYPE65280; empty without a question."""
        return self._question[1]

    @property
    def is_priming(self) -> bool:
        """Whether it asks for, or gives, the servers of the root (RFC 8109)."""
        return self.qname == "." and self.type == "NS"

    @cached_property
    def _question(self) -> tuple[str, str]:
        return first_question(self.wire)

    # The whole message

    @cached_property
    def malformed(self) -> str:
        """Why it cannot be parsed, or not to its end; empty for a message that can."""
        if len(self.wire) < HEADER:
            return f"{self.size} octets are no header"
        parsed = self.parsed
        if parsed is None or not parsed.errors:
            return "" if parsed is not None else "it cannot be parsed"
        error = parsed.errors[0]
        text = str(error.exception).rstrip(".") or type(error.exception).__name__
        return f"{text} (at octet {error.offset} of {self.size})"

    @cached_property
    def parsed(self) -> dns.message.Message | None:
        """The message as dnspython has it, as far as it can be parsed; None when not even its header can."""
        import dns.exception
        import dns.message

        try:
            return dns.message.from_wire(
                self.wire,
                keyring=False,  # a signature (TSIG) is not to be checked
                one_rr_per_rrset=True,
                continue_on_error=True,
            )
        except (dns.exception.DNSException, ValueError):
            return None

    @cached_property
    def rcode(self) -> str:
        """The response code as text, extended by EDNS where it is (RFC 6891 section 6.1.3); empty for a query."""
        import dns.rcode

        if self.is_query:
            return ""
        code = self._flags & 0xF | (extended_rcode(self.wire) << 4 if self.counts[3] else 0)
        # 16 has two names: BADSIG is said in a TSIG record only
        return "BADVERS" if code == 16 else dns.rcode.to_text(dns.rcode.Rcode.make(code))

    @cached_property
    def answer(self) -> tuple[ResourceRecord, ...]:
        """The answer section."""
        return self._records(1)

    @cached_property
    def authority(self) -> tuple[ResourceRecord, ...]:
        """The authority section."""
        return self._records(2)

    @cached_property
    def additional(self) -> tuple[ResourceRecord, ...]:
        """The additional section, without OPT."""
        return self._records(3)

    @cached_property
    def edns(self) -> Edns | None:
        """The OPT record; None without."""
        import dns.edns

        parsed = self.parsed
        if parsed is None or parsed.edns < 0:
            return None
        return Edns(
            size=int(parsed.payload),
            version=parsed.edns,
            do=bool(parsed.ednsflags & 0x8000),
            options=tuple((int(option.otype), option.to_text()) for option in parsed.options),
            ede=tuple(
                (int(option.code), option.text or "")
                for option in parsed.options
                if isinstance(option, dns.edns.EDEOption)
            ),
        )

    def _records(self, section: int) -> tuple[ResourceRecord, ...]:
        if self.parsed is None:
            return ()
        return tuple(
            ResourceRecord(rrset.name.to_text(), rrset.ttl, mnemonic(rrset.rdtype), rdata.to_text())
            for rrset in self.parsed.sections[section]
            for rdata in rrset
        )

    @cached_property
    def kind(self) -> Kind:
        """What the message is; see `Kind`."""
        if self.malformed:
            return "malformed"
        if self.is_query:
            return "query"
        if self.tc:
            return "truncated"
        if self.rcode not in ("NOERROR", "NXDOMAIN"):
            return "error"
        in_charge = self.aa or self.ra
        if self.rcode == "NXDOMAIN":
            return "negative" if in_charge else "lame"
        if self.answer:
            return ("negative" if self._leads_nowhere else "answer") if in_charge else "lame"
        if not self.aa and any(record.type == "NS" for record in self.authority):
            return "referral" if self.referral else "lame"
        return "negative" if in_charge else "lame"

    @property
    def referral(self) -> str:
        """The zone that this message refers to, as in `com`; empty when it does not, or only to the root.

        A referral leads downwards, so to a zone at or above the name asked for (RFC 1034 section 4.3.1).
        """
        if self.is_query or self.aa or self.answer:
            return ""
        for record in self.authority:
            zone = record.name.lower()
            if record.type == "NS" and zone != "." and f".{self.name.lower()}".endswith(f".{zone}"):
                return zone[:-1]
        return ""

    @property
    def _leads_nowhere(self) -> bool:
        """Aliases only, and an SOA that says that the last one has no record of the type (RFC 2308 section 2.2)."""
        types = {record.type for record in self.answer}
        soa = any(record.type == "SOA" for record in self.authority)
        return soa and types <= {"CNAME", "DNAME", "RRSIG"} and self.type not in (*types, "ANY")

    def to_json(self) -> dict[str, Any]:
        """Everything as plain data, the octets in hexadecimal."""
        return {
            "tap": self.tap,
            "time": self.time,
            "from": self.sender,
            "to": self.receiver,
            "source": f"{self.source}#{self.source_port}",
            "destination": f"{self.destination}#{self.destination_port}",
            "transport": self.transport,
            "id": self.id,
            "kind": self.kind,
            "name": self.name,
            "type": self.type,
            "rcode": self.rcode or None,
            "flags": list(self.flags),
            "size": self.size,
            "malformed": self.malformed or None,
            "answer": [vars(record) for record in self.answer],
            "authority": [vars(record) for record in self.authority],
            "additional": [vars(record) for record in self.additional],
            "wire": self.wire.hex(),
        }
