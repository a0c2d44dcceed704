"""A plausible run that never was: both TLD servers stop under load. For tests of all that reads runs.

    run = fake_run(folder)          # as `Run.load` would find it
    history = fake_history()        # or one history, to be spoilt as a test likes

What is cached is answered at once, with a TTL that counts down; the rest needs the TLD and times out while it is gone.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zlib import crc32

from lab.experiments.history import RR, FaultWindow, History, HistoryFile, Lookup, Mark, Message, Phase, Truth
from lab.experiments.journal import Estimate, Finding, Journal, LabRecord, NodeRecord, Trial
from lab.experiments.run import HISTORY, LATEST, Run

TTL = 3600
CACHED, UNIQUE = "www.example.com.", "u{}.example.org."
PHASES = (Phase("baseline", 0.0, 10.0), Phase("fault", 10.4, 30.0), Phase("recovery", 31.2, 45.0))
SERVERS = ("root-a", "gtld-1", "example-1")  # asked in this order for what is not known


def fake_history(trial: int = 1, seed: int = 1, rate: float = 40.0, timeout: float = 2.0) -> History:
    """One trial: `rate` look-ups a second, three of four for a cached name, the others for names never asked before."""
    chance, history = random.Random(seed), History(trial)
    for phase in PHASES:
        history.add(phase)
    history.add(_truth(CACHED, "192.0.2.80"))
    history.add(Mark(-1.0, "cache", "resolver-1 remembers nothing"))
    history.add(_lookup(-1, -0.5, 0.006, CACHED, TTL))
    for message in _upstream(-0.5, CACHED, SERVERS):
        history.add(message)
    time, n = 0.0, 0
    while (time := time + chance.expovariate(rate)) < PHASES[-1].end:
        late = chance.uniform(0.0, 0.0004)
        if chance.random() < 0.75:
            latency = late + chance.lognormvariate(-7.6, 0.3)
            history.add(_lookup(n, time, latency, CACHED, TTL - int(time + 0.5), late=late))
        else:
            name = UNIQUE.format(n)
            history.add(_truth(name, "203.0.113.20"))
            gone = PHASES[0].end <= time < PHASES[1].end + 0.8
            for message in _upstream(time + late, name, SERVERS[1:2] if gone else SERVERS[1:], answered=not gone):
                history.add(message)
            if gone:
                history.add(_lookup(n, time, timeout + late, name, late=late))
            else:
                history.add(_lookup(n, time, late + chance.lognormvariate(-5.8, 0.4), name, TTL, late=late))
        n += 1
    for node in ("gtld-1", "gtld-2"):
        history.add(
            FaultWindow(
                "stop",
                node,
                f"{node} is stopped: its program is asked to end, its address leaves the network.",
                began=10.0,
                bites_from=10.4,
                ended=30.0,
                healed=31.2,
                asked="stopped",
                got="stopped; none of 3 answered",
                before={"asked": 3, "answered": 3, "refused": 0, "least_ms": 0.31, "median_ms": 0.4},
                after={"asked": 3, "answered": 0, "refused": 0, "least_ms": None, "median_ms": None},
            )
        )
    history.add(Mark(31.3, "health", "every node answers"))
    return history


def _truth(name: str, address: str) -> Truth:
    return Truth(name, "A", "NOERROR", (RR(name, TTL, "A", address),))


def _lookup(n: int, intended: float, latency: float, name: str, ttl: int | None = None, *, late: float = 0.0) -> Lookup:
    answered = ttl is not None
    address = "192.0.2.80" if name == CACHED else "203.0.113.20"
    return Lookup(
        n, intended, intended + late, latency, "host", "resolver-1", name, "A",
        outcome="answer" if answered else "timeout",
        status="NOERROR" if answered else "TIMEOUT",
        answer=(RR(name, ttl, "A", address),) if ttl is not None else (),
        asked=("resolver-1",),
    )  # fmt: skip


def _upstream(time: float, name: str, servers: tuple[str, ...], *, answered: bool = True) -> list[Message]:
    found = []
    for step, server in enumerate(servers):
        at, id = time + 0.0004 + step * 0.001, crc32(name.encode()) & 0xFFFF
        found.append(Message(at, "resolver-1", server, "udp", name, "A", True, id, size=50))
        if answered:
            final = server == "example-1"
            found.append(
                Message(
                    at + 0.0005,
                    server,
                    "resolver-1",
                    "udp",
                    name,
                    "A",
                    False,
                    id,
                    "NOERROR",
                    120,
                    authoritative=final,
                    answers=int(final),
                )
            )
    return found


NODES = (
    NodeRecord("root-a", "root", "knot", "3.2.6", "10.53.0.11", "fd53::11", "a.root-servers.net", (".",)),
    NodeRecord("gtld-1", "tld", "knot", "3.2.6", "10.53.0.14", "fd53::14", "a.gtld-servers.net", ("com", "net")),
    NodeRecord("gtld-2", "tld", "nsd", "4.6.1", "10.53.0.15", "fd53::15", "b.gtld-servers.net", ("com", "net")),
    NodeRecord(
        "example-1", "authority", "knot", "3.2.6", "10.53.0.18", "fd53::18", "ns1.example.com", ("example.com",)
    ),
    NodeRecord("resolver-1", "resolver", "unbound", "1.17.1", "10.53.0.193", "fd53::193", "dns.nyu.edu"),
    NodeRecord("host", "host", None, "", "10.53.0.225", "fd53::225", "cse.nyu.edu", resolvers=("resolver-1",)),
)
ENVIRONMENT: Mapping[str, Any] = {
    "dnslab": "0.1.0",
    "commit": "0123456789ab",
    "python": "3.11.7",
    "kernel": "Linux 6.1.0",
    "machine": "x86_64",
    "cpus": 2,
    "docker": "20.10.24",
    "programs": {"knot": "3.2.6", "nsd": "4.6.1", "unbound": "1.17.1"},
    "images": {"dnslab/knot": "sha256:aaaa", "dnslab/nsd": "sha256:bbbb", "dnslab/unbound": "sha256:cccc"},
}
DECLARED: Mapping[str, Any] = {
    "experiment": "tld-outage-fake",
    "title": "Both TLD servers stop",
    "lab": "textbook",
    "cache": "warm",
    "workload": {"names": [CACHED.rstrip(".")], "rate": "40/s", "arrivals": "poisson"},
    "phases": {"baseline": "10s", "fault": "20s", "recovery": "15s"},
    "method": [{"fault": "stop", "node": node, "start": "fault"} for node in ("gtld-1", "gtld-2")],
    "expect": ["success(fault) >= 0.99", "upstream(root, fault) == 0", "recovery_time < 5s"],
}  # fmt: skip


def fake_trial(number: int = 1, seed: int = 1) -> Trial:
    """The trial of `fake_history`, with one finding of each outcome."""
    success = Estimate(0.75, 0.71, 0.79, 780, "share")
    return Trial(
        number, {"timeout": "2s"}, 1, seed, "2026-11-25T16:00:00+00:00", 47.3, "tld-outage-fake-1",
        gate=(
            Finding(
                "success(baseline) >= 0.9", "held", "100 % of 400 look-ups, at least 98.4 % (99 %)",
                Estimate(1.0, 0.984, 1.0, 400, "share"), ">= 0.9", Estimate.exact(0.9),
                {"success(baseline)": Estimate(1.0, 0.984, 1.0, 400, "share")},
            ),
        ),
        findings=(
            Finding(
                "success(fault) >= 0.99", "deviated", "75.0 % of 780 look-ups, 71 to 79 % (99 %), and not 99 % or more",
                success, ">= 0.99", Estimate.exact(0.99), {"success(fault)": success}, "what is cached is answered",
            ),
            Finding(
                "upstream(root, fault) == 0", "held", "0 queries",
                Estimate.exact(0, "queries"), "== 0", Estimate.exact(0),
                {"upstream(root, fault)": Estimate.exact(0, "queries")},
            ),
            Finding(
                "recovery_time < 5s", "inconclusive", "only 12 look-ups followed the last failure, 20 are needed",
                None, "< 5s", Estimate.exact(5.0, "s"),
            ),
        ),
        measurements={"served": success, "median": Estimate(0.0005, 0.00049, 0.00051, 400, "s")},
        predictions={"served": 0.75},
        correctness={"fresh": 250, "cached": 1350, "stale": 0, "wrong": 0, "unanswered": 200},
        outcome="deviated",
        why="success(fault) >= 0.99: 75.0 % of 780 look-ups, 71 to 79 % (99 %), and not 99 % or more",
    )  # fmt: skip


def fake_journal(trials: int = 1, **changes: Any) -> Journal:
    """The journal of a fake run."""
    return Journal(
        **{
            "name": "tld-outage-fake",
            "title": "Both TLD servers stop",
            "experiment": DECLARED,
            "source": "tld-outage-fake.yaml",
            "text": "experiment: tld-outage-fake\n",
            "command": "dnslab run tld-outage-fake.yaml --seed 1",
            "started": "2026-11-25T16:00:00+00:00",
            "ended": "2026-11-25T16:00:58+00:00",
            "seed": 1,
            "confidence": 0.99,
            "question": "What do users notice when both TLD servers are gone for a while?",
            "labs": (LabRecord("textbook", NODES, ((".", "com"), ("com", "example.com"))),),
            "environment": ENVIRONMENT,
            "trials": tuple(fake_trial(number + 1, number + 1) for number in range(trials)),
            **changes,
        }
    )


def fake_run(folder: Path, trials: int = 1) -> Run:
    """Write a fake run into `folder`/NAME/TIME, `latest` beside it, and return it as it is found there."""
    journal = fake_journal(trials)
    place = folder / journal.name / "20261125-160000"
    place.mkdir(parents=True)
    with HistoryFile(place / HISTORY) as file:
        for trial in journal.trials:
            history = fake_history(trial.number, trial.seed)
            file.begin(history.trial, watched=history.watched)
            for entry in (
                *history.phases, *history.truths, *history.marks, *history.all_lookups, *history.all_messages,
                *history.faults,
            ):  # fmt: skip
                file.write(entry)
    journal.write(place)
    (place.parent / LATEST).symlink_to(place.name)
    return Run.load(place)
