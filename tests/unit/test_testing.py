"""The parts of lab.testing that need no lab: which one is meant, what is needed, waiting, summaries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab import labs
from lab.errors import BadInput
from lab.lab import Lab
from lab.testing import assert_answer, assert_latency, assert_ttl, assert_upstream, eventually, needs
from lab.testing.assertions import _same
from lab.testing.choosing import Choice
from lab.testing.evidence import folder_name
from lab.testing.pool import Pool
from lab.testing.summary import markdown
from lab.testing.zones import ZoneChanges
from lab.topology.derive import derive

MINIMAL = """\
lab: tiny
zones:
  .: {servers: [root]}
  com: {servers: [root]}
servers: {root: knot}
resolvers: {resolver: unbound}
hosts: {host: {resolvers: [resolver]}}
"""


# Which lab


def test_a_lab_is_meant_by_name_by_file_or_by_its_text(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(MINIMAL, encoding="utf-8")
    named, file, text = (Choice.of(source, tmp_path, "here") for source in ("minimal", "mine.yaml", MINIMAL))
    assert [choice.load().lab for choice in (named, file, text)] == ["minimal", "tiny", "tiny"]
    assert [choice.label for choice in (named, file, text)] == ["minimal", "mine", "tiny"]
    assert Choice.of("./mine.yaml", tmp_path, "here").load() == file.load()


def test_who_names_a_lab_anywhere_means_the_same_one(tmp_path: Path) -> None:
    assert Choice.of("minimal", tmp_path, "here") == Choice.of("minimal", Path("/elsewhere"), "there")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("minmal", "did you mean 'minimal'"),
        ("gone.yaml", "there is no lab file"),
        (MINIMAL.replace("knot", "knut"), r"test_it.py: dnslab:5: servers.root.program: .* did you mean 'knot'"),
    ],
)
def test_what_is_no_lab_is_told_with_its_place(source: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=said):
        Choice.of(source, tmp_path, "test_it.py: dnslab").load()


def test_labs_of_runs_workers_and_declarations_have_names_of_their_own() -> None:
    one, other = labs.load("minimal"), labs.read(MINIMAL)
    names = {
        Pool(run, worker)._name(declaration, worker)
        for run in ("aaaaaa", "bbbbbb")
        for worker in ("", "gw0", "gw1")
        for declaration in (one, other)
    }
    assert len(names) == 12
    longest = labs.read(MINIMAL.replace("tiny", "x" * 42))
    assert len(Pool("aaaaaa", "gw100")._name(longest, "gw100")) <= 42


# What is needed


def test_needs_are_a_list_of_what_there_is() -> None:
    assert needs.read("nfqueue, ipv6") == {"nfqueue", "ipv6"}
    assert needs.read("") == set()
    with pytest.raises(BadInput, match="did you mean 'nfqueue'"):
        needs.read("nfqeue")


# Waiting


def test_what_becomes_true_is_waited_for() -> None:
    tries = iter([False, AssertionError("not yet"), 7])

    def check() -> Any:
        found = next(tries)
        if isinstance(found, AssertionError):
            raise found
        return found

    assert eventually(check, every=0.0) == 7


def test_what_does_not_become_true_says_how_it_was_at_last() -> None:
    with pytest.raises(AssertionError, match=r"not within 0.02 s, in \d+ tries; the last:\nit returned False"):
        eventually(lambda: False, within=0.02, every=0.001)


def test_other_errors_are_not_waited_for() -> None:
    with pytest.raises(ZeroDivisionError):
        eventually(lambda: 1 / 0)


# Changes of records


@pytest.fixture
def changes() -> tuple[ZoneChanges, list[tuple[str, Sequence[str], dict[str, Any]]]]:
    made: list[tuple[str, Sequence[str], dict[str, Any]]] = []
    lab: Any = SimpleNamespace(topology=derive(labs.load("minimal")))
    inject: Any = lambda name, node, **how: made.append((name, node, how))  # noqa: E731
    return ZoneChanges(lab, inject), made


@pytest.mark.parametrize(
    ("change", "kind", "server", "how"),
    [
        (
            lambda zone: zone.set("www.example.com", "a", "192.0.2.99", ttl=5),
            "change-record",
            "authority",
            {"zone": "example.com", "record": "www.example.com. 5 A 192.0.2.99"},
        ),
        (
            lambda zone: zone.set("new.example.com", "A", "192.0.2.1", "192.0.2.2"),
            "add-record",
            "authority",
            {"zone": "example.com", "record": "new.example.com. A 192.0.2.1\nnew.example.com. A 192.0.2.2"},
        ),
        (
            lambda zone: zone.remove("example.com", "MX"),
            "remove-record",
            "authority",
            {"zone": "example.com", "rrset": "example.com. MX"},
        ),
        (
            lambda zone: zone.set_ttl("example.com.", "NS", 60),
            "change-ttl",
            "authority",
            {"zone": "example.com", "rrset": "example.com. NS", "ttl": 60},
        ),
        (
            lambda zone: zone.add("other.com", "A", "192.0.2.1"),
            "add-record",
            "tld",
            {"zone": "com", "record": "other.com. A 192.0.2.1"},
        ),
    ],
)
def test_a_change_goes_to_the_servers_of_the_deepest_zone(
    changes: Any, change: Callable[[ZoneChanges], object], kind: str, server: str, how: dict[str, Any]
) -> None:
    zone, made = changes
    change(zone)
    assert made == [(kind, [server], how)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda zone: zone.set("www.example.com", "A"), "what it is to be is missing"),
        (lambda zone: zone.set("www..com", "A", "192.0.2.1"), "not a domain name"),
        (lambda zone: zone.remove("www.example.com", "ADRESS"), "no type of records"),
    ],
)
def test_a_change_that_cannot_be_is_told(changes: Any, change: Callable[[ZoneChanges], object], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        change(changes[0])


# Assertions


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2001:DB8::0080", "2001:db8::80"),
        ("10 Mail.Example.COM.", "10 mail.example.com"),
        ("192.0.2.80", "192.0.2.80"),
        (".", "."),
    ],
)
def test_data_is_the_same_however_it_is_spelt(one: str, other: str) -> None:
    assert _same(one) == _same(other)


def test_assertions_that_assert_nothing_are_refused() -> None:
    nothing: Any = Lab.__new__(Lab)
    with pytest.raises(BadInput, match="say how many"):
        assert_ttl(nothing, "www.example.com")
    with pytest.raises(BadInput, match="say how many"):
        assert_upstream(nothing)
    with pytest.raises(BadInput, match="say below="):
        assert_latency(nothing, "www.example.com")
    with pytest.raises(BadInput, match="the unit is missing"):
        assert_latency(nothing, "www.example.com", below="80")
    with pytest.raises(BadInput, match="a lab, or a node of one"):
        assert_answer("resolver", "www.example.com")  # type: ignore[arg-type]


# Reports


def test_a_test_has_a_folder_that_every_system_can_have() -> None:
    assert (
        folder_name("tests/test_it.py::TestX::test_a[minimal-1 2/3]") == "tests-test_it.py--TestX--test_a-minimal-1-2-3"
    )


def test_a_run_as_markdown() -> None:
    failed = SimpleNamespace(
        nodeid="test_it.py::test_<x>",
        when="call",
        longrepr="def test\n>  assert\nE       expected: 1\nE       got: 2\nE       \nE       a story",
        sections=[("dnslab: what was broken in minimal", "tld is paused"), ("other", "no")],
        user_properties=[("dnslab", "minimal-1")],
    )
    passed = SimpleNamespace(user_properties=[("dnslab", "minimal-2"), ("other", "x")])
    text = markdown("c0ffee", {"passed": [passed, passed], "failed": [failed], "": [passed]})
    assert text.splitlines()[0] == "## ❌ DNS lab tests: 2 passed, 1 failed"
    assert "Run `c0ffee`, labs `minimal-1`, `minimal-2`." in text
    assert "test_&lt;x&gt;</code> (call)" in text
    assert "expected: 1\ngot: 2\ndnslab: what was broken" in text
    assert "tld is paused" in text
    assert "a story" not in text
    assert markdown("c0ffee", {}).splitlines()[0] == "## ❌ DNS lab tests: none ran"
