"""dnsperf as it is run in a host: what it is told, what it said, and that it ends with whoever wanted it."""

import io
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest

import lab.agent
from lab.agent import dnsperf
from lab.agent.dnsperf import Counts, DnsperfError, Order, read, run

SAID = """\
Statistics:

  Queries sent:         20000
  Queries completed:    19990 (99.95%)
  Queries lost:         10 (0.05%)

  Response codes:       NOERROR 19000 (95.05%), SERVFAIL 990 (4.95%)
  Average packet size:  request 56, response 72
  Run time (s):         2.000049
  Queries per second:   9994.755127

  Average Latency (s):  0.000123 (min 3.6e-05, max 0.003001)
  Latency StdDev (s):   0.000098
"""
ORDER = Order("10.53.0.18", [("www.example.com.", "A")], 2.0)


def test_what_it_counted_is_read():
    assert read(SAID) == Counts(
        20000, 10, 2.000049, {"NOERROR": 19000, "SERVFAIL": 990}, 0.000123, 0.000036, 0.003001, 0.000098
    )


def test_without_an_answer_there_is_no_latency():
    lost = SAID.replace("19990 (99.95%)", "0 (0.00%)").replace("10 (0.05%)", "20000 (100.00%)")
    lost = lost.replace("NOERROR 19000 (95.05%), SERVFAIL 990 (4.95%)", "")
    assert read(lost) == Counts(20000, 20000, 2.000049)


@pytest.mark.parametrize("said", ["", "dnsperf: unable to connect", "Queries sent: 5"])
def test_what_says_nothing_is_an_error_with_its_words(said):
    with pytest.raises(DnsperfError, match=said[-20:] or "it said nothing"):
        read(said)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [({"seconds": 31}, "30 s at the most"), ({"seconds": 0}, "at the most"), ({"rate": 50_001}, "50000 a second"),
     ({"questions": []}, "needs a question")],
)  # fmt: skip
def test_it_is_bounded(wrong, told):
    with pytest.raises(DnsperfError, match=told):
        Order(**{**asdict(ORDER), **wrong})


def test_an_open_loop_has_room_to_wait_and_a_closed_one_has_not():
    opened, closed = (Order(**{**asdict(ORDER), **how}).command("x") for how in ({"rate": 1000}, {"clients": 7}))
    assert (opened[opened.index("-q") + 1], opened[opened.index("-Q") + 1]) == ("5000", "1000")
    assert (closed[closed.index("-q") + 1], closed[closed.index("-c") + 1]) == ("7", "7")


@pytest.fixture
def program(tmp_path, monkeypatch):
    """A program called dnsperf that does what the test says."""

    def write(text):
        file = tmp_path / "dnsperf"
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    return write


def test_it_is_run_with_the_questions_in_a_file(program, capsys):
    program('while [ "$1" != -d ]; do shift; done; grep -q "^www.example.com. A$" "$2" && cat <<END\n' + SAID + "END")
    reader, writer = os.pipe()
    try:
        assert run(ORDER, reader).sent == 20000
    finally:
        os.close(reader)
        os.close(writer)
    assert time.time() - json.loads(capsys.readouterr().out)["began"] < 10


def test_it_ends_with_whoever_wanted_it(program, tmp_path):
    program(f"echo $$ > {tmp_path}/pid; exec sleep 60")
    with subprocess.Popen(
        [sys.executable, "-m", "agent.dnsperf"],
        cwd=Path(lab.agent.__path__[0]).parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as agent:
        assert agent.stdin is not None
        assert agent.stdout is not None
        agent.stdin.write(json.dumps(asdict(ORDER)) + "\n")
        agent.stdin.flush()
        assert json.loads(agent.stdout.readline()) == {"ready": True}
        assert "began" in agent.stdout.readline()
        deadline = time.monotonic() + 10
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
            assert time.monotonic() < deadline
        agent.stdin.close()
        assert json.loads(agent.stdout.readline()) == {"error": "given up"}
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


@pytest.mark.parametrize("line", ["[]", "{", '{"server": "x"}'])
def test_a_bad_order_is_told(line, monkeypatch, capsys):
    class Input(io.StringIO):
        def fileno(self):
            return 0

    monkeypatch.setattr(sys, "stdin", Input(line + "\n"))
    dnsperf.main()
    assert "error" in json.loads(capsys.readouterr().out.splitlines()[1])
