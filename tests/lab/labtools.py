"""What the lab tests share: patience, waiting for a thing, and records that compare as data."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import dns.message
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import pytest
import tenacity
from dns.name import Name
from dns.rdata import Rdata

from lab import Answer, Lab
from lab.agent.protocol import Query
from lab.cli import main, output
from lab.labs import load
from lab.runtime.answer import ResourceRecord
from lab.runtime.parallel import each
from lab.topology.declaration import Declaration, Server, Zone
from lab.topology.model import Origin, Record, Topology

T = TypeVar("T")

LOG_LINES = 3  # of each node in the report of a failed test
# Seconds a client waits. BIND gives up after resolver-query-timeout, 10 s; for a name two or more labels below a zone
# whose servers are all dead (query name minimisation) after 12 s, measured: no test waits for one of those.
PATIENCE = 11.0
WITHIN = 30.0  # seconds for something to come about, on a busy machine
# What a client with that patience sees when no server answers: Unbound goes on for more than a minute.
GIVES_UP = {"bind": "SERVFAIL", "unbound": "TIMEOUT"}


class Ended(NamedTuple):
    """How one run of dnslab ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Ended]


def in_process(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `dnslab` in this process, and expects an exit code: for many small commands."""

    def run(*arguments: str, code: int = 0) -> Ended:
        output.out.cache_clear()
        output.err.cache_clear()
        ended = Ended(main.run(list(arguments)), *capsys.readouterr())
        assert ended.code == code, ended
        return ended

    return run


def tiny(**changes: object) -> Declaration:
    """The smallest lab there can be, quickly up and down: a root with one name in it, a resolver, a host."""
    zones = {".": Zone(servers=("root",), records="www.example.com. A 192.0.2.80")}
    servers = {"root": Server(program="knot")}
    return load("minimal").model_copy(update={"zones": zones, "servers": servers, **changes})


def eventually(check: Callable[[], T], within: float = WITHIN) -> T:
    """What `check` returns once it raises no AssertionError any more; its last error after `within` seconds."""
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(AssertionError),
        wait=tenacity.wait_fixed(0.05),
        stop=tenacity.stop_after_delay(within),
        reraise=True,
    )
    return retrying(check)


@contextmanager
def elapsed() -> Iterator[Callable[[], float]]:
    """Seconds since the start of the block, by the monotonic clock."""
    start = time.monotonic()
    yield lambda: time.monotonic() - start


def break_nodes(lab: Lab, verb: str, *names: str) -> None:
    """`stop` or `pause` nodes, and see that none of them answers any more: the fault has taken hold."""
    each(lambda name: getattr(lab.node(name), verb)(), names)
    queries = [lab.question(".", "NS", at=name, recurse=False, timeout=0.2) for name in names]
    for answer in lab.ask(queries):
        assert not answer.answered, f"{answer.server} answers after {verb}: {answer.status}"


def heal_nodes(lab: Lab, *names: str) -> None:
    """Let them run again; each answers when this returns."""
    each(lambda name: lab.node(name).heal(), names)
    for answer in lab.ask([lab.question(".", "NS", at=name, recurse=False) for name in names]):
        assert answer.answered, f"{answer.server} does not answer after healing: {answer.status}"


def questions(lab: Lab, *asked: str, timeout: float = PATIENCE) -> list[Query]:
    """Each `NAME` or `NAME TYPE` for each resolver of the lab, once, with the patience of a test."""
    pairs = [(*text.split(), "A")[:2] for text in asked]
    return [
        lab.question(name, kind, at=node.name, timeout=timeout)
        for name, kind in pairs
        for node in lab.topology.resolvers
    ]


def told(answers: Iterable[Answer]) -> str:
    """Answers one a line, for messages and measurements."""
    return "\n".join(
        f"  {answer.server:<11} {answer.query.name:<28} {answer.query.type:<5} {answer.status:<9}"
        f" {answer.latency * 1000:8.1f} ms  {', '.join(answer.data())[:60]}"
        for answer in answers
    )


def assert_all(answers: Iterable[Answer], status: str) -> None:
    """Every answer has this status."""
    wrong = [answer for answer in answers if answer.status != status]
    assert not wrong, f"not {status}:\n{told(wrong)}"


def assert_given_up(lab: Lab, answers: Iterable[Answer]) -> None:
    """Every answer is what its resolver says, or does not say, when no server answers it."""
    wrong = [answer for answer in answers if answer.status != GIVES_UP[lab.node(answer.server).node.program or ""]]
    assert not wrong, f"not given up:\n{told(wrong)}"


# Records as data: independent of order, letter case and spelling.


def rdata(kind: str, text: str) -> Rdata:
    """A record's data as dnspython understands it."""
    return dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.from_text(kind), text)


def data_of(answer: Answer) -> set[Rdata]:
    """The data of the type that was asked for."""
    return {rdata(answer.query.type, text) for text in answer.data()}


Flat = tuple[Name, int, Rdata]


def flat(records: Iterable[ResourceRecord]) -> set[Flat]:
    """A section of an `Answer` as a set of owner, TTL and data."""
    return {(dns.name.from_text(record.name), record.ttl, rdata(record.type, record.data)) for record in records}


def authoritative_rrsets(topology: Topology) -> dict[tuple[Name, str], list[Record]]:
    """Every RRset that some zone holds with authority: not the NS of a delegation, not glue."""
    rrsets: dict[tuple[Name, str], list[Record]] = {}
    for zone in topology.zones.values():
        for record in zone.records:
            if record.origin not in (Origin.DELEGATION, Origin.GLUE):
                rrsets.setdefault((record.owner, record.type), []).append(record)
    return rrsets
