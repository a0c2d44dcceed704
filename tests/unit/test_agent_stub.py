import contextlib
import errno
import socket
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_agent_fakes import (
    LOCALHOST,
    NOTIMP,
    NXDOMAIN,
    REFUSED,
    SERVFAIL,
    FakeServer,
    answers,
    framed,
    other_id,
    refused_port,
    reply,
    silent,
    tcp_answers,
    tcp_closes,
    truncated,
)

from lab.agent.loop import Loop
from lab.agent.protocol import Query, Result
from lab.agent.stub import Lookup

SHORT = 0.05
"""A time-out that is meant to be reached, in seconds; the others are longer than any of these tests."""


def query(port, *, servers=(LOCALHOST,), **kwargs):
    return Query("www.example.com.", "A", tuple(servers), port=port, **kwargs)


def ask(query) -> Result:
    with contextlib.closing(Loop()) as loop:
        results: list[Result] = []
        Lookup(loop, 0, query, time.monotonic(), results.append).start()
        while not results:
            loop.run_once()
        return results[0]


def outcomes(result):
    return [(attempt.transport, attempt.outcome, attempt.rcode) for attempt in result.attempts]


def test_an_answer():
    with FakeServer(answers(rcode=NXDOMAIN, tail=b"octets of the authority section")) as server:
        result = ask(query(server.port))
    assert (result.n, result.outcome, result.server, result.transport) == (0, "answer", LOCALHOST, "udp")
    assert (result.rcode, result.aa, result.rd) == (NXDOMAIN, True, True)
    assert result.wire == reply(server.udp_queries[0], rcode=NXDOMAIN, tail=b"octets of the authority section")
    assert outcomes(result) == [("udp", "answer", NXDOMAIN)]
    assert 0 <= result.sent < 1
    assert 0 < result.latency < 1


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
def test_an_answer_over_ipv6():
    with FakeServer(answers(), tcp_answers, host="::1") as server:
        udp = ask(query(server.port, servers=["::1"]))
        tcp = ask(query(server.port, servers=["::1"], transport="tcp"))
    assert (udp.outcome, udp.server) == (tcp.outcome, tcp.server) == ("answer", "::1")


def test_every_attempt_has_an_id_and_a_port_of_its_own():
    with FakeServer(silent) as server:
        ask(query(server.port, timeout=0.002, attempts=20))
        server.wait_for_queries(20)
    assert len({wire[:2] for wire in server.udp_queries}) > 15
    assert len(server.ports) > 15


def test_a_time_out():
    with FakeServer(silent) as server:
        result = ask(query(server.port, timeout=SHORT))
    assert (result.outcome, result.wire, result.rcode) == ("timeout", b"", None)
    assert outcomes(result) == [("udp", "timeout", None)]
    assert SHORT <= result.latency < SHORT + 0.5


def test_rounds_over_the_servers_keep_their_order():
    with FakeServer(silent) as server:
        result = ask(query(server.port, servers=[LOCALHOST, "127.0.0.3"], timeout=0.01, attempts=2))
    assert [attempt.server for attempt in result.attempts] == [LOCALHOST, "127.0.0.3"] * 2
    assert [attempt.outcome for attempt in result.attempts] == ["timeout", "unreachable"] * 2
    assert result.outcome == "timeout"
    assert result.latency >= 0.02


def test_a_refused_port_is_unreachable_at_once():
    with refused_port() as port:
        udp, tcp = ask(query(port)), ask(query(port, transport="tcp"))
    assert udp.outcome == tcp.outcome == "unreachable"
    assert max(udp.latency, tcp.latency) < 1


def test_what_cannot_even_be_sent_is_unreachable_however_often():
    """Nothing is sent to the broadcast address by a socket that was not allowed to."""
    result = ask(query(53, servers=["255.255.255.255"] * 5, attempts=100))
    assert result.outcome == "unreachable"
    assert len(result.attempts) == 500


def test_running_out_of_sockets_is_an_error_of_our_own_not_of_a_server(monkeypatch):
    def none_left(*_):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket, "socket", none_left)
    result = ask(query(53, attempts=3))
    assert (result.outcome, len(result.attempts)) == ("error", 1)
    assert "Too many open files" in result.reason


