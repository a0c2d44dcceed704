"""wrong-id, wrong-question, malformed: answers that a client must not take for its own (RFC 5452 section 9.1)."""

from __future__ import annotations

from lab.faults.matching import COMMON
from lab.faults.message import MessageKind


def _kind(name: str, summary: str, words: str) -> MessageKind:
    return MessageKind(
        name=name,
        summary=summary,
        parameters=COMMON,
        effect=lambda _values: {"kind": name},
        words=lambda _values: words,
        asked=lambda _values: "no answer to the question",
        # What came is not the prober's: it ignores it, as a resolver does, and waits on.
        shows=lambda _values, answer: answer.outcome == "malformed",
        patience=lambda _values: 0.3,
        example=f"{name} gtld-1",
    )


FAULTS = (
    _kind("wrong-id", "Answers have an id that nobody asked with.", "has another id than the query"),
    _kind(
        "wrong-question",
        "Answers repeat another question: another first letter, for the root another type.",
        "repeats another question than the query's",
    ),
    _kind("malformed", "Answers keep their header; the rest is random octets.", "is random octets behind its header"),
)
