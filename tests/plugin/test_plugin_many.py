"""Many labs at once, and one lab for many."""

from __future__ import annotations

import json
import re

import pytest
from plugintools import Project

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