@pytest.mark.parametrize("rcode", [SERVFAIL, NOTIMP, REFUSED])
def test_a_server_that_declines_is_passed_over(rcode):
    with FakeServer(answers(rcode=rcode)) as first, FakeServer(answers(), host="127.0.0.2", port=first.port) as second:
        result = ask(query(first.port, servers=[first.host, second.host]))
    assert outcomes(result) == [("udp", "answer", rcode), ("udp", "answer", 0)]
    assert (result.rcode, result.server) == (0, second.host)


def test_nxdomain_is_an_answer_like_any_other():
    with (
        FakeServer(answers(rcode=NXDOMAIN)) as first,
        FakeServer(answers(), host="127.0.0.2", port=first.port) as second,
    ):
        result = ask(query(first.port, servers=[first.host, second.host]))
    assert result.rcode == NXDOMAIN
    assert not second.udp_queries


def test_if_no_server_does_better_the_last_real_answer_counts():
    with (
        FakeServer(answers(rcode=REFUSED)) as first,
        FakeServer(answers(rcode=SERVFAIL), host="127.0.0.2", port=first.port) as second,
    ):
        servers = [first.host, second.host, "127.0.0.3"]
        result = ask(query(first.port, servers=servers))
    assert [attempt.outcome for attempt in result.attempts] == ["answer", "answer", "unreachable"]
    assert (result.outcome, result.rcode, result.server) == ("answer", SERVFAIL, second.host)


def test_truncation_is_followed_by_tcp_to_the_same_server():
    with FakeServer(truncated, tcp_answers) as server:
        result = ask(query(server.port))
    assert outcomes(result) == [("udp", "truncated", 0), ("tcp", "answer", 0)]
    assert (result.transport, result.tc) == ("tcp", False)
    assert result.wire.endswith(b"over TCP")
    assert server.tcp_queries[0][2:] == server.udp_queries[0][2:]


def test_tcp_to_the_same_server_comes_before_the_next_server():
    with (
        FakeServer(truncated, tcp_answers) as first,
        FakeServer(answers(), host="127.0.0.2", port=first.port) as second,
    ):
        result = ask(query(first.port, servers=[first.host, second.host]))
    assert (result.server, result.transport) == (first.host, "tcp")
    assert not second.udp_queries


def test_without_fallback_a_truncated_answer_is_the_answer():
    with FakeServer(truncated, tcp_answers) as server:
        result = ask(query(server.port, tcp_fallback=False))
    assert outcomes(result) == [("udp", "answer", 0)]
    assert result.tc
    assert not server.tcp_queries


def test_truncation_without_tcp_is_no_answer():
    with FakeServer(truncated) as server:
        result = ask(query(server.port))
    assert outcomes(result) == [("udp", "truncated", 0), ("tcp", "unreachable", None)]
    assert result.outcome == "unreachable"


def test_the_right_response_after_wrong_ones():
    def wrong_then_right(query):
        return [reply(query, id=other_id(query)), b"\xff" * 40, b"", query, reply(query)]

    with FakeServer(wrong_then_right) as server:
        result = ask(query(server.port))
    assert (result.outcome, result.wire) == ("answer", reply(server.udp_queries[0]))


@pytest.mark.parametrize("garbage", [b"", b"\0", b"\xff" * 600])
def test_nothing_but_garbage_is_malformed_at_the_deadline(garbage):
    with FakeServer(lambda _: [garbage]) as server:
        result = ask(query(server.port, timeout=SHORT))
    assert (result.outcome, result.wire, result.rcode) == ("malformed", garbage, None)
    assert result.latency >= SHORT


def test_a_result_tells_of_the_attempt_that_got_furthest():
    with FakeServer(lambda _: [b"?"]) as first, FakeServer(silent, host="127.0.0.2", port=first.port) as second:
        result = ask(query(first.port, servers=[first.host, second.host, "127.0.0.3"], timeout=SHORT))
    assert [attempt.outcome for attempt in result.attempts] == ["malformed", "timeout", "unreachable"]
    assert (result.outcome, result.server, result.wire) == ("malformed", first.host, b"?")


