"""Faults on a running lab: what they do is measured, to whom they do it and to whom not, and that nothing stays."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import tenacity

from lab import Answer, BadInput, EnvironmentProblem, Lab
from lab.errors import NoEffect
from lab.faults.active import active, heal
from lab.faults.link import LinkFault
from lab.runtime import helper
from lab.runtime.conditioner import CONDITIONER

DELAY = 0.05  # seconds
WIDE = 0.045  # seconds that a busy machine may add to a median
PATIENT = 3.0  # seconds for an answer that has to come
WITHIN = 30.0  # seconds for something to come about on a busy machine


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab.temporary("minimal", name=f"flt-{os.getpid()}") as lab:
        yield lab


@pytest.fixture(autouse=True)
def nothing_broken(lab: Lab) -> None:
    heal(lab)


def ask(lab: Lab, count: int = 15, window: int = 1, **how: Any) -> list[Answer]:
    question = lab.question(".", "NS", **{"at": "tld", "recurse": False, "timeout": PATIENT, **how})
    return lab.ask([question] * count, window=window)


def paced(lab: Lab, count: int, every: float, timeout: float = PATIENT) -> list[Answer]:
    """Queries at times of their own, so that they arrive in order and none waits for another's answer."""
    wanted = [lab.question(".", "NS", at="tld", recurse=False, timeout=timeout, when=n * every) for n in range(count)]
    return lab.ask(wanted)


def median(lab: Lab, **how: Any) -> float:
    answers = ask(lab, **how)
    assert all(answer.answered for answer in answers), [answer.status for answer in answers]
    return statistics.median(answer.latency for answer in answers)


def link(lab: Lab, name: str, node: str = "tld", **how: Any) -> LinkFault:
    fault = lab.fault(name, node, **how)
    assert isinstance(fault, LinkFault)
    return fault


def counters(fault: LinkFault) -> tuple[int, int]:
    assert fault.state is not None
    return fault.state.matched, fault.state.acted


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


# Latency


@pytest.mark.parametrize(("direction", "times"), [("in", 1), ("out", 1), ("both", 2)])
def test_latency_is_what_was_asked_for(lab: Lab, direction: str, times: int) -> None:
    with link(lab, "latency", delay="50ms", direction=direction) as fault:
        measured = median(lab)
        print(f"{direction}: asked {fault.asked}, got {fault.got}; then {measured * 1000:.2f} ms")
        assert times * DELAY <= measured < times * (DELAY + WIDE)
        assert counters(fault) == (15 * times, 15 * times), "queries go in, answers go out"
    assert median(lab) < WIDE


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_latency_only_for_the_asked_transport(lab: Lab, transport: str) -> None:
    with link(lab, "latency", delay="50ms", transport=transport):
        touched, spared = (
            median(lab, transport=transport),
            median(lab, transport="tcp" if transport == "udp" else "udp"),
        )
        print(f"{transport} {touched * 1000:.1f} ms, the other {spared * 1000:.1f} ms")
        assert touched >= DELAY
        assert spared < WIDE


def test_latency_only_for_the_asked_peer(lab: Lab) -> None:
    with link(lab, "latency", delay="50ms", to="resolver") as fault:
        assert fault.after is not None
        assert fault.after.least is not None
        assert fault.after.least >= DELAY
        assert median(lab) < WIDE, "the host is not the resolver"
        assert counters(fault) == (0, 0)
        lab.flush()
        cold = lab.query("www.example.com", timeout=10)
        assert cold.status == "NOERROR"
        assert cold.latency >= DELAY, "the resolver asks the TLD"
        assert counters(fault)[0] > 0


def test_latency_over_ipv6_too(lab: Lab) -> None:
    with link(lab, "latency", delay="50ms"):
        assert DELAY <= median(lab, ipv6=True) < DELAY + WIDE


