"""What the fault tests share: the lab they run on, how it is asked, and what is left in the kernel."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import tenacity

from lab import Answer, Lab
from lab.faults.link import LinkFault
from lab.labs import load
from lab.runtime import helper
from lab.runtime.conditioner import CONDITIONER
from lab.topology.declaration import Zone

DELAY = 0.05  # seconds
WIDE = 0.045  # seconds that a busy machine may add to the fastest of some answers
PATIENT = 3.0  # seconds for an answer that has to come
WITHIN = 30.0  # seconds for something to come about on a busy machine
_STRING = '"' + "x" * 250 + '"'
BIG = f"big TXT {_STRING} {_STRING} {_STRING} {_STRING}"  # a thousand octets, less than stubs offer by EDNS
_MINIMAL = load("minimal")
DECLARATION = _MINIMAL.model_copy(update={"zones": {**_MINIMAL.zones, "com": Zone(servers=("tld",), records=BIG)}})


def ask(lab: Lab, count: int = 15, window: int = 1, **how: Any) -> list[Answer]:
    question = lab.question(".", "NS", **{"at": "tld", "recurse": False, "timeout": PATIENT, **how})
    return lab.ask([question] * count, window=window)


def paced(lab: Lab, count: int, every: float, timeout: float = PATIENT) -> list[Answer]:
    """Queries at times of their own, so that they arrive in order and none waits for another's answer."""
    wanted = [lab.question(".", "NS", at="tld", recurse=False, timeout=timeout, when=n * every) for n in range(count)]
    return lab.ask(wanted)


def fastest(lab: Lab, **how: Any) -> float:
    """Seconds that the fastest of some queries took, all answered: a busy machine adds, nothing takes away."""
    answers = ask(lab, **how)
    assert all(answer.answered for answer in answers), [answer.status for answer in answers]
    return min(answer.latency for answer in answers)


def link(lab: Lab, name: str, node: str = "tld", **how: Any) -> LinkFault:
    fault = lab.fault(name, node, **how)
    assert isinstance(fault, LinkFault)
    return fault


def counters(fault: LinkFault) -> tuple[int, int]:
    assert fault.state is not None
    return fault.state.matched, fault.state.acted


def exactly(value: int, wanted: int) -> None:
    assert value == wanted


def eventually(check: Callable[[], Any], within: float = WITHIN) -> Any:
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(AssertionError),
        wait=tenacity.wait_fixed(0.02),
        stop=tenacity.stop_after_delay(within),
        reraise=True,
    )
    return retrying(check)


def in_helper(lab: Lab, node: str, command: str) -> str:
    done = subprocess.run(
        ["docker", "exec", helper.name(lab.name, node, CONDITIONER), "sh", "-c", command],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def rules_in_kernel(lab: Lab, node: str) -> list[str]:
    """Rules of ours among those of iptables, IPv4 and IPv6."""
    return [line for line in in_helper(lab, node, "iptables-save; ip6tables-save").splitlines() if "dnslab" in line]


def processes(lab: Lab, node: str) -> int:
    """How many run in a node's helper, those that count included."""
    return int(in_helper(lab, node, "ls /proc | grep -c '^[0-9]'"))


def cli(lab: Lab, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lab.cli", *words, "--lab", lab.name]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
