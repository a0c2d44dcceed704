"""Restarts, slow starts, crash loops and skewed clocks on a running lab: measured, healed, and nothing stays."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from zonetools import Stopwatch, cli, eventually, exactly, guards, owner, volumes

from lab import BadInput, Lab, labs
from lab.errors import NoEffect
from lab.faults.active import active, heal
from lab.faults.crash_loop import CrashLoop
from lab.software.program import on_its_clock
from lab.topology.declaration import Declaration, Server

HEALED_WITHIN = 2.0  # seconds after the death of the owner, and the time of a restart where healing takes one
RESTARTS = 15.0  # seconds for a restart on a machine that has more to do than it can


def declaration() -> Declaration:
    """The smallest lab, its TLD server on the lab's clock."""
    lab = labs.load("minimal")
    servers = {**lab.servers, "tld": Server(program="nsd", clock="lab")}
    return lab.model_copy(update={"servers": servers})


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab.temporary(declaration(), name=f"zon-node-{os.getpid()}") as lab:
        yield lab


@pytest.fixture(autouse=True)
def nothing_broken(lab: Lab) -> Iterator[None]:
    heal(lab)
    for node in ("tld", "resolver"):
        lab.node(node).wait()  # a guard that healed has not waited for answers
    lab.flush()
    before = volumes(lab)
    yield
    heal(lab)
    eventually(lambda: exactly((active(lab), volumes(lab), guards(lab)), ([], before, [])))


def answers(lab: Lab, node: str = "tld", timeout: float = 1.0) -> bool:
    return lab.query(".", "NS", at=node, recurse=False, timeout=timeout).answered


def off(lab: Lab, node: str) -> float:
    """Seconds by which a program in a node on its clock is ahead of this machine."""
    lab.node(node).close()
    return float(lab.node(node).run(f"{on_its_clock(lab.node(node).node, 'date +%s.%N')}")) - time.time()


# restart


def test_a_restart_empties_the_cache_and_is_over(lab: Lab) -> None:
    assert lab.query("www.example.com").status == "NOERROR"
    with lab.fault("blackhole", "authority"):
        assert lab.query("www.example.com").status == "NOERROR", "the cache knows"
        life = lab.node("resolver").life
        with lab.fault("restart", "resolver") as fault:
            assert not fault.active
            assert fault.got.startswith("answers again after ")
            assert lab.node("resolver").life > life
            assert active(lab)[0].fault == "blackhole"
        assert not lab.query("www.example.com", timeout=2, attempts=1).answered
    assert lab.query("www.example.com", timeout=10).status == "NOERROR"


def test_a_restart_on_the_command_line_holds_nothing(lab: Lab) -> None:
    done = cli(lab, "fault", "restart", "tld")
    assert done.returncode == 0, done.stderr
    assert "Ctrl-C" not in done.stdout
    assert answers(lab)


def test_a_stopped_node_is_not_restarted(lab: Lab) -> None:
    with lab.fault("stop", "tld"), pytest.raises(NoEffect, match="tld is stopped already"):
        lab.fault("restart", "tld")


# slow-start


@pytest.mark.parametrize("node", ["root", "tld", "authority", "resolver"])
def test_a_slow_start_refuses_and_answers_in_the_end(lab: Lab, node: str) -> None:
    with lab.fault("slow-start", node, delay="5s") as fault:
        since = Stopwatch()
        print(node, fault.got)
        assert not answers(lab, node)
        assert fault.active
        eventually(lambda: exactly(answers(lab, node, timeout=0.1), True))
        took = since()
        print(f"{node}: answers {took:.2f} s after the injection was measured")
        # The measurement has taken some of it, and the guard takes a moment.
        assert took <= 5.0 + RESTARTS
        eventually(lambda: exactly(fault.active, False))


def test_a_slow_start_is_healed_before_its_time(lab: Lab) -> None:
    with lab.fault("slow-start", "tld", delay="1m"):
        assert not answers(lab)
    assert answers(lab)


# crash-loop


def test_a_crash_loop_crashes_and_comes_back_until_healed(lab: Lab) -> None:
    lives = set()
    with lab.fault("crash-loop", "tld", period="1s") as fault:
        assert isinstance(fault, CrashLoop)
        assert [(entry.fault, entry.node) for entry in active(lab)] == [("crash-loop", "tld")]
        eventually(lambda: lives.add(lab.node("tld").life) or exactly(fault.crashes >= 3, True))
        eventually(lambda: exactly(answers(lab, timeout=0.1), True))
        print(f"{fault.got}; {fault.crashes} crashes, lives: {sorted(lives)}")
    assert len(lives - {""}) >= 3
    life = lab.node("tld").life
    assert answers(lab)
    eventually(lambda: exactly(guards(lab), []))
    assert lab.node("tld").life == life, "no crash after healing"


