"""The instrument of experiments: how exactly look-ups are sent at their times, and what a jump of the clock costs."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

from lab import Lab
from lab.experiments import Run, define
from tests.bench.figures import Figure, throughput

RATE, SECONDS = 1000, 10
QUARTILES = ("p25", "p50", "p75")


def figures() -> Iterator[Figure]:
    with Lab.temporary("textbook", name=f"bench-{os.getpid()}") as lab, tempfile.TemporaryDirectory() as folder:
        for arrivals in ("constant", "poisson"):
            # An authority, so that no resolver's work is beside the prober's.
            found = send_times(lab, folder, arrivals, at="example-1").journal.trials[0].measurements
            late = " ".join(f"{found[f'late_{name}'].value * 1000:.2f}" for name in QUARTILES)
            error = found["sent"].value / RATE - 1
            beside = f"rate {error:+.3%} of the planned" if arrivals == "constant" else ""
            load = f"load of the machine {os.getloadavg()[0]:.1f}"
            yield Figure(
                f"send time after the planned one, {RATE} a second, {arrivals}",
                f"quartiles {late} ms",
                "; ".join(filter(None, (beside, load))),
            )
        for server in ("example-1", "resolver-1"):
            counted = closed(lab, folder, at=server).journal.trials[0].measurements["sent"].value
            ours = throughput(lab, lab.question("www.example.com", at=server))
            yield Figure(
                f"dnsperf and {server}, closed loop of 100", f"{counted:.0f} q/s", f"the prober: {ours:.0f} q/s"
            )
        for resolver in ("resolver-1", "resolver-2"):
            trial = virtual(lab, folder, at=resolver).journal.trials[0]
            count = sum(trial.correctness.values())
            program = lab.topology.nodes[resolver].program
            yield Figure(
                f"virtual time, {program}, half of the look-ups from the cache",
                f"{count / trial.seconds:.0f} look-ups a second",
                f"{trial.correctness['wrong']} of {count} wrong",
            )


def send_times(lab: Lab, folder: str, arrivals: str, at: str, seconds: float = SECONDS) -> Run:
    """A run with measurements late_p25, late_p50, late_p75 (send time after the planned one) and sent (a second)."""
    work = {"rate": f"{RATE}/s", "arrivals": arrivals, "at": at}
    measurements = {**{f"late_{name}": f"{name}(lateness)" for name in QUARTILES}, "sent": "rate(all)"}
    return _run(lab, folder, work, f"{seconds}s", cache="warm", measurements=measurements)


def closed(lab: Lab, folder: str, at: str) -> Run:
    """A run with the measurement sent (a second), of what dnsperf can."""
    work = {"arrivals": "closed", "clients": 100, "at": at, "tool": "dnsperf"}
    return _run(lab, folder, work, "5s", cache="warm", measurements={"sent": "rate(all)"})


def virtual(lab: Lab, folder: str, at: str) -> Run:
    """A thousand look-ups in virtual time of a name that lives for as long as the mean time between two of them."""
    return _run(lab, folder, {"rate": "1/h", "at": at}, "1000 queries", cache="flushed", time="virtual")


def _run(lab: Lab, folder: str, work: Mapping[str, Any], length: str, **more: Any) -> Run:
    return define(
        {
            "experiment": "bench",
            "title": "What the instrument can",
            "lab": "textbook",
            "workload": {"names": ["www.example.com"], **work},
            "phases": {"all_of_it": length},
            "expect": ["success(all) >= 90%"],
            **more,
        }
    ).run(lab=lab, folder=folder)
