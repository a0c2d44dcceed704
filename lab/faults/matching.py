"""Which DNS messages a fault is about: the parameters that all faults on messages have, and a question that matches."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from lab.errors import BadInput
from lab.faults.values import Parameter, Values, share, show_share, whole

if TYPE_CHECKING:
    from lab.topology.model import Node, Topology


def name(value: Any) -> str:
    """A reader of names, absolute and in lower case; * and ? may stand in it."""
    from lab.agent.message import encode_name

    text = str(value).strip().lower()
    text = text if text.endswith(".") else f"{text}."
    if "\\" in text:
        raise ValueError("a name without escapes; ? stands for any character")
    encode_name(_instance(text))
    return text


def plain_name(value: Any) -> str:
    """A reader of names in which nothing stands for something else."""
    if set("*?") & set(str(value)):
        raise ValueError("a name without * and ?; those are for name")
    return name(value)


def types(value: Any) -> tuple[str, ...]:
    """A reader of RR types, one or several with commas between."""
    from lab.agent.message import type_number

    found = tuple(word.strip().upper() for word in str(value).split(","))
    for word in found:
        type_number(word)
    return found


NAME = Parameter("name", "of the question; * stands for anything, dots too", "name: www.example.com", name, None)
UNDER = Parameter("under", "that name and every one below it", "name: example.com", plain_name, None)
TYPE = Parameter("type", "of the question, one or several", "RR types: A or A,AAAA", types, None)
SHARE = Parameter("share", "of the messages that match, by chance", "share: above 0, to 100%", share(), None)
EVERY = Parameter("every", "n: each n-th that matches, exactly", "whole number: 1 to 1000000", whole(1, 10**6), None)
COMMON = (NAME, UNDER, TYPE, SHARE, EVERY)


def match(values: Values, *, queries: bool) -> Mapping[str, Any]:
    """What the conditioner is told: see `lab.agent.messages.Match`. Raises `BadInput` on a contradiction."""
    from lab.agent.message import type_number

    if values["share"] is not None and values["every"] is not None:
        raise BadInput("share is by chance, every is exact: give one of them")
    if values["name"] is not None and values["under"] is not None:
        raise BadInput("name is one name or a pattern, under is a name and all below it: give one of them")
    spec = {key: values[key] for key in ("name", "under", "share", "every") if values[key] is not None}
    if values["type"] is not None:
        spec["types"] = [type_number(word) for word in values["type"]]
    return {"message": "query" if queries else "response", **spec}


def words(values: Values) -> str:
    """Which messages, to follow the word for them: " for www.example.com A, each 3rd"."""
    said = [values["name"] and f"for {values['name']}", values["under"] and f"for {values['under']} and below"]
    said.append(values["type"] and f"of type {' or '.join(values['type'])}")
    said.append(values["share"] and f"with probability {show_share(values['share'])}")
    said.append(values["every"] and f"if it is number {values['every']}, {2 * values['every']} and so on")
    return "".join(f" {word}" for word in said if word)


def question(topology: Topology, answerer: Node, values: Values, prefer: tuple[str, ...]) -> tuple[str, str]:
    """Name and type of a question that matches: one with an answer if there is one, of a type in `prefer` if it can be.

    Where nothing in the lab matches, a name that does: its answer says that there is no such name, or is a refusal.
    """
    wanted = values["type"] or ()
    found = [(owner, kind) for owner, kind in _served(topology, answerer) if _means(values, owner, kind)]
    found.sort(key=lambda pair: prefer.index(pair[1]) if pair[1] in prefer else len(prefer))  # stable
    if found:
        return found[0]
    invented = _instance(values["name"] or values["under"] or ".")
    return invented, wanted[0] if wanted else ("NS" if invented == "." else "A")


def has_answer(topology: Topology, server: Node, values: Values, needs: tuple[str, ...]) -> bool:
    """Whether a server has a record that matches, of one of the types in `needs` if there are any."""
    return any(
        _means(values, owner, kind) and (not needs or kind in needs) for owner, kind in _served(topology, server)
    )


def _served(topology: Topology, node: Node) -> Iterator[tuple[str, str]]:
    """What a node has answers to, delegations and glue apart; a resolver to everything."""
    from lab.topology.model import Origin

    names = node.zones if node.zones else topology.zones
    for zone in names:
        for record in topology.zones[zone].records:
            if record.origin not in (Origin.DELEGATION, Origin.GLUE):
                yield record.owner.to_text().lower(), record.type


def _means(values: Values, owner: str, kind: str) -> bool:
    if values["type"] is not None and kind not in values["type"]:
        return False
    under = values["under"]
    if under is not None and under != "." and owner != under and not owner.endswith(f".{under}"):
        return False
    pattern = values["name"]
    return pattern is None or re.fullmatch(_pattern(pattern), owner) is not None


def _pattern(text: str) -> str:
    return "".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in text)


def _instance(pattern: str) -> str:
    return pattern.replace("*", "probe").replace("?", "p")
