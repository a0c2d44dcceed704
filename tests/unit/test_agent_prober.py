import contextlib
import json
import os
import select
import struct
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_agent_fakes import LOCALHOST, FakeServer, answers, silent, tcp_answers

import lab.agent
from lab.agent import protocol, stream
from lab.agent.clock import Clock
from lab.agent.prober import Prober
from lab.agent.protocol import Query, Result, encode_line

LONG = 60.0
"""A time-out that is not meant to be reached, in seconds."""


class Client:
    """The orchestrator's end: writes requests, reads replies with a deadline."""

    def __init__(self, requests: int, replies: int) -> None:
        self.requests, self.replies = requests, replies
        self._input = b""

    def send(self, *requests):
        self.send_octets(b"".join(encode_line(request) for request in requests))

    def send_octets(self, octets):
        while octets:
            octets = octets[os.write(self.requests, octets) :]

    def reply(self):
        while b"\n" not in self._input:
            assert select.select([self.replies], [], [], 5)[0], "no reply within 5 seconds"
            chunk = os.read(self.replies, 1 << 16)
            if not chunk:
                raise EOFError
            self._input += chunk
        line, _, self._input = self._input.partition(b"\n")
        return protocol.decode_line(line)

    def replies_until(self, *last):
        """Return all replies up to the one that has these fields."""
        replies = [self.reply()]
        while not set(last) <= set(replies[-1]):
            replies.append(self.reply())
        return replies

    def ask(self, queries, *, batch=1, window=64):
        self.send(protocol.ask(batch, queries, window))
        *found, done = self.replies_until("done")
        assert done == {"batch": batch, "done": len(queries)}
        results = [Result.from_json(reply["result"]) for reply in found]
        assert sorted(result.n for result in results) == list(range(len(queries)))
        return sorted(results, key=lambda result: result.n)


@contextlib.contextmanager
def prober_in_a_thread(clock=Path("/nonexistent"), **kwargs):
    requests, requests_in = os.pipe()
    replies_out, replies = os.pipe()
    thread = threading.Thread(target=Prober(requests, replies, Clock(clock), **kwargs).run)
    thread.start()
    try:
        yield Client(requests_in, replies_out)
    finally:
        os.close(requests_in)
        thread.join(5)
        assert not thread.is_alive(), "the end of the requests ends the prober"
        for fd in (requests, replies_out, replies):
            os.close(fd)


@pytest.fixture
def client():
    with prober_in_a_thread() as client:
        yield client


@pytest.fixture
def quiet():
    with FakeServer(silent) as server:
        yield server


@pytest.fixture
def server():
    with FakeServer(answers(), tcp_answers) as server:
        yield server


def query(server, name="www.example.com.", **kwargs):
    return Query(name, "A", (LOCALHOST,), port=server.port, **kwargs)


def test_a_batch_is_answered_and_done(client, server):
    names = [f"w{i}.example.com." for i in range(200)]
    results = client.ask([query(server, name) for name in names], window=16)
    for name, result in zip(names, results, strict=True):
        assert result.outcome == "answer"
        assert name.split(".")[0].encode() in result.wire


def test_an_empty_batch_is_done(client):
    assert client.ask([]) == []


def test_a_bad_query_fails_alone_and_says_why(client, server):
    good = query(server).to_json()
    bad = {
        "a" * 64: {**good, "name": "a" * 64 + "."},
        "FOO": {**good, "type": "FOO"},
        "10.0.0.300": {**good, "servers": ["10.0.0.300"]},
        "retries": {**good, "retries": 1},
        "at": {**good, "at": "soon"},
        "port": {**good, "port": 10**6},
        "object": 5,
    }
    client.send({"op": "ask", "batch": 1, "queries": [good, *bad.values(), good]})
    *found, done = client.replies_until("done")
    assert done["done"] == len(bad) + 2
    results = {reply["result"]["n"]: Result.from_json(reply["result"]) for reply in found}
    assert results[0].outcome == results[len(bad) + 1].outcome == "answer"
    for n, word in enumerate(bad, 1):
        assert results[n].outcome == "error"
        assert word in results[n].reason
        assert results[n].sent is None


def most_at_once(results):
    starts = [(result.sent, 1) for result in results]
    ends = [(result.sent + result.latency, -1) for result in results]
    most = now = 0
    for _, change in sorted(starts + ends):
        now += change
        most = max(most, now)
    return most


