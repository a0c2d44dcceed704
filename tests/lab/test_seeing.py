"""trace and explain as a person types them: what is printed, how it ends, and what is refused; on a minimal lab."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from labtools import Run, in_process

from lab import Lab
from lab.observe.anatomy import dissect

WWW = "www.example.com"


@pytest.fixture(scope="module")
def name(instance: Callable[[str], str]) -> Iterator[str]:
    """A minimal lab, with taps that stay, so that no command has to start its own."""
    with Lab.temporary("minimal", name=instance("see")) as lab, lab.observe("host", "resolver"):
        yield lab.name


@pytest.fixture
def dnslab(name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("DNSLAB_LAB", name)
    return in_process(capsys)


def test_a_trace_for_people(dnslab: Run) -> None:
    told = dnslab("trace", WWW, "--cold").out
    print(told)
    assert f"{WWW} A, asked by host at resolver (unbound)" in told
    assert re.search(r"^  1  host → resolver +www.example.com A +[\d.]+ ms  answer: 192.0.2.80$", told, re.MULTILINE)
    assert re.search(r"^  3    resolver → root +com A .* referral to com: 1 name server, with glue", told, re.MULTILINE)
    assert "8 messages as in the textbook" in told
    assert "2 more for priming" in told
    assert "resolver had nothing of use for www.example.com: it began at the root" in told
    again = dnslab("trace", WWW).out
    assert "2 messages as in the textbook" in again
    assert re.search(r"resolver had the answer for www.example.com, 3,\d{3} s left", again)


def test_a_trace_as_data(dnslab: Run) -> None:
    told = dnslab("trace", WWW, "--cold", "--json").json
    assert told["messages"] == {"all": 10, "textbook": 8, "priming": 2}
    assert [step["to"] for step in told["steps"]] == ["resolver", "root", "root", "tld", "authority"]
    assert told["answer"]["status"] == told["status"] == "NOERROR"
    wire = bytes.fromhex(told["steps"][0]["messages"][1]["wire"])
    assert dissect(wire).broken is None


def test_a_trace_as_a_page(dnslab: Run, tmp_path: Path) -> None:
    page = tmp_path / "trace.html"
    assert str(page) in dnslab("trace", WWW, "--cold", "--html", str(page)).out.replace("\n", "")
    text = page.read_text(encoding="utf-8")
    assert text.count('class="badge"') == 8
    assert not re.search(r"(src|href)=|url\(|@import|<script", text)


def test_a_trace_for_mermaid(dnslab: Run) -> None:
    lines = dnslab("trace", WWW, "--cold", "--mermaid").out.splitlines()
    assert lines[0] == "sequenceDiagram"
    assert "    participant n_resolver as resolver" in lines
    assert sum(">>" in line for line in lines) == 10


def test_traces_side_by_side(dnslab: Run) -> None:
    told = dnslab("trace", WWW, "--at", "resolver", "--at", "resolver").out
    assert re.search(r"^messages as in the textbook +\d +\d$", told, re.MULTILINE)
    assert len(dnslab("trace", WWW, "--at", "resolver", "--at", "resolver", "--json").json) == 2
    assert "asked by host at resolver" in dnslab("trace", WWW, "--compare").out


def test_a_walk(dnslab: Run) -> None:
    told = dnslab("trace", "ftp.example.com", "--iterative").out
    assert "ftp.example.com A: host walks from the root itself" in told
    assert "root does not know the name, but who to ask: tld.com." in told
    assert "6 messages as in the textbook" in told
    assert dnslab("trace", WWW, "--iterative", "--json").json["iterative"]


def test_no_is_an_exit_code(dnslab: Run) -> None:
    assert "NXDOMAIN (AA): there is no nosuch.example.com" in dnslab("trace", "nosuch.example.com", code=1).out
    assert dnslab("trace", "nosuch.example.com", "--iterative", "--json", code=1).json["status"] == "NXDOMAIN"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["trace", "a..b"], "empty label"),
        (["trace", WWW, "FOO"], "unknown type 'FOO'"),
        (["trace", WWW, "--at", "resolvr"], "did you mean 'resolver'?"),
        (["trace", WWW, "--from", "root"], "queries are sent from a host"),
        (["trace", WWW, "--iterative", "--at", "resolver"], "--iterative asks no resolver"),
        (["trace", WWW, "--iterative", "--cold"], "--iterative asks no resolver"),
        (["trace", WWW, "--compare", "--at", "resolver"], "--compare asks every resolver"),
        (["trace", WWW, "--html", "/nowhere/at/all.html"], "there is no folder /nowhere/at"),
        (["trace", WWW, "--html", "/tmp"], "/tmp is a folder"),
        (["trace", WWW, "--mermaid"], "--mermaid or --json"),
        (["trace", WWW, "--iterative", "FOO"], "unknown type 'FOO'"),
        (["explain"], "`explain NAME` asks and explains"),
        (["explain", WWW, "--hex", "x"], "`explain NAME` asks and explains"),
        (["explain", "--hex", "/nowhere"], "cannot read /nowhere: No such file"),
        (["explain", WWW, "FOO"], "unknown type 'FOO'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input(arguments: list[str], said: str, dnslab: Run) -> None:
    ended = dnslab(*arguments, "--json", code=4)
    assert said in ended.json["error"]


def test_a_message_octet_by_octet(dnslab: Run) -> None:
    told = dnslab("explain", "ftp.example.com").out
    query, response = told.split("Response: ")
    assert query.startswith("Query: host to resolver over UDP, 44 octets\nHeader\n")
    assert re.search(r"\.\.\.\. \.\.\.1 \.\.\.\. \.\.\.\. +RD +1  recursion desired", query)
    assert re.search(r"33-34  c0 0c +NAME +pointer to octet 12: ftp.example.com\.", response)
    told = dnslab("explain", WWW, "--at", "root", "--no-recurse", "--tcp", "--json").json
    assert told["to"] == "root"
    assert told["query"]["broken"] is None
    assert [part["label"] for part in told["response"]["parts"]] == [
        *("Header", "Question", "Answer", "Authority", "Additional"),
    ]
    assert told["query"]["wire"][:4] == told["response"]["wire"][:4]


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("1234 0100 0001 0000 0000 0000 03777777 00 0001 0001", 0, "question 1 of 1"),
        ("0x12:34,81", 1, "It breaks at octet 2"),
        ("12 3", 4, "an odd number of hexadecimal digits (3)"),
        ("12\n3g", 4, "line 2: 'g' is no hexadecimal digit"),
        ("", 4, "0 octets; a message has 1 to 65535"),
    ],
)
def test_a_message_from_elsewhere(text: str, code: int, said: str, dnslab: Run, tmp_path: Path) -> None:
    file = tmp_path / "message.txt"
    file.write_text(text)
    ended = dnslab("explain", "--hex", str(file), code=code)
    assert said in ended.out + ended.err


def test_no_text_at_all(dnslab: Run, tmp_path: Path) -> None:
    file = tmp_path / "message.bin"
    file.write_bytes(b"\x12\x34\x81\x80\xff\xff")
    assert "write the octets in hexadecimal: xxd -p" in dnslab("explain", "--hex", str(file), code=4).err
