"""The program that answers at a host: it says nothing, correctly, over UDP and TCP."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import dns.flags
import dns.message
import dns.opcode
import dns.query
import dns.rcode
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.agent.answerer import empty_answer

QUERY = dns.message.make_query("www.example.com", "AAAA", use_edns=0, payload=1232)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    command = [sys.executable, "-m", "lab.agent.answerer", "127.0.0.1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        yield int(program.stdout.readline())
        program.stdin.close()
        assert program.wait(10) == 0, "it ends when its input does"


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_it_answers(port: int, transport: str) -> None:
    for query in (QUERY, dns.message.make_query(".", "NS")):
        answer = getattr(dns.query, transport)(query, "127.0.0.1", port=port, timeout=10)
        assert (answer.rcode(), answer.question) == (dns.rcode.NOERROR, query.question)
        assert answer.answer == answer.authority == answer.additional == []
        assert answer.flags == dns.flags.QR | (query.flags & dns.flags.RD)
        assert answer.opcode() == dns.opcode.QUERY


def test_it_goes_on_after_what_is_no_query(port: int) -> None:
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.create_connection(("127.0.0.1", port)) as tcp:
        udp.sendto(b"?", ("127.0.0.1", port))
        tcp.sendall(b"\0\1?")
        assert tcp.recv(1) == b"", "the connection is closed"
    test_it_answers(port, "udp")


@given(st.binary(max_size=40))
def test_only_queries_are_answered(data: bytes) -> None:
    try:
        answer = empty_answer(data)
    except ValueError:
        return
    assert answer[:2] == data[:2]
    with pytest.raises(ValueError, match="no query"):
        empty_answer(answer)
