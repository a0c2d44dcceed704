"""The lab's clock: forward for all, ahead for one, back only by starting anew."""

from __future__ import annotations

from datetime import timedelta

import pytest
from labtools import questions

from lab import BadInput, Lab


def ttls(lab: Lab) -> dict[str, int]:
    """The TTL of www.example.com in each resolver."""
    return {answer.server: answer.answer[0].ttl for answer in lab.ask(questions(lab, "www.example.com"))}


def test_resolvers_are_on_the_labs_clock_and_nobody_else(lab: Lab) -> None:
    assert set(lab.clock.offsets()) == {"resolver-1", "resolver-2"}


def test_advance_moves_all_and_says_where_they_are(lab: Lab) -> None:
    before = lab.clock.offsets()
    after = lab.clock.advance(days=1, hours=2, minutes=3, seconds=4)
    assert {node: after[node] - before[node] for node in before} == dict.fromkeys(
        before, timedelta(days=1, hours=2, minutes=3, seconds=4)
    )
    assert lab.clock.offsets() == after


def test_programs_live_in_the_labs_time(lab: Lab) -> None:
    """What `date` says in a node is real time; what the server program says is the lab's."""
    ttls(lab)
    lab.clock.advance(seconds=1000)
    assert all(2590 <= ttl <= 2600 for ttl in ttls(lab).values())


def test_one_node_can_be_ahead(lab: Lab) -> None:
    ttls(lab)
    before = lab.clock.offsets()
    after = lab.clock.advance(minutes=5, node="resolver-1")
    assert after == {**before, "resolver-1": before["resolver-1"] + timedelta(minutes=5)}
    seen = ttls(lab)
    assert 3290 <= seen["resolver-1"] <= 3300
    assert 3590 <= seen["resolver-2"] <= 3600


@pytest.mark.parametrize("seconds", [0, -1, -3600])
def test_time_never_goes_back(lab: Lab, seconds: float) -> None:
    before = lab.clock.offsets()
    with pytest.raises(BadInput, match="only goes forward"):
        lab.clock.advance(seconds=seconds)
    assert lab.clock.offsets() == before


def test_time_ends_somewhere(lab: Lab) -> None:
    before = lab.clock.offsets()
    with pytest.raises(BadInput, match="36500 days"):
        lab.clock.advance(days=365 * 100 + 1)
    assert lab.clock.offsets() == before


@pytest.mark.parametrize("node", ["example-1", "host", "resolver-3"])
def test_nodes_on_the_machines_clock_cannot_be_moved(lab: Lab, node: str) -> None:
    with pytest.raises(BadInput, match=rf"{node}.*(on the lab's clock: resolver-1, resolver-2|no node)"):
        lab.clock.advance(hours=1, node=node)


def test_reset_goes_back_to_real_time_and_forgets(lab: Lab) -> None:
    lab.clock.advance(days=400)
    lab.clock.advance(hours=1, node="resolver-2")
    ttls(lab)
    lab.reset_clock()
    assert set(lab.clock.offsets().values()) == {timedelta(0)}
    assert ttls(lab) == {"resolver-1": 3600, "resolver-2": 3600}


def test_a_restarted_node_comes_back_in_the_labs_time(lab: Lab) -> None:
    ahead = lab.clock.advance(hours=5)
    lab.node("resolver-2").restart()
    assert lab.clock.offsets() == ahead
    ttls(lab)
    lab.clock.advance(seconds=1000)
    assert all(2590 <= ttl <= 2600 for ttl in ttls(lab).values())