@pytest.fixture(scope="module")
def peer():
    """A server's socket that the test itself answers from."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((LOCALHOST, 0))
        sock.settimeout(5)
        yield sock


@settings(max_examples=50, deadline=None)
@given(octets=st.binary(max_size=64), with_id=st.booleans())
def test_no_garbage_keeps_the_answer_away(peer, octets, with_id):
    with contextlib.closing(Loop()) as loop:
        results: list[Result] = []
        Lookup(loop, 0, query(peer.getsockname()[1]), time.monotonic(), results.append).start()
        wire, client = peer.recvfrom(4096)
        peer.sendto(wire[:2] + octets if with_id else octets, client)
        peer.sendto(reply(wire), client)
        while not results:
            loop.run_once()
    assert results[0].outcome == "answer"
    # Octets may by chance be an error response without a question; anything else has been passed over.
    assert results[0].wire == reply(wire) or results[0].rcode


@pytest.fixture
def listener():
    with socket.socket() as sock:
        sock.bind((LOCALHOST, 0))
        sock.listen()
        sock.settimeout(5)
        yield sock


def test_a_tcp_answer_in_pieces(listener):
    results: list[Result] = []
    with contextlib.closing(Loop()) as loop:
        lookup = Lookup(loop, 0, query(listener.getsockname()[1], transport="tcp"), time.monotonic(), results.append)
        lookup.start()
        connection, _ = listener.accept()
        with connection:
            loop.run_once()  # connected: the query goes out
            wire = connection.recv(4096)
            assert int.from_bytes(wire[:2], "big") == len(wire[2:])
            stream = framed(reply(wire[2:], id=other_id(wire[2:]))) + framed(reply(wire[2:]))
            for octet in stream[:-1]:
                connection.sendall(bytes([octet]))
                loop.run_once()
            assert not results
            connection.sendall(stream[-1:])
            loop.run_once()
    assert [(result.outcome, result.wire) for result in results] == [("answer", reply(wire[2:]))]


def test_several_tcp_messages_in_one_segment():
    def wrong_and_right(connection, wire):
        connection.sendall(framed(reply(wire, id=other_id(wire))) + framed(reply(wire)))

    with FakeServer(tcp=wrong_and_right) as server:
        result = ask(query(server.port, transport="tcp"))
    assert (result.outcome, result.wire) == ("answer", reply(server.tcp_queries[0]))


def test_a_tcp_connection_closed_too_early_is_unreachable():
    with FakeServer(tcp=tcp_closes) as server:
        result = ask(query(server.port, transport="tcp"))
    assert (result.outcome, result.transport) == ("unreachable", "tcp")
    assert len(server.tcp_queries) == 1


def test_a_tcp_server_that_says_nothing_is_a_time_out(listener):
    result = ask(query(listener.getsockname()[1], transport="tcp", timeout=SHORT))
    assert result.outcome == "timeout"
    assert result.latency >= SHORT


def test_with_a_send_time_latency_counts_from_it():
    with FakeServer(answers()) as server, contextlib.closing(Loop()) as loop:
        results: list[Result] = []
        epoch = time.monotonic() - 10  # the batch began ten seconds ago, and this was due after four
        Lookup(loop, 0, query(server.port, at=4.0), epoch, results.append).start()
        while not results:
            loop.run_once()
    assert 10 <= results[0].sent < 11
    assert 6 < results[0].latency < 7
    assert results[0].attempts[0].latency < 1


def test_a_cancelled_query_has_no_result_and_leaves_nothing_behind():
    with FakeServer(silent) as server, contextlib.closing(Loop()) as loop:
        results: list[Result] = []
        lookup = Lookup(loop, 0, query(server.port, timeout=0.01), time.monotonic(), results.append)
        lookup.start()
        lookup.cancel()
        past = []
        loop.at(time.monotonic() + 0.02, lambda: past.append(True))
        while not past:
            loop.run_once()
    assert not results


@pytest.mark.parametrize("server", ["", "localhost", "10.0.0.300", "fe80::1%no-such-link", "\ud800"])
def test_a_server_is_an_address(server):
    with pytest.raises(ValueError, match="address"):
        ask(query(53, servers=[LOCALHOST, server]))
