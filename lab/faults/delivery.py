"""dns-delay, dns-drop, slow-drip, early-close: messages that come late, slowly, in part or not at all."""

from __future__ import annotations

from lab.faults.matching import COMMON
from lab.faults.message import MessageKind
from lab.faults.values import Parameter, Values, number, one_of, show_time, time, whole
from lab.runtime.answer import Answer

_SLACK = 0.9  # of the time asked for: rounding is allowed for
_LONGEST = 3.0  # seconds that measuring a slow answer may take
_OF = Parameter("of", "which messages", "word: answers or queries", one_of("answers", "queries"), "answers")


def _dripped(values: Values, answer: Answer) -> bool:
    """Whether the answer took as long as its size says, or is still coming."""
    if answer.outcome == "timeout":
        return True
    least: float = _SLACK * (answer.size - 1) / values["rate"]
    return answer.answered and answer.latency >= least


FAULTS = (
    MessageKind(
        name="dns-delay",
        summary="Messages come later; those on one TCP connection do not wait for each other.",
        parameters=(Parameter("delay", "by how much", "time: 0.1ms to 10s", time(1e-4, 10)), _OF, *COMMON),
        effect=lambda values: {"kind": "message-delay", "delay": values["delay"]},
        words=lambda values: f"comes {show_time(values['delay'])} later",
        asked=lambda values: show_time(values["delay"]),
        shows=lambda values, answer: answer.answered and answer.latency >= _SLACK * values["delay"],
        patience=lambda values: 1.0 + 2 * values["delay"],
        example="dns-delay example-1 --param delay=300ms --param type=AAAA",
    ),
    MessageKind(
        name="dns-drop",
        summary="Messages vanish; on TCP the connection stays open.",
        parameters=(_OF, *COMMON),
        effect=lambda _values: {"kind": "message-drop"},
        words=lambda _values: "vanishes",
        asked=lambda _values: "silence",
        shows=lambda _values, answer: answer.outcome == "timeout",
        patience=lambda _values: 0.3,
        example="dns-drop example-1 --param under=example.com --param every=2",
    ),
    MessageKind(
        name="slow-drip",
        summary="Answers over TCP come slowly, octet by octet.",
        parameters=(
            Parameter("rate", "of each answer", "octets a second: 1 to 100000", number(1, 100001)),
            *COMMON,
        ),
        effect=lambda values: {"kind": "drip", "rate": values["rate"]},
        words=lambda values: f"comes at {values['rate']:g} octets a second",
        asked=lambda values: f"{values['rate']:g} octets a second",
        shows=_dripped,
        only="tcp",
        patience=lambda values: min(_LONGEST, 1.0 + 2 * 512 / values["rate"]),
        example="slow-drip example-1 --param rate=20",
    ),
    MessageKind(
        name="early-close",
        summary="TCP connections are closed in the middle of the answer.",
        parameters=(
            Parameter("after", "how much of the answer", "octets: 0 to 65534", whole(0, 65534), 12),
            *COMMON,
        ),
        effect=lambda values: {"kind": "close", "after": values["after"]},
        words=lambda values: f"ends after {values['after']} octets, with its connection",
        asked=lambda values: f"closed after {values['after']} octets",
        shows=lambda _values, answer: answer.outcome == "unreachable",
        only="tcp",
        example="early-close example-1 --param after=12",
    ),
)
