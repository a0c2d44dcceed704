"""What a response says to who asked, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lab.observe.asked import Asked
from lab.observe.message import Message
from lab.observe.selection import spoken
from lab.runtime.answer import ResourceRecord

OutcomeKind = Literal[
    "answer", "alias", "referral", "nodata", "nxdomain", "truncated", "error", "lame", "malformed", "silence", "refused"
]

_SHOWN = 4  # records of an answer that are told one by one


@dataclass(frozen=True)
class Outcome:
    """What came of an exchange: its kind, and the same in words."""

    kind: OutcomeKind
    text: str
    zone: str = ""  # of a referral: the zone it leads to; of a negative answer: the zone whose SOA says so
    ttl: int | None = None  # seconds that it may be remembered

    @property
    def useful(self) -> bool:
        """Whether who asked got on by it."""
        return self.kind in ("answer", "alias", "referral", "nodata", "nxdomain")


def outcome(exchange: Asked, *, authority: bool) -> Outcome:
    """What came of it; `authority`: the server is an authoritative one, so that REFUSED means: not for this zone."""
    response = exchange.response
    if response is None:
        if exchange.ending == "refused":
            return Outcome("refused", "refused: nobody listens there")
        return Outcome("silence", "no answer")
    kind = response.kind
    if kind == "malformed":
        return Outcome("malformed", f"malformed: {response.malformed}")
    if kind == "truncated":
        return Outcome("truncated", "truncated (TC): to be asked again over TCP")
    if kind == "lame" or (authority and response.rcode in ("REFUSED", "NOTAUTH")):
        why = response.rcode if response.rcode != "NOERROR" else "neither an answer nor a referral downwards"
        return Outcome("lame", f"lame: {why}; {exchange.server} is not in charge of the name")
    if kind == "error":
        return Outcome("error", _error(response))
    if kind == "referral":
        return _referral(response)
    return _negative(response) if kind == "negative" else _answer(response)


def _referral(response: Message) -> Outcome:
    named = [spoken(record.data) for record in response.authority if record.type == "NS"]
    glue = {spoken(record.name) for record in response.additional if record.type in ("A", "AAAA")}
    with_glue = sum(name in glue for name in named)
    told = "with glue" if with_glue == len(named) else f"glue for {with_glue} of them" if with_glue else "without glue"
    ttl = min(record.ttl for record in response.authority if record.type == "NS")
    count = f"{len(named)} name server{'' if len(named) == 1 else 's'}"
    return Outcome("referral", f"referral to {response.referral}: {count}, {told}", response.referral, ttl)


def _negative(response: Message) -> Outcome:
    soa = next((record for record in response.authority if record.type == "SOA"), None)
    # The smaller of the SOA's own TTL and its last field (RFC 2308 section 5).
    ttl = None if soa is None else min(soa.ttl, int(soa.data.split()[-1]))
    kept = "" if ttl is None else f"; may be remembered for {ttl} s"
    zone = "" if soa is None else spoken(soa.name)
    end = _end(response)
    if response.rcode == "NXDOMAIN":
        return Outcome("nxdomain", f"NXDOMAIN{_by(response)}: there is no {end}{kept}", zone, ttl)
    return Outcome("nodata", f"NODATA{_by(response)}: {end} has no {response.type}{kept}", zone, ttl)


def _answer(response: Message) -> Outcome:
    wanted = [record for record in response.answer if record.type == response.type or response.type == "ANY"]
    aliases = [record for record in response.answer if record.type == "CNAME"]
    ttl = min(record.ttl for record in response.answer)
    if not wanted and aliases:
        text = f"answer{_by(response)}: {response.qname} is an alias of {_end(response)}"
        return Outcome("alias", text, ttl=ttl)
    way = f"{_end(response)}, " if aliases and response.type != "CNAME" else ""
    return Outcome("answer", f"answer{_by(response)}: {way}{_data(wanted or list(response.answer))}", ttl=ttl)


def _data(records: list[ResourceRecord]) -> str:
    shown = ", ".join(_short(record) for record in records[:_SHOWN])
    more = len(records) - _SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _short(record: ResourceRecord) -> str:
    data = spoken(record.data) if record.type in ("NS", "CNAME", "PTR", "MX") else record.data
    return data if len(data) <= 40 else f"{data[:39]}…"


def _error(response: Message) -> str:
    codes = "; ".join(f"{code} {text}".strip() for code, text in (response.edns.ede if response.edns else ()))
    return response.rcode + (f" (extended error {codes})" if codes else "")


def _by(response: Message) -> str:
    return " (AA)" if response.aa else ""


def _end(response: Message) -> str:
    """The name at the end of the aliases in the answer."""
    aliases = {spoken(record.name): spoken(record.data) for record in response.answer if record.type == "CNAME"}
    name = response.qname
    while (following := aliases.pop(name, None)) is not None:
        name = following
    return name
