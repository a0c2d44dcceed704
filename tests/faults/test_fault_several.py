"""Several faults at once, at several nodes, by several processes."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from faulttools import DELAY, WIDE, ask, counters, eventually, exactly, fastest, link

from lab import BadInput, Lab
from lab.agent.protocol import Transport
from lab.faults.active import active, heal
from lab.faults.measuring import Pair, observe


def test_faults_combine_whatever_the_order(lab: Lab) -> None:
    one, other = {"delay": "50ms"}, {"delay": "30ms", "direction": "out"}
    for first, second in ((one, other), (other, one)):
        with ExitStack() as stack:
            faults = [stack.enter_context(link(lab, "latency", **how)) for how in (first, second)]
            assert 0.08 <= fastest(lab) < 0.08 + WIDE
            assert {entry.node for entry in active(lab)} == {"tld"}
            assert len(active(lab)) == 2
            faults[0].heal()
            assert faults[1].active
            assert not faults[0].active
            left = 0.03 if second is other else 0.05
            assert left <= fastest(lab) < left + WIDE
        assert fastest(lab) < WIDE


def test_one_fault_at_several_nodes(lab: Lab) -> None:
    with lab.fault("latency", "tld,authority", delay="50ms") as fault:
        assert fault.active
        assert "tld: " in fault.got
        assert "authority: " in fault.got
        assert min(fastest(lab, at="tld"), fastest(lab, at="authority")) >= DELAY
        assert fastest(lab, at="root") < WIDE
        assert sorted(entry.node for entry in active(lab)) == ["authority", "tld"]
    assert max(fastest(lab, at="tld"), fastest(lab, at="authority")) < WIDE
    assert not fault.active


def test_two_processes_disturb_one_link(lab: Lab) -> None:
    with Lab.attach(lab.name) as elsewhere, link(lab, "latency", delay="50ms"):
        there = link(elsewhere, "latency", delay="30ms")
        assert fastest(lab) >= 0.08
        there.heal()
        assert DELAY <= fastest(lab) < DELAY + WIDE


def test_somebody_else_heals(lab: Lab) -> None:
    with Lab.attach(lab.name) as elsewhere:
        fault = link(lab, "latency", delay="50ms")
        assert heal(elsewhere, ["tld"]) == ["tld"]
        assert fastest(lab) < WIDE
        eventually(lambda: exactly(fault.active, False))
        fault.heal()


def test_reset_heals(lab: Lab) -> None:
    fault = link(lab, "latency", delay="50ms")
    lab.reset()
    assert not fault.active
    assert fastest(lab) < WIDE


def test_counters_of_a_fault_at_several_nodes(lab: Lab) -> None:
    with lab.fault("loss", "tld,authority", every=2) as fault:
        ask(lab, count=4, at="tld", window=4, timeout=0.3)
        ask(lab, count=6, at="authority", window=6, timeout=0.3)
        assert {node: (state.matched, state.acted) for node, state in fault.states.items()} == {
            "tld": (4, 2),
            "authority": (6, 3),
        }
        packets = fault.to_json()["packets"]
        assert packets["tld"]["acted"] == 2
        assert packets["authority"]["matched"] == 6


def reach(lab: Lab, asker: str, answerer: str, transport: Transport = "udp") -> bool:
    ends = Pair(lab.topology.nodes[asker], lab.topology.nodes[answerer])
    return observe(lab, [ends], 1, transport, 0.5).answered == 1


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_partition_cuts_each_link_between_its_sides_and_no_other(lab: Lab, transport: Transport) -> None:
    one, other = ["root", "tld"], ["authority", "resolver"]
    nodes = [*one, *other]
    with lab.fault("partition", "root,tld", to=other) as fault:
        print(fault.plan.describe(), "->", fault.got)
        for asker in nodes:
            for answerer in (node for node in nodes if node != asker):
                cut = (asker in one) != (answerer in one)
                assert reach(lab, asker, answerer, transport) is not cut, f"{asker} asked {answerer}"
        assert fastest(lab, at="tld") < WIDE, "the host is on neither side"
    assert all(reach(lab, asker, answerer, transport) for asker in one for answerer in other)


def test_who_is_on_both_sides_bridges_them(lab: Lab) -> None:
    with lab.fault("partition", "root,tld", to="tld,authority"):
        assert not reach(lab, "root", "authority")
        assert all(reach(lab, *ends) for ends in (("root", "tld"), ("tld", "root"), ("tld", "authority")))


def test_a_partition_one_way(lab: Lab) -> None:
    with lab.fault("partition", "root", to="resolver", direction="out") as fault:
        with link(lab, "latency", "root", delay="0.1ms", to="resolver") as arriving:
            assert not reach(lab, "resolver", "root"), "the answer is lost"
            assert counters(arriving)[0] == 1, "the query was not"
        assert fault.states["root"].acted >= 1


@pytest.mark.parametrize(
    ("node", "to", "advice"),
    [("tld", None, "two sides"), ("tld", "tld", "one side lies within the other"), ("tld", "com", "one side lies")],
)
def test_what_is_no_partition(lab: Lab, node: str, to: str | None, advice: str) -> None:
    with pytest.raises(BadInput, match=advice):
        lab.fault("partition", node, to=to)
