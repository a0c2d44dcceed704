"""What a failed test leaves to be read, and what a test that left the lab broken is told."""

from __future__ import annotations

import struct
from pathlib import Path
from xml.etree import ElementTree

import dnslib
import pytest
from plugintools import Project

FAILING = """
    import pytest

    from lab.testing import assert_answer, assert_cached

    pytestmark = pytest.mark.dnslab("minimal")

    def test_wrong_answer(resolver, dns_fault):
        dns_fault("refused", "root", type="TXT")
        assert_answer(resolver, "www.example.com", "192.0.2.99")

    def test_own_assertion(dns_lab):
        assert dns_lab.query("ftp.example.com").data() == ("192.0.2.99",)

    def test_right(resolver):
        assert_answer(resolver, "www.example.com", "192.0.2.80")

    def test_stops_a_node(dns_lab):
        dns_lab.node("authority").stop()

    def test_after_that(resolver):
        assert_answer(resolver, "www.example.com", "192.0.2.80")

    def test_removes_a_container(dns_lab):
        dns_lab.api.remove_container(dns_lab.node("tld").container, force=True)

    def test_after_that_too(resolver):
        assert_answer(resolver, "www.example.com", "192.0.2.80")
        assert_cached(resolver, "www.example.com")
"""


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> tuple[pytest.RunResult, Path]:
    """A run in which tests fail in many ways, and its folder."""
    project = Project(tmp_path_factory.mktemp("failing"), test_failing=FAILING)
    options = ("--dnslab-artifacts", "kept", "--dnslab-summary", "summary.md", "--junitxml", "junit.xml")
    with project.running(*options) as run:
        result = run.wait()
        assert not run.left()
    return result, project.folder


@pytest.fixture
def result(failing: tuple[pytest.RunResult, Path]) -> pytest.RunResult:
    return failing[0]


@pytest.fixture
def folder(failing: tuple[pytest.RunResult, Path]) -> Path:
    return failing[1]


def test_outcomes(result: pytest.RunResult) -> None:
    result.assert_outcomes(passed=5, failed=2, errors=1, warnings=1)


def test_the_report_tells_the_story_and_what_was_broken(result: pytest.RunResult) -> None:
    result.stdout.fnmatch_lines(
        [
            "*www.example.com A, asked by host at resolver",
            "*expected: 192.0.2.99",
            "*got: * 192.0.2.80",
            "*host → resolver * www.example.com A *",
            "*resolver → root *",
            "*resolver → authority *",
            "*- dnslab: what was broken in minimal-* -*",
            "*TXT that root sends*REFUSED*",
            "*- dnslab: the last questions -*",
            "it is above",
            "*- dnslab: the last log lines -*",
            "resolver:",
            "*- dnslab: files -*",
        ]
    )


def test_the_story_of_a_question_is_told_without_our_assertions(result: pytest.RunResult) -> None:
    told = result.stdout.str().partition("test_own_assertion")[2]
    assert "ftp.example.com A, asked by host" in told
    assert "resolver → authority" in told


def test_files(folder: Path) -> None:
    kept = folder / "kept"
    tests = sorted(path.name for path in kept.iterdir())
    assert tests == ["test_failing.py--test_own_assertion", "test_failing.py--test_wrong_answer"]
    for test in tests:
        assert "dnslab: what was broken" in (kept / test / "report.txt").read_text()
        assert "example.com" in (kept / test / "trace.html").read_text()
        logs = {path.stem for path in (kept / test / "logs").iterdir()}
        assert logs == {"root", "tld", "authority", "resolver", "host"}


def test_packets_can_be_read_and_are_those_of_the_test(folder: Path) -> None:
    asked = _questions((folder / "kept" / "test_failing.py--test_wrong_answer" / "packets.pcapng").read_bytes())
    assert "www.example.com." in asked
    assert "ftp.example.com." not in asked


def test_the_run_has_one_name_everywhere(result: pytest.RunResult, folder: Path) -> None:
    [run] = [line.split()[-1] for line in result.outlines if line.startswith("dnslab: run ")]
    properties = [
        {entry.get("name"): entry.get("value") for entry in case.iter("property")}
        for case in ElementTree.parse(folder / "junit.xml").iter("testcase")
    ]
    assert len(properties) == 7
    for found in properties:
        assert found["dnslab_run"] == run
        assert run in str(found["dnslab"]).split("-")
    assert f"Run `{run}`" in (folder / "summary.md").read_text()


def test_the_summary_has_what_failed(folder: Path) -> None:
    summary = (folder / "summary.md").read_text()
    assert summary.startswith("## ❌ DNS lab tests: 5 passed, 2 failed, 1 error\n")
    assert "expected: 192.0.2.99" in summary


def test_who_leaves_a_node_stopped_is_told(result: pytest.RunResult) -> None:
    result.stdout.fnmatch_lines(
        ["*LeftBroken: test_stops_a_node left lab minimal-* broken: authority*stop*; it has been mended"]
    )


def test_who_removes_a_container_is_told_and_the_next_has_a_whole_lab(result: pytest.RunResult) -> None:
    told = result.stdout.str()
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_removes_a_container*", "*tld*", "*It has been mended*"])
    assert "ERROR at teardown of test_after" not in told


def test_nothing_is_kept_when_all_pass(project: Project) -> None:
    project.write(
        test_right="""
            import pytest

            @pytest.mark.dnslab("tiny.yaml")
            def test_right(dns_lab):
                assert dns_lab.query("www.example.com").data() == ("192.0.2.80",)
        """
    )
    project.run("--dnslab-artifacts", "kept").assert_outcomes(passed=1)
    assert not (project.folder / "kept").exists()


def _questions(capture: bytes) -> set[str]:
    """The names asked for over UDP in a pcapng file; fails where it is not one, to its last octet."""
    names, at = set(), 0
    while at < len(capture):
        kind, length = struct.unpack_from("=II", capture, at)
        assert length >= 12
        assert struct.unpack_from("=I", capture, at + length - 4) == (length,)
        if kind == 6:  # Enhanced Packet Block: interface, time, captured and original length, data
            (size,) = struct.unpack_from("=I", capture, at + 20)
            frame = capture[at + 28 : at + 28 + size]
            if frame[12:14] == b"\x08\x00" and frame[23] == 17 and 53 in struct.unpack_from("!HH", frame, 34):
                names.add(str(dnslib.DNSRecord.parse(frame[42:]).q.qname))
        at += length
    return names
