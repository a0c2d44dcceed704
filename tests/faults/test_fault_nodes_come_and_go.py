"""Nodes and helpers that stop, start and vanish under a fault."""

from __future__ import annotations

import pytest
from faulttools import DECLARATION, DELAY, WIDE, ask, eventually, exactly, fastest, link, rules_in_kernel

from lab import Lab
from lab.runtime import helper
from lab.runtime.conditioner import CONDITIONER


def test_a_restarted_node_has_its_link_back(lab: Lab) -> None:
    with link(lab, "latency", delay="50ms") as fault:
        lab.node("tld").restart()
        assert DELAY <= fastest(lab) < DELAY + WIDE, "the rules are back when restart returns"
        assert fault.active
        lab.api.restart(lab.node("tld").container, timeout=0)  # by somebody who knows nothing of faults

        def disturbed() -> None:
            [answer] = ask(lab, count=1, timeout=0.2)
            assert answer.answered
            assert answer.latency >= DELAY

        eventually(disturbed)
    assert fastest(lab) < WIDE


def test_healed_while_stopped(lab: Lab) -> None:
    fault = link(lab, "blackhole")
    with lab.fault("pause", "tld"):
        pass  # unpausing does not wait for answers that the blackhole swallows
    lab.node("tld").stop()
    fault.heal()
    lab.node("tld").start()
    assert fastest(lab) < WIDE
    assert not fault.active


def test_a_node_that_is_removed_under_a_fault(lab: Lab) -> None:
    fault = link(lab, "latency", delay="50ms")
    lab.api.remove_container(lab.node("tld").container, force=True)
    fault.heal()
    lab.nodes["tld"].close()
    Lab.up(DECLARATION, name=lab.name).close()
    assert fastest(lab) < WIDE


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
        # Of a helper that takes its time to end the rules go last: those of the new one are there a moment later.
        eventually(lambda: exactly(len(hooks()), 2))
    eventually(lambda: exactly(rules_in_kernel(lab, "tld"), []))
    assert fastest(lab) < WIDE