@pytest.mark.parametrize("window", [1, 3])
def test_the_window_bounds_what_is_in_flight(client, quiet, window):
    results = client.ask([query(quiet, timeout=0.02)] * 7, window=window)
    assert {result.outcome for result in results} == {"timeout"}
    assert most_at_once(results) == window


def test_queries_with_a_time_are_sent_at_it_whatever_the_window(client, quiet):
    results = client.ask([query(quiet, timeout=0.3, at=at) for at in (0.04, 0.0, 0.02)], window=1)
    assert most_at_once(results) == 3
    for result, at in zip(results, (0.04, 0.0, 0.02), strict=True):
        assert at <= result.sent < 0.3
        assert result.latency == pytest.approx(result.sent + result.attempts[0].latency - at, abs=1e-5)


def test_queries_with_a_time_above_the_limit_fail_alone(quiet):
    with prober_in_a_thread(max_sockets=2) as client:
        results = client.ask([query(quiet, timeout=0.05, at=0)] * 5)
        assert sorted(result.outcome for result in results) == ["error"] * 3 + ["timeout"] * 2
        assert all("2 queries are in flight" in result.reason for result in results if result.outcome == "error")


def test_queries_without_a_time_wait_for_the_limit(quiet):
    with prober_in_a_thread(max_sockets=2) as client:
        results = client.ask([query(quiet, timeout=0.02)] * 5)
        assert {result.outcome for result in results} == {"timeout"}
        assert most_at_once(results) == 2


def test_batches_run_side_by_side(client, quiet, server):
    client.send(protocol.ask(1, [query(quiet, timeout=LONG)]))
    quiet.wait_for_queries(1)
    assert client.ask([query(server)] * 3, batch=2, window=1)[2].outcome == "answer"
    client.send(protocol.ask(1, [query(server)]))
    error = client.reply()
    assert (error["batch"], error["error"]) == (1, "batch 1 is still in progress")


def test_a_cancelled_batch_is_over(client, quiet, server):
    queries = [query(server), *[query(quiet, timeout=LONG)] * 3, query(quiet, at=1000.0)]
    client.send(protocol.ask(5, queries))
    quiet.wait_for_queries(3)
    assert client.reply()["result"]["outcome"] == "answer"
    client.send(protocol.cancel(5), protocol.cancel(5), protocol.cancel(99), protocol.ping(1))
    assert client.reply() == {"batch": 5, "done": 1, "cancelled": True}
    assert client.reply()["pong"] == 1, "cancelling what is over has no reply"
    assert client.ask([query(server)], batch=5)[0].outcome == "answer"


def test_what_was_known_before_a_batch_is_cancelled_is_told(client, quiet):
    """Both lines are read at once; the bad query has failed by then."""
    queries = [query(quiet, "no-final-dot", at=0), query(quiet, at=1000.0)]
    client.send(protocol.ask(5, queries), protocol.cancel(5))
    assert client.reply()["result"]["n"] == 0
    assert client.reply() == {"batch": 5, "done": 1, "cancelled": True}


def test_a_cancelled_batch_frees_its_sockets(quiet, server):
    with prober_in_a_thread(max_sockets=3) as client:
        client.send(protocol.ask(1, [query(quiet, timeout=LONG)] * 3))
        quiet.wait_for_queries(3)
        client.send(protocol.cancel(1))
        client.replies_until("cancelled")
        assert client.ask([query(server, at=0)] * 3)[2].outcome == "answer"


def test_a_slow_reader_stalls_nothing_and_loses_nothing(client, server, quiet):
    number = 1500
    tail = 1000 * b"x"
    with FakeServer(answers(tail=tail)) as server:
        # 2 MB of replies, of which a pipe takes 64 kB: all queries are nevertheless asked before the first is read.
        client.send(protocol.ask(1, [query(server)] * number))
        server.wait_for_queries(number)
        client.send(protocol.ask(2, [query(quiet, timeout=0.01, attempts=3)]))
        quiet.wait_for_queries(3)
        replies = client.replies_until("batch", "done")
        found = [Result.from_json(reply["result"]) for reply in replies if reply["batch"] == 1 and "result" in reply]
    assert sorted(result.n for result in found) == list(range(number))
    assert all(result.wire.endswith(tail) for result in found)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\x00", "not JSON"),
        (b"[1]", "object"),
        (b"{}", '"op"'),
        (b'{"op":["ask"]}', '"op"'),
        (b'{"op":"reboot"}', '"op"'),
        (b'{"op":"ask"}', '"batch"'),
        (b'{"op":"ask","batch":true}', '"batch"'),
        (b'{"op":"ask","batch":1}', '"queries"'),
        (b'{"op":"ask","batch":1,"queries":{}}', '"queries"'),
        (b'{"op":"ask","batch":1,"queries":[],"window":0}', '"window"'),
        (b'{"op":"ask","batch":1,"queries":[],"defaults":[]}', '"defaults"'),
        (b'{"op":"cancel","batch":"1"}', '"batch"'),
        (b'{"op":"clock","set":[]}', '"set"'),
        (b'{"op":"clock","set":{},"force":1}', '"force"'),
        (b'{"op":"clock","set":{"x":1}}', "no node"),
    ],
)
def test_a_bad_line_gets_an_error_and_nothing_else(client, line, text):
    client.send_octets(line + b"\n")
    error = client.reply()
    assert text in error["error"]
    assert error["line"] == line.decode("utf-8", "replace")
    client.send(protocol.ping(3))
    assert client.reply()["pong"] == 3


