"""Rules and their states as they go over the wire, and what is refused."""

import json

import pytest

from lab.agent.conditions import Rule, State
from lab.agent.protocol import ProtocolError

RULE = Rule("r-1", {"kind": "delay", "mean": 0.05}, ("in", "out"), ("udp",), ("10.53.0.11",), 7, 30.0, {"fault": "x"})


def test_there_and_back() -> None:
    state = State(RULE, 30, 20, 10, 4.5)
    assert Rule.from_json(json.loads(json.dumps(RULE.to_json()))) == RULE
    assert State.from_json(json.loads(json.dumps(state.to_json()))) == state


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"id": ""}, "id"),
        ({"directions": []}, "directions"),
        ({"directions": ["in", "in"]}, "directions"),
        ({"directions": ["up"]}, "directions"),
        ({"transports": ["quic"]}, "transports"),
        ({"peers": ["10.53.0"]}, "peers"),
        ({"seed": 1.5}, "seed"),
        ({"lasts": 0}, "lasts 0"),
        ({"lasts": 90000}, "86400"),
        ({"delay": 3}, "delay"),
    ],
)
def test_what_is_no_rule_is_refused(change: dict[str, object], text: str) -> None:
    with pytest.raises(ProtocolError, match=text):
        Rule.from_json({**RULE.to_json(), **change})


def test_a_rule_is_an_object_with_all_it_needs() -> None:
    with pytest.raises(ProtocolError, match="object"):
        Rule.from_json(["r-1"])
    with pytest.raises(ProtocolError, match="directions"):
        Rule.from_json({"id": "r", "effect": {"kind": "drop"}})
    with pytest.raises(ProtocolError, match="state"):
        State.from_json({"rule": RULE.to_json(), "seen": 1})