def test_jitter_spreads(lab: Lab) -> None:
    with link(lab, "latency", delay="50ms", jitter="40ms", distribution="uniform"):
        latencies = [answer.latency for answer in ask(lab, count=200, window=200)]
        assert min(latencies) >= 0.01
        # The standard deviation of 80 ms uniform is 23 ms; 200 samples give it to about 4 %.
        assert statistics.stdev(latencies) > 0.018


# Loss


def test_loss_is_binomial(lab: Lab) -> None:
    share, count = 0.1, 2000
    with link(lab, "loss", share=share) as fault:
        answers = ask(lab, count=count, window=200, timeout=0.5)
        matched, lost = counters(fault)
    interval = 2.576 * math.sqrt(count * share * (1 - share))  # 99 %
    print(f"{lost} of {matched} packets lost; 99 % interval {count * share:.0f} +- {interval:.0f}")
    assert matched == count
    assert abs(lost - count * share) <= interval
    assert sum(not answer.answered for answer in answers) >= lost


def test_the_same_seed_loses_the_same_packets(lab: Lab) -> None:
    def lost(**how: Any) -> list[int]:
        with link(lab, "loss", share="20%", **how):
            return [n for n, answer in enumerate(paced(lab, 100, 0.005, timeout=2.0)) if not answer.answered]

    first = lost(seed=7)
    assert 5 <= len(first) <= 40
    assert lost(seed=7) == first
    assert lost(seed=8) != first


def test_every_nth_is_exact(lab: Lab) -> None:
    with link(lab, "loss", every=4):
        answers = paced(lab, 40, 0.005)
    assert [n for n, answer in enumerate(answers, 1) if not answer.answered] == list(range(4, 41, 4))


def test_bursts(lab: Lab) -> None:
    with link(lab, "loss", share="30%", burst=5) as fault:
        answers = paced(lab, 400, 0.002)
        matched, lost = counters(fault)
    gone = "".join("." if answer.answered else "x" for answer in answers)
    bursts = [len(run) for run in re.findall("x+", gone)]
    print(f"{lost} of {matched} lost, in {len(bursts)} bursts of {statistics.mean(bursts):.1f}: {gone}")
    assert matched == 400
    assert statistics.mean(bursts) > 2, "independent losses of this share come in runs of 1.4"


# Copies, order, rate


@pytest.mark.parametrize("direction", ["in", "out"])
@pytest.mark.parametrize("ipv6", [False, True], ids=["ipv4", "ipv6"])
def test_every_packet_twice(lab: Lab, direction: str, ipv6: bool) -> None:
    """Counted where it arrives: by a rule at the host that delays nothing worth speaking of."""
    with (
        link(lab, "latency", "host", delay="0.1ms", to="tld") as arriving,
        link(lab, "duplicate", share="100%", direction=direction, transport="udp"),
    ):
        before = counters(arriving)[0]
        answers = ask(lab, count=20, ipv6=ipv6)
        assert all(answer.answered for answer in answers)
        # A query that comes twice is answered twice, an answer that is sent twice comes twice.
        eventually(lambda: exactly(counters(arriving)[0] - before, 40))


def exactly(value: int, wanted: int) -> None:
    assert value == wanted


def test_tcp_bears_copies(lab: Lab) -> None:
    with link(lab, "duplicate", share="100%", direction="both"):
        assert all(answer.answered for answer in ask(lab, count=10, transport="tcp"))


def test_held_packets_are_overtaken(lab: Lab) -> None:
    with link(lab, "reorder", share="30%", hold="100ms") as fault:
        answers = paced(lab, 60, 0.005)
        held = counters(fault)[1]
    late = [answer.latency >= 0.1 for answer in answers]
    assert sum(late) >= held > 0
    assert not all(late)