def test_an_error_tells_what_it_is_about_and_shows_200_characters(client):
    request = {"op": "clock", "id": 8, "set": {"x" * 300: 1}}
    client.send(request)
    error = client.reply()
    assert error["id"] == 8
    assert error["line"] == encode_line(request)[:200].decode()


def test_a_line_too_long_is_passed_over(client):
    client.send_octets(b" " * (protocol.MAX_LINE + 10) + b"\n")
    client.send(protocol.ping(1))
    assert "longer" in client.reply()["error"]
    assert client.reply()["pong"] == 1


def test_a_line_too_long_is_not_kept(monkeypatch):
    monkeypatch.setattr(stream, "MAX_LINE", 10)
    out, into = os.pipe()
    with os.fdopen(out, "rb"), os.fdopen(into, "wb", buffering=0) as pipe:
        reader = stream.LineReader(out)
        for part, lines in (
            (b"x" * 7, []),
            (b"x" * 7, []),
            (b"x" * 7 + b"\nab", [b"x" * 11]),
            (b"c\n\n", [b"abc", b""]),
        ):
            pipe.write(part)
            assert reader.read() == lines


def test_lines_may_come_in_pieces(client, server):
    lines = (
        encode_line(protocol.ping(1)) + encode_line(protocol.ask(2, [query(server)])) + encode_line(protocol.ping(3))
    )
    for octet in lines:
        client.send_octets(bytes([octet]))
    assert client.reply()["pong"] == 1
    rest = [client.reply() for _ in range(3)]
    assert {"batch": 2, "done": 1} in rest
    assert 3 in [reply.get("pong") for reply in rest]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
fields = [
    "op",
    "batch",
    "window",
    "queries",
    "defaults",
    "set",
    "force",
    "id",
    "name",
    "type",
    "servers",
    "at",
    "timeout",
]
requests = st.fixed_dictionaries(
    {"op": st.sampled_from(["ask", "cancel", "clock"])},
    optional={
        "batch": st.integers() | json_values,
        "window": st.integers() | json_values,
        "queries": st.lists(
            st.dictionaries(st.sampled_from(fields), json_values, max_size=3) | json_values, max_size=3
        ),
        "defaults": st.dictionaries(st.sampled_from(fields), json_values, max_size=3) | json_values,
        "set": json_values,
        "force": json_values,
        "id": json_values,
    },
)


@pytest.fixture(scope="module")
def enduring_client():
    with prober_in_a_thread() as client:
        yield client


@settings(max_examples=100, deadline=None)
@given(request=requests | json_values, id=st.integers(10**6))
def test_no_request_kills_it(enduring_client, request, id):
    enduring_client.send_octets(json.dumps(request).encode() + b"\n")
    enduring_client.send(protocol.ping(id))
    while enduring_client.reply().get("pong") != id:
        pass


def test_ping_tells_both_clocks(client):
    before = time.monotonic(), time.time()
    client.send(protocol.ping(4))
    pong = client.reply()
    after = time.monotonic(), time.time()
    assert before[0] <= pong["monotonic"] <= after[0]
    assert before[1] <= pong["wall"] <= after[1]


def test_the_clock_is_set_and_read(tmp_path):
    (tmp_path / "resolver-1").write_bytes(struct.pack("q", 0))
    with prober_in_a_thread(tmp_path) as client:
        client.send(protocol.clock(1), protocol.clock(2, {"resolver-1": 5}), protocol.clock(3, {"resolver-1": 4}))
        assert client.reply() == {"clock": {"resolver-1": 0}, "id": 1}
        assert client.reply() == {"clock": {"resolver-1": 5}, "id": 2}
        refused = client.reply()
        assert (refused["id"], "only goes forward" in refused["error"]) == (3, True)
        client.send(protocol.clock(4, {"resolver-1": 4}, force=True))
        assert client.reply() == {"clock": {"resolver-1": 4}, "id": 4}


