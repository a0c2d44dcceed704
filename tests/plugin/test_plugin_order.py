"""Fifty tests on one lab in any order, each of which leaves something broken or changed."""

from __future__ import annotations

import pytest
from plugintools import Project

SHUFFLED = """
    import os
    import random

    def pytest_collection_modifyitems(items):
        random.Random(os.environ["SEED"]).shuffle(items)
"""
BREAKING = '''
    import pytest

    from lab.testing import assert_answer, assert_ttl, assert_upstream

    pytestmark = pytest.mark.dnslab("minimal")

    SERVERS = ["root", "tld", "authority", "resolver"]

    @pytest.fixture(autouse=True)
    def as_new(dns_lab, dns_seen):
        """What any test before this one did is not to be noticed."""
        assert dns_lab.broken() == []
        assert {node.state for node in dns_lab.nodes.values()} == {"running"}
        assert len(set(dns_lab.clock.offsets().values())) == 1
        assert dns_seen.queries() == []
        assert_ttl(dns_lab, "www.example.com", exactly=3600)
        assert_answer(dns_lab, "www.example.com", "192.0.2.80")
        for server in SERVERS[:3]:
            assert_upstream(dns_seen, exactly=1, to=server)

    @pytest.mark.parametrize(
        ("verb", "server"),
        [*(("pause", server) for server in SERVERS), ("stop", "root"), ("kill", "tld"), ("stop", "resolver"),
         ("kill", "authority")],
    )
    def test_node_left_alone(dns_lab, verb, server):
        getattr(dns_lab.node(server), verb)()

    @pytest.mark.parametrize("server", SERVERS[:3])
    @pytest.mark.parametrize("fault", ["servfail", "refused", "latency", "blackhole", "stop"])
    def test_fault(dns_fault, server, fault):
        dns_fault(fault, server, **({"delay": "20ms"} if fault == "latency" else {}))

    @pytest.mark.parametrize("fault", ["lame", "empty", "reject"])
    def test_fault_left_alone(dns_lab, fault):
        dns_lab.fault(fault, "authority")

    @pytest.mark.parametrize("last", range(1, 4))
    def test_zone(dns_lab, dns_zone, last):
        dns_zone.set("www.example.com", "A", f"198.51.100.{last}", ttl=last)
        dns_zone.add("new.example.com", "TXT", "new")
        dns_lab.flush()
        assert_ttl(dns_lab, "www.example.com", exactly=last)
        assert_answer(dns_lab, "new.example.com", '"new"', type="TXT")

    @pytest.mark.parametrize("hours", range(1, 14))
    def test_time_and_cache(dns_lab, hours):
        dns_lab.clock.advance(hours=hours)
        assert_answer(dns_lab, "ftp.example.com", type="A")

    @pytest.mark.parametrize("hours", [1])
    def test_skew(dns_fault, hours):
        dns_fault("clock-skew", "resolver", by=f"+{hours}h")

    @pytest.mark.parametrize("name", ["nowhere", "mail", "ftp", "a.b", "www"])
    def test_questions_left_alone(dns_lab, host, resolver, name):
        dns_lab.node("tld").pause()
        resolver.flush()
        assert host.query(f"{name}.example.com", timeout=0.2, attempts=1).status == "TIMEOUT"

    @pytest.mark.parametrize("times", [1, 2])
    def test_resolver_anew(resolver, times):
        for _ in range(times):
            resolver.restart()
'''


@pytest.mark.parametrize("seed", ["1", "2", "3"])
def test_fifty_tests_in_any_order(project: Project, seed: str) -> None:
    project.write(conftest=SHUFFLED, test_breaking=BREAKING)
    result = project.run(SEED=seed)
    result.assert_outcomes(passed=50, warnings=16)  # no error at a teardown: whatever was left broken has been mended
