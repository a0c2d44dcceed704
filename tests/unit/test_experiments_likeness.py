"""A lab that is up has to be the one declared; what differs is said."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab import BadInput, labs
from lab.experiments.labsource import closed
from lab.experiments.likeness import check_likeness, differences
from lab.experiments.schema import LabSource
from lab.software.program import programs
from lab.topology.addressing import Subnets
from lab.topology.declaration import Declaration
from lab.topology.derive import derive
from lab.topology.loading import loads

HERE = Path()
OTHER = Subnets(IPv4Network("10.53.77.0/24"), IPv6Network("fd53:0:0:77::/64"))
TEXT = """lab: small
zones:
  .: {servers: [root]}
  com: {servers: [tld]}
  example.com:
    servers: [authority]
    records: |
      www 300 A 192.0.2.80
servers: {root: knot, tld: nsd, authority: bind}
resolvers: {near: unbound}
hosts: {host: {resolvers: [near]}}
links: [{between: [near, root], rtt: 30ms}]
"""


def small(*changes: tuple[str, str]) -> Declaration:
    text = TEXT
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    return loads(text, {name: tuple(found.roles) for name, found in programs().items()}, "lab.yaml")


def up(declaration: Declaration, subnets: Subnets | None = None) -> Any:
    return SimpleNamespace(name="mine", topology=derive(declaration, subnets))


@pytest.mark.parametrize("lab", labs.names())
def test_every_lab_is_like_itself_on_whatever_subnets_with_a_gateway_or_without(lab: str) -> None:
    check_likeness(up(labs.load(lab), OTHER), LabSource(name=lab), HERE)
    check_likeness(up(closed(labs.load(lab))), LabSource(name=lab), HERE)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("tld: nsd", "tld: knot"), ["tld runs knot; declared: nsd"]),
        (("near: unbound", "near: {program: unbound, clock: host}"), ["clock of the machine; declared: of the lab"]),
        (("near: unbound", 'near: {program: unbound, config: "x: y"}'), ["configuration x: y; declared: nothing"]),
        (("www 300 A", "www 60 A"), ["lacks www.example.com 300 A 192.0.2.80", "has www.example.com 60 A 192.0.2.80"]),
        (("rtt: 30ms", "rtt: 40ms"), ["link near - root", "is missing", "(latency 0.04, queue 64000.0) is not"]),
        (("authority: bind}", "authority: bind, b: knot}"), ["node b is not declared", "served by authority, b"]),
        (("[tld]}", "[tld], serial: 7}"), ["zone com lacks com 3600 SOA", "zone com has com 3600 SOA"]),
    ],
)  # fmt: skip
def test_what_differs_is_said(change: tuple[str, str], told: list[str]) -> None:
    changes = [change] if "b: knot" not in change[1] else [change, ("[authority]", "[authority, b]")]
    found = "\n".join(differences(derive(small()), derive(small(*changes))))
    for text in told:
        assert text in found


def test_a_lab_that_is_another_is_refused_with_advice() -> None:
    with pytest.raises(BadInput) as raised:
        check_likeness(up(labs.load("minimal")), LabSource(name="textbook"), HERE)
    told = str(raised.value)
    assert told.startswith("lab mine is not the one that is declared (textbook):\n  node ")
    assert "more\nwithout --lab it runs on a lab of its own; `dnslab up textbook --name mine` makes this one" in told
    source = LabSource(name="textbook", records={"example.com": "quarter 900 A 192.0.2.15"})
    with pytest.raises(BadInput) as raised:
        check_likeness(up(labs.load("textbook")), source, HERE)
    assert str(raised.value) == (
        "lab mine is not the one that is declared (textbook, with records of its own):\n"
        "  zone example.com lacks quarter.example.com 900 A 192.0.2.15\n"
        "without --lab it runs on a lab of its own"
    )
