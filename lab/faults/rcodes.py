"""servfail, refused, formerr, nxdomain, notimp, badvers: the answer is an error and nothing else."""

from __future__ import annotations

from lab.agent.rewrites import BADVERS, FORMERR, NOTIMP, NXDOMAIN, REFUSED, SERVFAIL
from lab.faults.matching import COMMON
from lab.faults.message import MessageKind


def _kind(name: str, rcode: int, summary: str, example: str) -> MessageKind:
    status = name.upper()
    return MessageKind(
        name=name,
        summary=summary,
        parameters=COMMON,
        effect=lambda _values: {"kind": "rcode", "rcode": rcode},
        words=lambda _values: f"says {status} and nothing else",
        asked=lambda _values: status,
        shows=lambda _values, answer: answer.status == status and not answer.answer,
        edns=rcode == BADVERS,
        example=f"{name} {example}",
    )


FAULTS = (
    _kind("servfail", SERVFAIL, "Answers say SERVFAIL: the server could not find out.", "example-1"),
    _kind("refused", REFUSED, "Answers say REFUSED: the server will not tell.", "gtld-1 --to resolver-1"),
    _kind("formerr", FORMERR, "Answers say FORMERR, without OPT, as from a server that knows no EDNS.", "gtld-1"),
    _kind(
        "nxdomain",
        NXDOMAIN,
        "Answers say that there is no such name; without SOA, so that it is not remembered (RFC 2308).",
        "example-1 --param name=www.example.com",
    ),
    _kind("notimp", NOTIMP, "Answers say NOTIMP, without OPT: the server knows no such query.", "gtld-1"),
    _kind("badvers", BADVERS, "Answers to queries with EDNS say BADVERS: not this version of it.", "gtld-1"),
)