def test_rate_queues_and_then_drops(lab: Lab) -> None:
    # 45 octets a query at 36 kbit/s: 10 ms each; ten of them fill the queue of 450 octets.
    with link(lab, "rate", rate="36kbit", queue="450B", transport="udp") as fault:
        answers = ask(lab, count=30, window=30, timeout=1.0)
        matched, _ = counters(fault)
    answered = sorted(answer.latency for answer in answers if answer.answered)
    print(f"{len(answered)} of {matched} answered, {answered[0] * 1000:.0f} to {answered[-1] * 1000:.0f} ms")
    assert 9 <= len(answered) < 30
    assert answered[-1] >= 0.08


# What a client can tell apart


CONNECT = """python3 -c '
import socket
try:
    socket.create_connection(("{address}", 53), 5).close()
except OSError as error:
    print(type(error).__name__, error.errno)
else:
    print("connected")
'"""


def signature(lab: Lab) -> tuple[str, str]:
    """What comes of a UDP query, and of a TCP connection from a node that has no business with this one."""
    [udp] = ask(lab, count=1, timeout=1.0)
    tcp = in_helper(lab, "authority", CONNECT.format(address=lab.topology.nodes["tld"].ipv4))
    return udp.status, tcp.strip()


def test_silent_faults_are_told_apart(lab: Lab) -> None:
    signatures = {}
    lab.links.helper("authority")
    # `stop` first: to who knows its Ethernet address a stopped node is silent until the neighbour cache gives it up.
    for name in ("stop", "pause", "blackhole", "reject"):
        with lab.fault(name, "tld"):
            signatures[name] = signature(lab)
    signatures["healthy"] = signature(lab)
    print(json.dumps(signatures, indent=2))
    assert signatures == {
        "stop": ("TIMEOUT", "OSError 113"),  # EHOSTUNREACH: nobody answers ARP, for three seconds
        "pause": ("TIMEOUT", "connected"),  # the kernel takes the connection, the program never does
        "blackhole": ("TIMEOUT", "TimeoutError None"),
        "reject": ("UNREACHABLE", "ConnectionRefusedError 111"),
        "healthy": ("REFUSED", "connected"),  # a TLD server is not authoritative for the root
    }


@pytest.mark.parametrize("direction", ["in", "out", "both"])
def test_blackholes_one_way_and_both(lab: Lab, direction: str) -> None:
    with link(lab, "blackhole", direction=direction) as fault:
        assert not any(answer.answered for answer in ask(lab, count=3, window=3, timeout=0.2))
        assert counters(fault) == (3, 3), "a query that is lost has no answer to be lost"
    assert median(lab) < WIDE


@pytest.mark.parametrize("name", ["stop", "kill", "pause"])
def test_node_faults(lab: Lab, name: str) -> None:
    with lab.fault(name, "tld") as fault:
        assert fault.active
        assert fault.got.startswith("paused" if name == "pause" else "stopped")
        assert not ask(lab, count=1, timeout=0.2)[0].answered
        assert [(entry.fault, entry.node) for entry in active(lab)] == [
            ("paused" if name == "pause" else "stopped", "tld")
        ]
        with pytest.raises(NoEffect, match="already"):
            lab.fault(name, "tld")
    assert median(lab) < WIDE


# Several at once


def test_faults_combine_whatever_the_order(lab: Lab) -> None:
    one, other = {"delay": "50ms"}, {"delay": "30ms", "direction": "out"}
    for first, second in ((one, other), (other, one)):
        with ExitStack() as stack:
            faults = [stack.enter_context(link(lab, "latency", **how)) for how in (first, second)]
            assert 0.08 <= median(lab) < 0.08 + WIDE
            assert {entry.node for entry in active(lab)} == {"tld"}
            assert len(active(lab)) == 2
            faults[0].heal()
            assert faults[1].active
            assert not faults[0].active
            left = 0.03 if second is other else 0.05
            assert left <= median(lab) < left + WIDE
        assert median(lab) < WIDE