# As it is in the image: a program of its own, in the package `agent`


@contextlib.contextmanager
def prober_as_a_program(*arguments):
    program = subprocess.Popen(
        [sys.executable, "-m", "agent.prober", *arguments],
        cwd=Path(lab.agent.__path__[0]).parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with program:
        assert program.stdin
        assert program.stdout
        try:
            yield program, Client(program.stdin.fileno(), program.stdout.fileno())
        finally:
            program.kill()


def test_a_batch_says_when_it_began_if_that_is_asked_for(client, server):
    before = time.time()
    client.send(protocol.ask(3, [query(server, at=0.05)], announce=True))
    began = client.reply()
    assert set(began) == {"batch", "began"}
    assert before - 0.001 <= began["began"] <= time.time()
    sent = client.reply()["result"]["sent"]
    assert 0.05 <= sent < 5
    assert client.reply() == {"batch": 3, "done": 1}


def test_a_batch_is_told_in_one_piece_if_that_is_asked_for(client, server):
    client.send(protocol.ask(3, [query(server), query(server)], 1, announce=True, together=True))
    replies = [client.reply() for _ in range(4)]
    assert [next(key for key in reply if key != "batch") for reply in replies] == ["began", "result", "result", "done"]
    client.send(protocol.ask(4, [query(server), query(server, at=60.0)], announce=True, together=True))
    client.send(protocol.ping(1))
    assert client.reply()["pong"] == 1, "nothing of a batch is told before its end"
    client.send(protocol.cancel(4))
    assert "began" in client.reply()
    assert client.replies_until("done")[-1]["cancelled"] is True


def test_the_clock_is_moved_on_before_a_query_that_says_so(server, tmp_path):
    (tmp_path / "node").write_bytes(struct.pack("q", 0))
    with prober_in_a_thread(tmp_path) as client:
        times = [time.time() + 1000 * n for n in (1, 2, 3)]
        for moment in times:
            before = Clock(tmp_path).read()["node"] / 1e9
            [moved] = client.ask([replace(query(server), clock=moment)], window=1)
            assert moved.step is not None
            assert moved.step.by == pytest.approx(Clock(tmp_path).read()["node"] / 1e9 - before)
            assert time.time() - 5 < moved.step.wall <= time.time()
            ahead = moment - time.time()
            assert ahead <= Clock(tmp_path).read()["node"] / 1e9 < ahead + 5
        last = Clock(tmp_path).read()
        stayed = client.ask([replace(query(server), clock=times[0]), query(server)], window=1)
        assert [result.step for result in stayed] == [None, None]
        assert Clock(tmp_path).read() == last, "never back"


def test_a_clock_that_cannot_be_moved_fails_the_query(server, tmp_path):
    (tmp_path / "node").write_bytes(b"none")
    with prober_in_a_thread(tmp_path) as client:
        [result] = client.ask([replace(query(server), clock=time.time() + 10)])
    assert result.outcome == "error"
    assert "is not a clock" in result.reason


def test_the_program_serves_until_its_input_ends(server, quiet, tmp_path):
    (tmp_path / "node").write_bytes(struct.pack("q", 7))
    with prober_as_a_program("--clock", str(tmp_path)) as (program, client):
        client.send_octets(b"nonsense\n")
        assert client.reply()["line"] == "nonsense"
        client.send(protocol.clock(1))
        assert client.reply() == {"clock": {"node": 7}, "id": 1}
        udp, tcp = client.ask([query(server), query(server, transport="tcp")])
        assert (udp.outcome, tcp.outcome) == ("answer", "answer")
        client.send(protocol.ask(9, [replace(query(quiet), timeout=LONG)]))
        quiet.wait_for_queries(1)
        client.send_octets(b'{"op":"pi')
        _, errors = program.communicate(timeout=5)
        assert (program.returncode, errors) == (0, b"")


def test_the_program_ends_without_a_complaint_when_nobody_reads():
    with prober_as_a_program() as (program, client):
        client.send(protocol.ping(1))
        assert client.reply()["pong"] == 1
        assert program.stdout
        program.stdout.close()
        client.send(protocol.ping(2))
        program.wait(5)
        assert program.stderr
        assert (program.returncode, program.stderr.read()) == (0, b"")
