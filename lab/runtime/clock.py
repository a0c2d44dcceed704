"""The lab's clock: how far the wall clock of nodes is ahead of the real one.

Two days of TTL pass in a memory write. Only the wall clock moves, by which programs age their caches; the monotonic
clock, by which they wait for answers, stays real. Move it when no query is in flight, and only forward.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta

from lab.errors import BadInput
from lab.runtime.ledger import Entry
from lab.runtime.prober import Prober

_NANOSECONDS = 10**9
SKEW = "skew"  # seconds, in the data of a ledger's entry
MAX_OFFSET = timedelta(days=365 * 100)  # a 64-bit count of nanoseconds holds 292 years


class Clock:
    """The clock of one lab."""

    def __init__(self, prober: Callable[[], Prober], lab: str) -> None:
        self._prober, self._lab = prober, lab

    def offsets(self) -> dict[str, timedelta]:
        """How far each node that is on the lab's clock is ahead of real time."""
        return {node: _from_nanoseconds(offset) for node, offset in self._prober().clock().items()}

    def advance(
        self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0, node: str | None = None
    ) -> dict[str, timedelta]:
        """Move the clock forward, of all nodes that are on it or of one `node`, and return the new offsets.

        Takes effect at the next query. Raises `BadInput` for a step that is not forward or goes beyond a hundred
        years, for a node that is on the host's clock, and for a lab in which no node is on the lab's clock.
        """
        step = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        if step <= timedelta(0):
            raise BadInput(
                f"the lab's clock only goes forward, not {step.total_seconds():g} s; `dnslab time reset` puts it back"
            )
        offsets = self._moving(node)
        ahead = {name: offset + step for name, offset in offsets.items()}
        if max(ahead.values()) > MAX_OFFSET:
            raise BadInput(f"the lab's clock goes up to {MAX_OFFSET.days} days ahead; `dnslab time reset` puts it back")
        return self._set(ahead)

    def level(self) -> None:
        """Give all nodes one time again: that of the one which is the furthest ahead. Takes a memory write."""
        offsets = self.offsets()
        if len(set(offsets.values())) > 1:
            self._set(dict.fromkeys(offsets, max(offsets.values())))

    def _moving(self, node: str | None) -> Mapping[str, timedelta]:
        offsets = self.offsets()
        if not offsets:
            raise BadInput(f"no node of lab {self._lab} is on the lab's clock: its lab file says `clock: host`")
        if node is None:
            return offsets
        if node not in offsets:
            raise BadInput(
                f"{node} is on the clock of the machine, not the lab's; `clock: lab` in the lab file changes that"
                f" (on the lab's clock: {', '.join(offsets)})"
            )
        return {node: offsets[node]}

    def _set(self, offsets: Mapping[str, timedelta], *, force: bool = False) -> dict[str, timedelta]:
        wanted = {name: _to_nanoseconds(offset) for name, offset in offsets.items()}
        after = self._prober().clock(wanted, force=force)
        return {name: _from_nanoseconds(offset) for name, offset in after.items()}

    def skew(self, node: str, step: timedelta) -> None:
        """Move the clock of one node by `step`; backward only while its program does not run.

        Raises `BadInput` when the node is not on the lab's clock, and beyond a hundred years.
        """
        offset = self._moving(node)[node] + step
        if abs(offset) > MAX_OFFSET:
            raise BadInput(f"{node}: a clock goes up to {MAX_OFFSET.days} days from real time")
        self._set({node: offset}, force=True)

    def zero(self) -> None:
        """Put the clock back to real time; the caller restarts the nodes that are on it."""
        self._set(dict.fromkeys(self.offsets(), timedelta(0)), force=True)


def skews(entries: Iterable[Entry]) -> dict[str, timedelta]:
    """How far nodes are off the others, by the entries of the ledger that say so."""
    found: dict[str, timedelta] = {}
    for entry in entries:
        for node in entry.nodes if SKEW in entry.data else ():
            found[node] = found.get(node, timedelta(0)) + timedelta(seconds=entry.data[SKEW])
    return found


def _to_nanoseconds(offset: timedelta) -> int:
    return (offset // timedelta(microseconds=1)) * (_NANOSECONDS // 10**6)


def _from_nanoseconds(offset: int) -> timedelta:
    return timedelta(microseconds=offset / 1000)
