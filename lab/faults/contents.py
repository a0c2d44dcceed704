"""empty, truncate, lame, wrong-address, ttl, strip-edns: the answer says something else than the server said."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from lab.agent.rewrites import DOCUMENTATION
from lab.faults.matching import COMMON
from lab.faults.message import MessageKind
from lab.faults.values import Parameter, Values, one_of, whole
from lab.runtime.answer import Answer


def _documentation(value: Any) -> str:
    """A reader of addresses that nobody has."""
    try:
        address = ip_address(str(value))
    except ValueError:
        raise ValueError("it is an IPv4 or IPv6 address") from None
    if not any(address in network for network in DOCUMENTATION):
        raise ValueError(f"only addresses for documentation: {', '.join(map(str, DOCUMENTATION))}")
    return str(address)


def _version(wanted: int) -> Any:
    def read(value: Any) -> str:
        address = _documentation(value)
        if ip_address(address).version != wanted:
            raise ValueError(f"it is an IPv{wanted} address")
        return address

    return read


def _is_bare(answer: Answer) -> bool:
    return answer.answered and not (answer.answer or answer.authority or answer.additional)


def _is_lame(values: Values, answer: Answer) -> bool:
    if not answer.answered or "aa" in answer.flags:
        return False
    upward = any(record.type == "NS" and record.name == "." for record in answer.authority)
    return upward and not answer.answer if values["referral"] == "upward" else True


def _has_addresses(values: Values, answer: Answer) -> bool:
    found = [record for record in answer.answer if record.type in ("A", "AAAA")]
    wanted = {"A": values["ipv4"], "AAAA": values["ipv6"]}
    return bool(found) and all(ip_address(record.data) == ip_address(wanted[record.type]) for record in found)


def _has_ttl(values: Values, answer: Answer) -> bool:
    records = (*answer.answer, *answer.authority, *answer.additional)
    return bool(records) and all(record.ttl == values["ttl"] for record in records)


FAULTS = (
    MessageKind(
        name="empty",
        summary="Answers say NOERROR and have no records, not even the SOA of a negative answer.",
        parameters=COMMON,
        effect=lambda _values: {"kind": "empty"},
        words=lambda _values: "says NOERROR and has no record",
        asked=lambda _values: "NOERROR without records",
        shows=lambda _values, answer: answer.status == "NOERROR" and _is_bare(answer),
        example="empty example-1 --param type=AAAA",
    ),
    MessageKind(
        name="truncate",
        summary="Answers over UDP have TC set and no records: ask again over TCP.",
        parameters=COMMON,
        effect=lambda _values: {"kind": "truncate"},
        words=lambda _values: "is truncated: TC is set, and the records are gone",
        asked=lambda _values: "TC without records",
        shows=lambda _values, answer: "tc" in answer.flags and _is_bare(answer),
        only="udp",
        example="truncate gtld-1",
    ),
    MessageKind(
        name="lame",
        summary="Answers have AA clear, as from a server that does not serve the zone.",
        parameters=(
            Parameter(
                "referral",
                "upward: instead of the answer the NS of the root; none: the answer stays",
                "word: upward or none",
                one_of("upward", "none"),
                "upward",
            ),
            *COMMON,
        ),
        effect=lambda values: {"kind": "lame", "referral": values["referral"] == "upward"},
        words=lambda values: (
            "has AA clear and refers to the root, as from a server without the zone"
            if values["referral"] == "upward"
            else "has AA clear"
        ),
        asked=lambda values: "AA clear, NS of the root" if values["referral"] == "upward" else "AA clear",
        shows=_is_lame,
        example="lame example-1",
    ),
    MessageKind(
        name="wrong-address",
        summary="A and AAAA records in the answer section hold other addresses, for documentation only.",
        parameters=(
            Parameter("ipv4", "in A records", "address in RFC 5737's networks", _version(4), "203.0.113.66"),
            Parameter("ipv6", "in AAAA records", "address in 2001:db8::/32", _version(6), "2001:db8::66"),
            *COMMON,
        ),
        effect=lambda values: {"kind": "address", "ipv4": values["ipv4"], "ipv6": values["ipv6"]},
        words=lambda values: f"has the addresses {values['ipv4']} and {values['ipv6']}",
        asked=lambda values: f"{values['ipv4']} or {values['ipv6']}",
        shows=_has_addresses,
        needs=("A", "AAAA"),
        example="wrong-address example-1 --param name=www.example.com",
    ),
    MessageKind(
        name="ttl",
        summary="All records have another TTL.",
        parameters=(
            Parameter("ttl", "of every record, OPT apart", "seconds: 0 to 2147483647", whole(0, 2**31 - 1)),
            *COMMON,
        ),
        effect=lambda values: {"kind": "ttl", "ttl": values["ttl"]},
        words=lambda values: f"has a TTL of {values['ttl']} s in every record",
        asked=lambda values: f"TTL {values['ttl']}",
        shows=_has_ttl,
        needs=("A", "AAAA", "MX", "TXT", "NS", "SOA"),
        example="ttl example-1 --param ttl=5",
    ),
    MessageKind(
        name="strip-edns",
        summary="Answers lose their OPT record, as behind a middlebox that knows no EDNS.",
        parameters=COMMON,
        effect=lambda _values: {"kind": "strip-edns"},
        words=lambda _values: "has no OPT record",
        asked=lambda _values: "no EDNS",
        shows=lambda _values, answer: answer.answered and answer.edns_size is None,
        edns=True,
        example="strip-edns gtld-1",
    ),
)