def test_one_fault_at_several_nodes(lab: Lab) -> None:
    with lab.fault("latency", "tld,authority", delay="50ms") as fault:
        assert fault.active
        assert "tld: 5" in fault.got
        assert "authority: 5" in fault.got
        assert min(median(lab, at="tld"), median(lab, at="authority")) >= DELAY
        assert median(lab, at="root") < WIDE
        assert sorted(entry.node for entry in active(lab)) == ["authority", "tld"]
    assert max(median(lab, at="tld"), median(lab, at="authority")) < WIDE
    assert not fault.active


def test_two_processes_disturb_one_link(lab: Lab) -> None:
    with Lab.attach(lab.name) as elsewhere, link(lab, "latency", delay="50ms"):
        there = link(elsewhere, "latency", delay="30ms")
        assert median(lab) >= 0.08
        there.heal()
        assert DELAY <= median(lab) < DELAY + WIDE


def test_somebody_else_heals(lab: Lab) -> None:
    with Lab.attach(lab.name) as elsewhere:
        fault = link(lab, "latency", delay="50ms")
        assert heal(elsewhere, ["tld"]) == ["tld"]
        assert median(lab) < WIDE
        eventually(lambda: exactly(fault.active, False))
        fault.heal()


def test_reset_heals(lab: Lab) -> None:
    fault = link(lab, "latency", delay="50ms")
    lab.reset()
    assert not fault.active
    assert median(lab) < WIDE


# It ends


def test_the_deadline_heals(lab: Lab) -> None:
    with link(lab, "latency", delay="50ms", lasts="1s") as fault:
        assert fault.active
        eventually(lambda: exactly(fault.active, False), within=5)
        assert median(lab) < WIDE
        assert rules_in_kernel(lab, "tld") == []


def test_thirty_cycles_leave_nothing(lab: Lab) -> None:
    with link(lab, "latency", delay="1ms"):
        pass
    before = processes(lab, "tld")
    for number in range(30):
        with lab.fault(
            ("latency", "loss", "blackhole")[number % 3], "tld", **({"delay": "1ms"}, {"every": 2}, {})[number % 3]
        ):
            pass
    assert rules_in_kernel(lab, "tld") == []
    eventually(lambda: exactly(processes(lab, "tld") <= before, True))
    assert active(lab) == []
    assert median(lab) < WIDE


def test_a_helper_goes_when_nobody_needs_it(lab: Lab) -> None:
    with Lab.attach(lab.name) as elsewhere:
        link(elsewhere, "latency", "root", delay="50ms")
        assert "root" in helper.running(lab.api, lab.name, CONDITIONER)
    eventually(lambda: exactly("root" in helper.running(lab.api, lab.name, CONDITIONER), False))
    assert median(lab, at="root") < WIDE, "closing the lab healed the link"


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
        assert median(lab) >= DELAY
        owner.send_signal(number)
        assert owner.wait(20) == code
    assert median(lab) < WIDE
    assert active(lab) == []


def test_a_time_that_is_over_heals(lab: Lab) -> None:
    done = cli(lab, "fault", "pause", "tld", "--for", "1s")
    assert done.returncode == 0, done.stderr
    assert "Healed." in done.stdout
    assert median(lab) < WIDE


# Nodes that come and go under a fault


def test_a_restarted_node_has_its_link_back(lab: Lab) -> None:
    with link(lab, "latency", delay="50ms") as fault:
        lab.node("tld").restart()
        assert DELAY <= median(lab) < DELAY + WIDE, "the rules are back when restart returns"
        assert fault.active
        lab.api.restart(lab.node("tld").container, timeout=0)  # by somebody who knows nothing of faults

        def disturbed() -> None:
            [answer] = ask(lab, count=1, timeout=0.2)
            assert answer.answered
            assert answer.latency >= DELAY

        eventually(disturbed)
    assert median(lab) < WIDE


def test_healed_while_stopped(lab: Lab) -> None:
    fault = link(lab, "blackhole")
    with lab.fault("pause", "tld"):
        pass  # unpausing does not wait for answers that the blackhole swallows
    lab.node("tld").stop()
    fault.heal()
    lab.node("tld").start()
    assert median(lab) < WIDE
    assert not fault.active


