"""Many tests on one lab in any order, many labs at once, and one lab for many."""

from __future__ import annotations

import json
import re

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


WORKERS = """
    import json
    import os
    from pathlib import Path

    import pytest

    @pytest.mark.dnslab("tiny.yaml")
    @pytest.mark.parametrize("number", range(12))
    def test_lab(dns_lab, number):
        assert dns_lab.query("www.example.com").data() == ("192.0.2.80",)
        Path(f"{number}.json").write_text(json.dumps([os.environ["PYTEST_XDIST_WORKER"], dns_lab.name]))
"""
SHARED = """
    import pytest

    pytestmark = pytest.mark.dnslab("tiny.yaml")

    def test_fault(dns_fault):
        dns_fault("stop", "root")

    def test_zone(dns_zone):
        dns_zone.add("new.example.com", "A", "192.0.2.1")

    def test_flush(resolver):
        resolver.flush()

    def test_stop(dns_lab):
        dns_lab.node("root").stop()

    def test_clock(dns_lab):
        dns_lab.clock.advance(hours=1)

    def test_counts(dns_seen):
        pass

    @pytest.mark.dnslab(share=False)
    def test_own_lab(dns_lab, dns_fault):
        dns_fault("stop", "root")
        dns_lab.node("resolver").pause()
"""
AT_ONCE = '''
    import json
    import os
    from pathlib import Path

    import dns.message
    import dns.query
    import pytest

    from lab.testing import eventually

    @pytest.mark.dnslab("""
    lab: door
    zones:
      .: {servers: [root]}
      com: {servers: [tld]}
      example.com: {servers: [authority], records: "www A 192.0.2.80"}
    servers: {root: knot, tld: nsd, authority: bind}
    resolvers: {resolver: unbound}
    hosts: {host: {resolvers: [resolver]}}
    gateway: {port: 5391}
    """)
    def test_door(dns_lab):
        question = dns.message.make_query("www.example.com", "A")
        address, port = dns_lab.gateway
        answer = dns.query.udp(question, address, timeout=10, port=port)
        assert answer.answer[0].to_text() == "www.example.com. 3600 IN A 192.0.2.80"
        here = Path(f"{os.environ['PYTEST_XDIST_WORKER']}.json")
        topology = dns_lab.topology
        here.write_text(json.dumps([dns_lab.name, str(topology.ipv4), str(topology.ipv6), port]))
        eventually(lambda: len(list(Path().glob("gw*.json"))) == 8, within=200)
'''


@pytest.mark.parametrize("shared", [(), ("--dnslab-shared",)], ids=["one each", "shared"])
def test_four_workers(project: Project, shared: tuple[str, ...]) -> None:
    project.write(test_workers=WORKERS)
    with project.running("-n", "4", *shared) as run:
        run.wait().assert_outcomes(passed=12)
        used = [json.loads(file.read_text()) for file in project.folder.glob("*.json")]
        assert len(used) == 12
        workers, labs = map(set, zip(*used, strict=True))
        assert workers == {"gw0", "gw1", "gw2", "gw3"}
        assert len(labs) == (1 if shared else 4)
        assert not run.left()


def test_a_shared_lab_is_only_asked(project: Project) -> None:
    project.write(test_shared=SHARED)
    result = project.run("-n", "2", "--dnslab-shared")
    result.assert_outcomes(passed=1, failed=5, errors=1, warnings=1)
    said = result.stdout.str()
    for what in (
        "the fault stop",
        "the fault add-record",
        "flushing resolver",
        "stopping root",
        "moving the clock",
        "counting messages",
    ):
        assert re.search(f"{what}: lab tiny-.*-shared is shared .*mark them dnslab\\(..., share=False\\)", said), what


def test_eight_labs_at_once(project: Project) -> None:
    project.write(test_door=AT_ONCE)
    with project.running("-n", "8", "--dist", "each") as run:
        run.wait().assert_outcomes(passed=8)
        assert not run.left()
    used = [json.loads(file.read_text()) for file in project.folder.glob("*.json")]
    assert [len(set(values)) for values in zip(*used, strict=True)] == [8, 8, 8, 8]
