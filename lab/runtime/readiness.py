"""Whether nodes do their work: asked by real queries, never by log lines or open ports."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import tenacity
from dns.name import Name

from lab.agent.protocol import Query, Result
from lab.errors import EnvironmentProblem
from lab.runtime.prober import Prober
from lab.topology import links
from lab.topology.model import Node, Role, Topology

DEADLINE = 30.0  # seconds for a node to become ready
_PATIENCE = 0.25  # seconds for one answer; a program that is up answers in a millisecond
_RESOLUTION = 2.0  # seconds for one answer of a resolver, which has to ask others
_PAUSE = 0.02  # seconds between rounds
_STEPS = 8  # round trips of a resolution, priming and look-ups of name servers included
_ATTEMPTS = 4  # where a declared link loses packets
_NOERROR = 0


@dataclass(frozen=True)
class Check:
    """One query that a ready node answers as it should."""

    node: str
    query: Query
    authoritative: bool  # AA is set and the answer is there; else: any answer will do

    def passed(self, result: Result) -> bool:
        """Whether the answer is that of a ready node."""
        if not self.authoritative:
            return result.outcome == "answer"
        return result.outcome == "answer" and result.rcode == _NOERROR and result.aa

    def complaint(self, result: Result) -> str:
        """What was wrong, for people."""
        asked = f"{self.query.name} {self.query.type} over {self.query.transport}"
        return f"{asked}: {result.outcome if result.rcode is None else f'rcode {result.rcode}, aa {result.aa}'}"


@dataclass(frozen=True)
class Resolution(Check):
    """A full resolution by a resolver."""

    def passed(self, result: Result) -> bool:
        """Whether the answer is that of a resolver that reached an authority."""
        return result.outcome == "answer" and result.rcode == _NOERROR and result.ra


def checks(topology: Topology, nodes: Iterable[Node], *, resolution: bool) -> list[Check]:
    """What each of `nodes` is asked.

    An authority: the SOA of each of its zones, over UDP and over TCP. A resolver: with `resolution`, the SOA of the
    deepest zone, which takes the whole way from the root; without, anything (parts of the hierarchy may be broken on
    purpose). The gateway: as a resolver. Declared links give them more time, and further attempts where packets get
    lost.
    """
    deepest, slow = max(topology.zones, key=_depth), links.patience(topology)
    attempts = _ATTEMPTS if links.lossy(topology) else 1
    found: list[Check] = []
    for node in nodes:
        address = str(node.ipv4)
        if node.role.is_server:
            for zone in node.zones:
                for transport in ("udp", "tcp"):
                    query = Query(zone.to_text(), "SOA", (address,), transport=transport, recurse=False)
                    query = replace(query, timeout=_PATIENCE + slow, attempts=attempts)
                    found.append(Check(node.name, query, authoritative=True))
        elif node.role in (Role.RESOLVER, Role.GATEWAY):
            if resolution and node.role is Role.RESOLVER:
                query = Query(deepest.to_text(), "SOA", (address,), timeout=_RESOLUTION + _STEPS * slow)
                found.append(Resolution(node.name, query, authoritative=False))
            else:
                timeout = _PATIENCE + slow
                query = Query(".", "NS", (address,), recurse=False, timeout=timeout, attempts=attempts)
                found.append(Check(node.name, query, authoritative=False))
    return found


def wait_ready(
    prober: Prober,
    wanted: Iterable[Check],
    look: Callable[[], None],
    deadline: float = DEADLINE,
) -> None:
    """Ask until every check has passed.

    `look` is called between rounds while something is missing; it raises when waiting has become pointless. Raises
    `EnvironmentProblem` with the unanswered checks after `deadline` seconds.
    """
    pending = list(wanted)
    complaints: Mapping[Check, str] = {}

    def ask() -> bool:
        nonlocal pending, complaints
        results = prober.ask([check.query for check in pending], window=256)
        answered = list(zip(pending, results, strict=True))
        pending = [check for check, result in answered if not check.passed(result)]
        complaints = {check: check.complaint(result) for check, result in answered if check in pending}
        return not pending

    def between(_state: tenacity.RetryCallState) -> None:
        look()

    if not pending:
        return
    try:
        tenacity.Retrying(
            retry=tenacity.retry_if_result(lambda done: not done),
            wait=tenacity.wait_fixed(_PAUSE),
            stop=tenacity.stop_after_delay(deadline),
            before_sleep=between,
        )(ask)
    except tenacity.RetryError:
        first = "\n".join(f"  {check.node}: {complaints[check]}" for check in pending[:8])
        raise EnvironmentProblem(f"not ready after {deadline:g} s:\n{first}") from None


def _depth(name: Name) -> tuple[int, str]:
    # Reverse zones hang directly below the root here: deep in labels, not in referrals.
    text = name.to_text()
    return (0 if text.endswith(".arpa.") else len(name), text)
