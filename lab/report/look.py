"""Colours and marks: one palette for the page and every plot, in light and dark.

The colours of data can be told apart with any of the common colour vision deficiencies (after M. Okabe and K. Ito,
Color Universal Design, 2008), and never stand alone: each has a mark, a line style or a word beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

PALETTE: Mapping[str, tuple[str, str]] = {
    "paper": ("#ffffff", "#12161c"),
    "card": ("#f6f8fa", "#1a2029"),
    "ink": ("#1b2330", "#e4e9f0"),
    "soft": ("#5a6675", "#9ba8b8"),
    "line": ("#dde3e9", "#303a47"),
    "accent": ("#0a5fa3", "#6cb6f5"),
    "held": ("#17754a", "#4fc48c"),
    "deviated": ("#b4232f", "#ff7f87"),
    "inconclusive": ("#8a5a00", "#e3b04b"),
    "fault": ("#b7352d", "#ff8076"),
    "served": ("#0072b2", "#56b4f0"),
    "absent": ("#1f9e89", "#4fd1b8"),
    "servfail": ("#d55e00", "#ff9a4d"),
    "refused": ("#8f5fb0", "#c8a2e6"),
    "silent": ("#a3164f", "#ff79a8"),
    "unreachable": ("#7a6a00", "#d8c64a"),
    "other": ("#4d4d4f", "#b9bcc2"),
}
"""Name -> colour on light paper, on dark paper. No two light ones are equal: in a drawing they stand for the names."""


def light(name: str) -> str:
    """A colour as it is in pictures, which are on light paper."""
    return PALETTE[name][0]


@dataclass(frozen=True)
class Look:
    """How look-ups with one status are drawn."""

    colour: str  # name in the palette
    marker: str  # of Matplotlib
    words: str


_STATUSES: Mapping[str, Look] = {
    "NOERROR": Look("served", "o", "NOERROR"),
    "NXDOMAIN": Look("absent", "D", "NXDOMAIN"),
    "SERVFAIL": Look("servfail", "^", "SERVFAIL"),
    "REFUSED": Look("refused", "s", "REFUSED"),
    "TIMEOUT": Look("silent", "x", "time-out"),
    "UNREACHABLE": Look("unreachable", "+", "unreachable"),
}
OTHER = Look("other", "v", "other")
LOOKS = (*_STATUSES.values(), OTHER)
"""In the order in which they are stacked and listed: what was served first."""


def look(status: str) -> Look:
    """How a look-up with this status is drawn."""
    return _STATUSES.get(status, OTHER)


SERIES = (
    ("served", "-"),
    ("servfail", "--"),
    ("absent", "-."),
    ("refused", ":"),
    ("unreachable", "-"),
    ("other", "--"),
)
"""Colour and line style of the first, second, ... of several lines; after the last one it begins again."""


def series(place: int) -> tuple[str, str]:
    """Colour name and line style of a line."""
    return SERIES[place % len(SERIES)]


MARKS = {"held": "✓", "deviated": "✗", "inconclusive": "?"}
"""Beside each outcome's word."""
