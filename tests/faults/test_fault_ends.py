"""Faults end: at their deadline, with their owner, on a signal, and leave nothing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest
from faulttools import DELAY, WIDE, ask, cli, eventually, exactly, fastest, link, processes, rules_in_kernel

from lab import Lab
from lab.faults.active import active
from lab.runtime import helper
from lab.runtime.conditioner import CONDITIONER


def test_the_deadline_heals(lab: Lab) -> None:
    with link(lab, "latency", delay="50ms", lasts="1s") as fault:
        assert fault.active
        eventually(lambda: exactly(fault.active, False), within=5)
        assert fastest(lab) < WIDE
        eventually(lambda: exactly(rules_in_kernel(lab, "tld"), []))


def test_two_hundred_cycles_leave_nothing(lab: Lab) -> None:
    with link(lab, "latency", delay="1ms"):
        pass
    before = processes(lab, "tld")
    for number in range(200):
        with lab.fault(
            ("latency", "loss", "blackhole")[number % 3], "tld", **({"delay": "1ms"}, {"every": 2}, {})[number % 3]
        ):
            pass
    eventually(lambda: exactly(rules_in_kernel(lab, "tld"), []))
    eventually(lambda: exactly(processes(lab, "tld") <= before, True))
    assert active(lab) == []
    assert fastest(lab) < WIDE


def test_a_helper_goes_when_nobody_needs_it(lab: Lab) -> None:
    with Lab.attach(lab.name) as elsewhere:
        link(elsewhere, "latency", "root", delay="50ms")
        assert "root" in helper.running(lab.api, lab.name, CONDITIONER)
    eventually(lambda: exactly("root" in helper.running(lab.api, lab.name, CONDITIONER), False))
    assert fastest(lab, at="root") < WIDE, "closing the lab healed the link"


OWNER = """
import sys
from lab import Lab
with Lab.attach(sys.argv[1]) as lab:
    fault = lab.fault(sys.argv[2], "tld", **dict(word.split("=") for word in sys.argv[3:]))
    print("bites", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize(("name", "how"), [("latency", ["delay=50ms"]), ("blackhole", []), ("pause", []), ("stop", [])])
def test_a_killed_owner_heals_within_two_seconds(lab: Lab, name: str, how: list[str]) -> None:
    command = [sys.executable, "-c", OWNER, lab.name, name, *how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "bites\n"
        [broken] = ask(lab, count=1, timeout=0.3)
        assert not broken.answered or broken.latency >= DELAY
        owner.kill()
        killed = time.monotonic()

        def healthy() -> None:
            [answer] = ask(lab, count=1, timeout=0.2)
            assert answer.answered
            assert answer.latency < DELAY

        eventually(healthy)
        took = time.monotonic() - killed
    print(f"{name}: healed {took:.2f} s after kill -9")
    assert took <= (5.0 if name == "stop" else 2.0), "a stopped node has to be started, which Docker takes its time for"
    eventually(lambda: exactly(len(active(lab)), 0))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130)])
def test_ctrl_c_and_sigterm_heal(lab: Lab, number: int, code: int) -> None:
    command = [sys.executable, "-m", "lab.cli", "fault", "latency", "tld", "--param", "delay=50ms", "--for", "60s"]
    with subprocess.Popen([*command, "--json", "--lab", lab.name], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        told = ""
        while not told.endswith("\n}\n"):
            line = owner.stdout.readline()
            assert line, f"it ended with {owner.wait()}"
            told += line
        assert json.loads(told)["parameters"]["delay"] == DELAY
        assert fastest(lab) >= DELAY
        owner.send_signal(number)
        assert owner.wait(20) == code
    assert fastest(lab) < WIDE
    assert active(lab) == []


def test_a_time_that_is_over_heals(lab: Lab) -> None:
    done = cli(lab, "fault", "pause", "tld", "--for", "1s")
    assert done.returncode == 0, done.stderr
    assert "Healed." in done.stdout
    assert fastest(lab) < WIDE
