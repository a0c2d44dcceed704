"""What the tests of zone data and of nodes share: waiting, other processes that break something, what is left."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import tenacity

from lab import Lab

WITHIN = 30.0  # seconds for something to come about on a busy machine

_OWNER = """
import json, sys
from lab import Lab
with Lab.attach(sys.argv[1]) as lab:
    fault = lab.fault(sys.argv[2], sys.argv[3], **json.loads(sys.argv[4]))
    print("bites", flush=True)
    sys.stdin.read()
"""


def eventually(check: Callable[[], Any], within: float = WITHIN) -> Any:
    """What `check` returns once it raises no AssertionError any more."""
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(AssertionError),
        wait=tenacity.wait_fixed(0.02),
        stop=tenacity.stop_after_delay(within),
        reraise=True,
    )
    return retrying(check)


def exactly(value: object, wanted: object) -> None:
    assert value == wanted


@contextmanager
def owner(lab: Lab, name: str, target: str, how: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that has injected a fault; `how` is JSON."""
    command = [sys.executable, "-c", _OWNER, lab.name, name, target, how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "bites\n"
        try:
            yield process
        finally:
            process.kill()


def cli(lab: Lab, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lab.cli", *words, "--lab", lab.name]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def guards(lab: Lab) -> list[str]:
    """Guards of this lab that run, by command line."""
    found = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout.splitlines()
    return [line for line in found if "lab.faults.guard" in line and f" {lab.name} " in line]


def volumes(lab: Lab) -> list[str]:
    """The volumes of this lab."""
    found = lab.api.volumes(filters={"label": [f"dnslab.lab={lab.name}"]})["Volumes"] or []
    return sorted(volume["Name"] for volume in found)


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def __call__(self) -> float:
        return time.monotonic() - self._start
