import json
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.agent import protocol
from lab.agent.protocol import Attempt, ProtocolError, Query, Result, Step

seconds = st.floats(0, 1e6, allow_nan=False)
texts = st.text(max_size=20)
transports = st.sampled_from(["udp", "tcp"])
queries = st.builds(
    Query,
    name=texts,
    type=texts,
    servers=st.lists(texts, min_size=1, max_size=3).map(tuple),
    port=st.integers(1, 65535),
    transport=transports,
    recurse=st.booleans(),
    dnssec_ok=st.just(False),
    checking_disabled=st.booleans(),
    bufsize=st.integers(0, 65535),
    timeout=st.floats(0.001, 3600),
    attempts=st.integers(1, 100),
    tcp_fallback=st.booleans(),
    at=st.none() | seconds,
)
attempts = st.builds(
    Attempt,
    server=texts,
    transport=transports,
    sent=seconds,
    latency=seconds,
    outcome=st.sampled_from(["answer", "truncated", "timeout", "unreachable", "malformed", "error"]),
    rcode=st.none() | st.integers(0, 15),
)
results = st.builds(
    Result,
    n=st.integers(0),
    outcome=st.sampled_from(["answer", "timeout", "unreachable", "malformed", "error"]),
    server=texts,
    transport=transports,
    latency=seconds,
    sent=seconds,
    wire=st.binary(max_size=100),
    attempts=st.lists(attempts, min_size=1, max_size=3).map(tuple),
    reason=texts,
)
QUERY = Query("www.example.com.", "A", ("192.0.2.1",))


def through_a_line(obj):
    line = protocol.encode_line(obj)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    return protocol.decode_line(line)


@settings(max_examples=30)
@given(queries)
def test_a_query_survives_the_line(query):
    assert Query.from_json(through_a_line(query.to_json())) == query


@settings(max_examples=30)
@given(results)
def test_a_result_survives_the_line(result):
    assert Result.from_json(through_a_line(result.to_json())) == result


def test_a_step_of_the_clock_survives_the_line():
    result = Result(3, "timeout", step=Step(1_700_000_000.123456, 3600.5))
    assert Result.from_json(through_a_line(result.to_json())) == result


def test_a_result_without_an_attempt_survives_the_line():
    result = Result(3, "error", reason="no such type")
    assert result.to_json() == {"n": 3, "outcome": "error", "reason": "no such type"}
    assert Result.from_json(through_a_line(result.to_json())) == result


@settings(max_examples=30)
@given(st.lists(queries, max_size=5))
def test_what_the_queries_of_a_batch_share_is_written_once_and_nothing_is_lost(batch):
    request = through_a_line(protocol.ask(7, batch, 5))
    assert (request["op"], request["batch"], request["window"]) == ("ask", 7, 5)
    assert [Query.from_json({**request["defaults"], **query}) for query in request["queries"]] == batch


def test_a_query_of_a_batch_carries_only_what_differs():
    request = protocol.ask(1, [replace(QUERY, at=0.0), replace(QUERY, at=0.5)])
    assert request["queries"] == [{"at": 0.0}, {"at": 0.5}]
    assert request["defaults"] == {"name": "www.example.com.", "type": "A", "servers": ["192.0.2.1"]}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"servers": []}, "servers"),
        ({"servers": "192.0.2.1"}, "servers"),
        ({"servers": [4]}, "servers"),
        ({"port": 0}, "port"),
        ({"port": True}, "port"),
        ({"transport": "tls"}, "transport"),
        ({"bufsize": 65536}, "bufsize"),
        ({"bufsize": 0, "dnssec_ok": True}, "EDNS"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"attempts": 101}, "attempts"),
        ({"at": -1}, "at"),
        ({"at": 10**400}, "at"),
        ({"at": "soon"}, "at"),
        ({"recurse": 1}, "recurse"),
        ({"name": None}, "name"),
        ({"retries": 3}, "retries"),
    ],
)
def test_a_bad_field_is_named(change, text):
    with pytest.raises(ProtocolError, match=text):
        Query.from_json({**QUERY.to_json(), **change})


@pytest.mark.parametrize("field", ["name", "type", "servers"])
def test_a_missing_field_is_named(field):
    obj = QUERY.to_json()
    del obj[field]
    with pytest.raises(ProtocolError, match=field):
        Query.from_json(obj)


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"7", b'"ask"', b"\xff", b"[" * 100_000, b"9" * 5000])
def test_a_line_that_holds_no_object_is_refused(line):
    with pytest.raises(ProtocolError):
        protocol.decode_line(line)


def test_a_line_has_a_longest_length():
    padding = b" " * (protocol.MAX_LINE - 2)
    assert protocol.decode_line(b"{}" + padding) == {}
    with pytest.raises(ProtocolError, match="longer"):
        protocol.decode_line(b"{}" + padding + b" ")


@pytest.mark.parametrize(
    "obj", [{}, {"n": 1}, {"n": 1, "outcome": "answer", "wire": "?"}, {"n": 1, "outcome": "answer", "attempts": [4]}]
)
def test_what_is_no_result_is_refused(obj):
    with pytest.raises(ProtocolError):
        Result.from_json(obj)


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (0x8400, {"aa"}),
        (0x8200, {"tc"}),
        (0x8100, {"rd"}),
        (0x8080, {"ra"}),
        (0x8020, {"ad"}),
        (0x8010, {"cd"}),
        (0xFFFF, {"aa", "tc", "rd", "ra", "ad", "cd"}),
        (0x8000, set()),
    ],
)
def test_header_flags(flags, names):
    result = Result(0, "answer", wire=b"\0\0" + flags.to_bytes(2, "big") + bytes(8))
    assert {name for name in ("aa", "tc", "rd", "ra", "ad", "cd") if getattr(result, name)} == names


def test_rcode_and_size():
    wire = b"\0\0\x81\x83" + bytes(8)
    assert Result(0, "answer", wire=wire).rcode == 3
    assert Result(0, "answer", wire=wire).size == 12


def test_there_is_no_header_without_an_answer():
    garbage = Result(0, "malformed", wire=b"\xff" * 12)
    assert garbage.rcode is None
    assert not garbage.aa
    assert Result(0, "timeout").rcode is None


def test_the_schema_costs_the_orchestrator_nothing_but_the_standard_library():
    code = "import sys, json, lab.agent.protocol as p; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert "lab" in modules
    assert not modules & {"dnslib", "dns", "docker", "pydantic"}
