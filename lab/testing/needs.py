"""What the kernel below Docker may lack: tests that need it are skipped, or fail where it is required."""

from __future__ import annotations

from contextlib import closing
from functools import cache

from lab.errors import BadInput, LabError
from lab.topology.suggest import did_you_mean

NEEDS = {
    "docker": "Docker",
    "ipv6": "IPv6 networks",
    "nfqueue": "NFQUEUE, for faults of links and DNS messages",
    "redirect": "nat REDIRECT, for faults of DNS messages over TCP",
    "packet": "AF_PACKET, to watch packets",
}
"""Each need, and what it is for. Without the first two there is no lab: who needs one fails, required or not."""


def read(words: str) -> frozenset[str]:
    """The needs in a list with commas. Raises `BadInput` for one that is none."""
    found = [word.strip() for word in words.split(",") if word.strip()]
    for word in found:
        if word not in NEEDS:
            raise BadInput(f"nothing is called {word!r} here{did_you_mean(word, NEEDS)} (there is: {', '.join(NEEDS)})")
    return frozenset(found)


@cache
def lacking(need: str) -> str:
    """Why there is no such thing here; empty when there is, or when nothing speaks against it."""
    from lab.runtime import kernel
    from lab.runtime.engine import connect

    if need not in ("nfqueue", "redirect", "packet"):
        return ""
    try:
        with closing(connect()) as client:
            found = kernel.examine(client.api)
    except LabError:
        return ""
    return (found or {}).get(need, "")
