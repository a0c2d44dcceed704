"""Assertions about names, caches, TTLs, upstream queries and latency; one that fails tells the story of the resolution.

Each asks anew, inside the lab. `where` is a lab (its first host asks, with its resolvers), a host, or a resolver or
server that is asked itself. Further keywords are those of `lab.Lab.query`: `transport="tcp"`, `ipv6=True`, `timeout=1`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from lab.errors import BadInput, LabError
from lab.lab import Lab
from lab.node import Node
from lab.testing.undertest import LabUnderTest, askers
from lab.units import show_time, time

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from lab.observe.observation import Observation
    from lab.observe.selection import Wanted
    from lab.observe.story import Story
    from lab.runtime.answer import Answer
    from lab.runtime.lab import How

Where = Lab | Node
Seconds = float | str
"""Seconds, or a time with its unit: 0.08 or "80ms"."""

_NODATA = "NODATA"  # NOERROR without a record of the type (RFC 2308 section 2.2)
_LISTED = 20  # messages in the text of a failure


def assert_answer(
    where: Where, name: str, *data: str, type: str = "A", status: str = "NOERROR", **how: Unpack[How]
) -> Answer:
    """The answer to `name` `type` has this status, and exactly these records of the type, in any order; the answer.

    Without `data`, NOERROR means any record of the type; the status "NODATA" that there is none. Raises `BadInput` for
    what cannot be asked.
    """
    __tracebackhide__ = True
    with _asking(where, name, type, how) as asked:
        got = asked.answer.data()
        wanted = sorted(map(_same, data))
        if asked.status != status:
            _fail(asked, f"{status}{' ' if data else ''}{', '.join(data)}")
        if data and sorted(map(_same, got)) != wanted:
            _fail(asked, ", ".join(data))
    return asked.answer


def assert_cached(where: Where, name: str, type: str = "A", **how: Unpack[How]) -> Answer:
    """The answer comes from the cache: nobody was asked for it upstream; the answer.

    Raises `EnvironmentProblem` where packets cannot be watched.
    """
    __tracebackhide__ = True
    with _asking(where, name, type, how) as asked:
        if not asked.answer.answered:
            _fail(asked, "an answer from the cache")
        if upstream := [step for step in asked.story().upstream if not step.after and step.purpose != "prefetch"]:
            servers = ", ".join(dict.fromkeys(step.server for step in upstream))
            _fail(asked, "an answer from the cache", f"{len(upstream)} queries upstream, to {servers}")
    return asked.answer


def assert_ttl(
    where: Where,
    name: str,
    type: str = "A",
    *,
    exactly: int | None = None,
    at_least: int | None = None,
    at_most: int | None = None,
    **how: Unpack[How],
) -> Answer:
    """Every record of the answer has this TTL, seconds; the answer."""
    __tracebackhide__ = True
    least, most, words = _bounds(exactly, at_least, at_most, "assert_ttl")
    with _asking(where, name, type, how) as asked:
        ttls = [record.ttl for record in asked.answer.answer if record.type == type.upper()]
        if not ttls:
            _fail(asked, f"records with a TTL {words}")
        if not all(least <= ttl <= most for ttl in ttls):
            _fail(asked, f"a TTL {words}", ", ".join(map(str, dict.fromkeys(ttls))))
    return asked.answer


def assert_upstream(
    seen: Observation | LabUnderTest,
    exactly: int | None = None,
    *,
    at_least: int | None = None,
    at_most: int | None = None,
    priming: bool = False,
    **wanted: Unpack[Wanted],
) -> int:
    """So many queries were sent by resolvers since the test, or the observation, began; the number.

    `wanted` says which: `to="root"`, `name="example.com"`, `type="A"`, `transport="tcp"`, `sender="resolver-1"`; see
    `lab.observe.selection.Wanted`. Those for the root's own servers (RFC 8109) count with `priming` only.
    """
    __tracebackhide__ = True
    least, most, words = _bounds(exactly, at_least, at_most, "assert_upstream")
    observed = seen.seen if isinstance(seen, LabUnderTest) else seen
    found = observed.upstream(priming=priming, **wanted)
    if not least <= len(found) <= most:
        which = ", ".join(f"{key}={value}" for key, value in wanted.items())
        lines = [
            f"  {message.sender} → {message.receiver}  {message.name} {message.type}" for message in found[:_LISTED]
        ]
        more = [f"  and {len(found) - _LISTED} more"] if len(found) > _LISTED else []
        stories = [story.text() for story in observed.stories(2)]
        said = f"expected queries upstream{f' ({which})' if which else ''}: {words}\ngot: {len(found)}"
        raise AssertionError("\n".join([said, *lines, *more]) + "".join(f"\n\n{story}" for story in stories))
    return len(found)


def assert_latency(
    where: Where,
    name: str,
    type: str = "A",
    *,
    below: Seconds | None = None,
    above: Seconds | None = None,
    samples: int = 1,
    **how: Unpack[How],
) -> list[float]:
    """The answer takes less, or more, than this; of several samples their median; the latencies in seconds, sorted.

    A question that nobody answers took as long as it was waited for.
    """
    __tracebackhide__ = True
    if below is None and above is None:
        raise BadInput("assert_latency: say below=..., above=..., or both")
    most = float("inf") if below is None else _seconds(below, "below")
    least = 0.0 if above is None else _seconds(above, "above")
    lab, asked_how = _subject(where, how)
    taken = [lab.query(name, type, **asked_how).latency for _ in range(samples - 1)]
    with _asking(where, name, type, how) as asked:
        taken = sorted([*taken, asked.answer.latency])
        median = taken[len(taken) // 2]
        if not least <= median <= most:
            words = " and ".join(
                f"{word} {show_time(bound)}"
                for word, bound, said in (("above", least, above), ("below", most, below))
                if said is not None
            )
            spread = f" (median of {samples}, {show_time(taken[0])} to {show_time(taken[-1])})" if samples > 1 else ""
            _fail(asked, f"an answer {words}", f"{show_time(median)}{spread}")
    return taken


@dataclass
class _Asked:
    """One question that was asked, and what it takes to tell its story."""

    answer: Answer
    seen: Observation | None
    blind: str = ""  # why nothing was seen

    @property
    def status(self) -> str:
        """The response code, or NODATA, or what happened instead of an answer."""
        nothing = self.answer.status == "NOERROR" and not self.answer.data()
        return _NODATA if nothing else self.answer.status

    def story(self) -> Story:
        """The story. Raises `LabError` when there is none."""
        if self.seen is None:
            raise LabError(self.blind)
        return self.seen.trace(self.answer)

    def told(self) -> str:
        """The story, or why there is none, as text."""
        try:
            return self.story().text()
        except LabError as error:
            return f"There is no story of it: {error}"


@contextmanager
def _asking(where: Where, name: str, type: str, how: How) -> Iterator[_Asked]:
    """Ask, watched if that can be."""
    lab, asked_how = _subject(where, how)
    if isinstance(lab, LabUnderTest):
        try:
            seen = lab.seen
        except LabError as error:
            yield _Asked(lab.query(name, type, **asked_how), None, str(error))
            return
        yield _Asked(lab.query(name, type, **asked_how), seen)
        return
    with lab.observe(*askers(lab)) as seen:
        yield _Asked(lab.query(name, type, **asked_how), seen)


def _subject(where: Where, how: How) -> tuple[Lab, How]:
    if isinstance(where, Node):
        return where.home, where.asking(how)
    if isinstance(where, Lab):
        return where, how
    raise BadInput(f"the first argument is a lab, or a node of one, not {where!r}")


def _fail(asked: _Asked, expected: str, got: str = "") -> None:
    __tracebackhide__ = True
    answer = asked.answer
    at = answer.query.name.rstrip(".") or "."
    data = ", ".join(answer.data())
    raise AssertionError(
        f"{at} {answer.query.type}, asked by {answer.host} at {answer.server}\n"
        f"expected: {expected}\n"
        f"got:      {got or asked.status}{'' if got or not data else f' {data}'}\n\n{asked.told()}"
    )


def _bounds(exactly: int | None, at_least: int | None, at_most: int | None, what: str) -> tuple[float, float, str]:
    if exactly is not None:
        return exactly, exactly, f"exactly {exactly}"
    said = [f"{word} {bound}" for word, bound in (("at least", at_least), ("at most", at_most)) if bound is not None]
    if not said:
        raise BadInput(f"{what}: say how many (exactly=, at_least=, at_most=)")
    return at_least or 0, float("inf") if at_most is None else at_most, " and ".join(said)


def _same(data: str) -> str:
    """Data in one spelling: case, final dots and how an address is written do not matter."""
    try:
        return str(ip_address(data))
    except ValueError:
        return " ".join(word.rstrip(".") or "." for word in data.lower().split())


_read_seconds: Callable[[Any], float] = time(0.0, 3600.0)


def _seconds(value: Seconds, what: str) -> float:
    if isinstance(value, (int, float)):
        return float(value)
    try:
        return _read_seconds(value)
    except ValueError as error:
        raise BadInput(f"{what}={value!r}: {error}") from None