def test_a_node_that_is_removed_under_a_fault(lab: Lab) -> None:
    fault = link(lab, "latency", delay="50ms")
    lab.api.remove_container(lab.node("tld").container, force=True)
    fault.heal()
    lab.nodes["tld"].close()
    Lab.up("minimal", name=lab.name).close()
    assert median(lab) < WIDE


@pytest.mark.parametrize("number", ["TERM", "KILL"])
def test_a_helper_that_ends_is_no_outage_and_comes_back(lab: Lab, number: str) -> None:
    def hooks() -> list[str]:
        return [rule for rule in rules_in_kernel(lab, "tld") if rule.startswith("-A INPUT ! -i lo")]

    with link(lab, "latency", delay="50ms"):
        assert len(hooks()) == 2, "one for IPv4, one for IPv6"
        lab.api.kill(helper.name(lab.name, "tld", CONDITIONER), number)
        # What is in flight at a SIGKILL is lost with it; whoever asks again gets through.
        assert all(answer.answered for answer in ask(lab, count=5, attempts=3, timeout=1.0))

        def back() -> None:
            assert ask(lab, count=1)[0].latency >= DELAY

        eventually(back)
        assert len(hooks()) == 2, "none was left beside the new ones"
    assert rules_in_kernel(lab, "tld") == []
    assert median(lab) < WIDE


# What cannot be


def test_a_fault_without_effect_is_an_error(lab: Lab) -> None:
    with link(lab, "blackhole", "host", to="tld", direction="out"):
        with pytest.raises(NoEffect, match=r"has no effect.*another fault in the way"):
            lab.fault("latency", "tld", delay="50ms")
        assert len(active(lab)) == 1
    assert median(lab) < WIDE


def test_a_stopped_node_has_no_link(lab: Lab) -> None:
    lab.node("tld").stop()
    with pytest.raises(EnvironmentProblem, match="tld does not run"):
        lab.fault("latency", "tld", delay="50ms")
    lab.node("tld").start()


def test_another_labs_node(lab: Lab) -> None:
    with pytest.raises(BadInput, match=f"no node 'gtld-1' in lab {lab.name}"):
        lab.fault("latency", "gtld-1", delay="50ms")


def cli(lab: Lab, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lab.cli", *words, "--lab", lab.name]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["fault", "latency", "tld"], "needs delay"),
        (["fault", "latency", "tld", "-p", "delay=-5ms"], "not negative"),
        (["fault", "latency", "tld", "-p", "delay"], "key=value"),
        (["fault", "loss", "tld", "-p", "share=1.2"], "above 0, to 1"),
        (["fault", "latency", "tdl", "-p", "delay=5ms"], "did you mean 'tld'"),
        (["fault", "latency"], "latency where"),
        (["fault", "show"], "which"),
        (["heal"], "--all"),
    ],
)
def test_bad_input_on_the_command_line(lab: Lab, words: list[str], advice: str) -> None:
    done = cli(lab, *words)
    assert done.returncode == 4
    assert advice in done.stderr


def test_the_command_line_shows_and_heals(lab: Lab) -> None:
    assert "latency" in cli(lab, "fault", "list").stdout
    assert "80ms" in cli(lab, "fault", "show", "latency").stdout
    dry = cli(lab, "fault", "latency", "tld", "-p", "delay=50ms", "--to", "resolver", "--dry-run")
    assert "arrives at tld from resolver comes 50ms later" in dry.stdout
    assert median(lab) < WIDE
    with link(lab, "latency", delay="50ms"), lab.fault("pause", "root"):
        found = json.loads(cli(lab, "faults", "--json").stdout)
        assert sorted(entry["fault"] for entry in found) == ["latency", "paused"]
        assert json.loads(cli(lab, "heal", "--all", "--json").stdout) == {"healed": ["root", "tld"]}
        assert json.loads(cli(lab, "faults", "--json").stdout) == []
        assert median(lab) < WIDE