def test_a_crash_loop_ends_with_its_owner(lab: Lab) -> None:
    with owner(lab, "crash-loop", "tld", '{"period": "500ms"}') as process:
        process.kill()
        since = Stopwatch()
        eventually(lambda: exactly((active(lab), guards(lab)), ([], [])))
        took = since()
    print(f"healed {took:.2f} s after kill -9")
    assert took <= HEALED_WITHIN + RESTARTS, "a crash may be under way"
    assert answers(lab)


def test_somebody_else_ends_a_crash_loop(lab: Lab) -> None:
    fault = lab.fault("crash-loop", "tld", period="1s")
    assert "tld" in json.loads(cli(lab, "heal", "tld", "--json").stdout)["healed"]
    assert not fault.active
    assert answers(lab)
    fault.heal()


# clock-skew


@pytest.mark.parametrize(("by", "seconds"), [("+10m", 600.0), ("-48h", -172800.0)])
@pytest.mark.parametrize("node", ["tld", "resolver"])
def test_a_skewed_clock(lab: Lab, node: str, by: str, seconds: float) -> None:
    assert off(lab, node) == pytest.approx(0, abs=0.5)
    life = lab.node(node).life
    with lab.fault("clock-skew", node, by=by) as fault:
        print(fault.asked, "->", fault.got)
        assert off(lab, node) == pytest.approx(seconds, abs=0.5)
        assert (lab.node(node).life == life) is (seconds > 0), "time never goes back on a running program"
        life = lab.node(node).life
        assert answers(lab, node)
        others = [offset for name, offset in lab.clock.offsets().items() if name != node]
        assert others == [timedelta(0)]
    assert off(lab, node) == pytest.approx(0, abs=0.5)
    assert (lab.node(node).life == life) is (seconds < 0)
    assert answers(lab, node)


def test_a_resolver_whose_clock_jumps_forgets(lab: Lab) -> None:
    assert lab.query("www.example.com").answer[0].ttl == 3600
    with lab.fault("blackhole", "authority"):
        assert lab.query("www.example.com").status == "NOERROR"
        with lab.fault("clock-skew", "resolver", by="+2h"):
            assert not lab.query("www.example.com", timeout=2, attempts=1).answered


def test_skews_add_up_and_stay_while_the_lab_goes_on(lab: Lab) -> None:
    first = lab.fault("clock-skew", "resolver", by="+10m")
    with lab.fault("clock-skew", "resolver", by="+1m"):
        lab.clock.advance(hours=1)
        assert off(lab, "resolver") == pytest.approx(3600 + 660, abs=0.5)
        first.heal()
        assert off(lab, "resolver") == pytest.approx(3600 + 60, abs=0.5)
    assert off(lab, "resolver") == pytest.approx(3600, abs=0.5)
    assert off(lab, "tld") == pytest.approx(3600, abs=0.5)
    lab.reset_clock()


def test_real_time_for_all_ends_a_skew(lab: Lab) -> None:
    fault = lab.fault("clock-skew", "resolver", by="+10m")
    lab.reset_clock()
    assert not fault.active
    fault.heal()
    assert off(lab, "resolver") == pytest.approx(0, abs=0.5)


def test_a_node_made_anew_keeps_its_skew(lab: Lab) -> None:
    with lab.fault("clock-skew", "tld", by="-2h"), lab.fault("clock-skew", "resolver", by="+10m"):
        for node in ("tld", "resolver"):
            lab.api.remove_container(lab.node(node).container, force=True)
            lab.node(node).close()
        Lab.up(declaration(), name=lab.name).close()
        assert off(lab, "resolver") == pytest.approx(600, abs=0.5)
        assert off(lab, "tld") == pytest.approx(-7200, abs=0.5)
    assert off(lab, "resolver") == pytest.approx(0, abs=0.5)
    assert off(lab, "tld") == pytest.approx(0, abs=0.5)


def test_a_killed_owner_leaves_no_skew(lab: Lab) -> None:
    with owner(lab, "clock-skew", "resolver", '{"by": "+10m"}') as process:
        assert off(lab, "resolver") > 500
        process.kill()
        since = Stopwatch()
        eventually(lambda: exactly(active(lab), []))
        took = since()
    print(f"healed {took:.2f} s after kill -9")
    assert took <= HEALED_WITHIN + RESTARTS, "a restart is what healing takes"
    eventually(lambda: exactly(answers(lab, "resolver"), True))
    assert off(lab, "resolver") == pytest.approx(0, abs=0.5)


def test_a_node_on_the_machines_clock_is_refused(lab: Lab) -> None:
    with pytest.raises(BadInput, match="authority is on the clock of the machine"):
        lab.fault("clock-skew", "authority", by="+1h")


def test_ten_cycles_of_each_leave_nothing(lab: Lab) -> None:
    for number in range(10):
        with lab.fault("clock-skew", "resolver", by=f"+{number + 1}m"):
            pass
        with lab.fault("crash-loop", "tld", period="1s"):
            pass
    assert set(lab.clock.offsets().values()) == {timedelta(0)}
    assert answers(lab)
    assert lab.query("www.example.com", timeout=10).status == "NOERROR"
