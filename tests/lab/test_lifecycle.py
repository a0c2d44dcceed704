"""Up, up again, changed, interrupted, killed, down: what is there afterwards is what was declared, or nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from ipaddress import IPv4Network, IPv6Network

import pytest
from docker import DockerClient
from labtools import WITHIN, eventually, questions, tiny

from lab import BadInput, EnvironmentProblem, Lab, NodeFailed
from lab.labs import load
from lab.runtime import labels
from lab.runtime.engine import connect
from lab.runtime.network import create, find
from lab.topology.declaration import Declaration, Network, Resolver, Server, Zone


@pytest.fixture(scope="module")
def docker() -> Iterator[DockerClient]:
    client = connect()
    yield client
    client.close()


@pytest.fixture(scope="module")
def minimal() -> Declaration:
    return load("minimal")


@pytest.fixture
def name(instance: Callable[[str], str], request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a lab that a test makes; whatever is left of it is removed after the test."""
    name = instance(f"life{len(request.node.name)}")
    try:
        yield name
    finally:
        Lab.down(name)


@pytest.fixture(scope="module")
def small(instance: Callable[[str], str], minimal: Declaration) -> Iterator[Lab]:
    """A lab of five nodes that the tests of changes change and change back."""
    with Lab.temporary(minimal, name=instance("small")) as lab:
        yield lab


def left(docker: DockerClient, name: str) -> dict[str, int]:
    """How much of a lab there is in Docker."""
    mine = labels.of_lab(name)
    return {
        "containers": len(docker.api.containers(all=True, filters=mine)),
        "networks": len(docker.api.networks(filters=mine)),
        "volumes": len(docker.api.volumes(filters=mine)["Volumes"] or []),
    }


NOTHING = {"containers": 0, "networks": 0, "volumes": 0}
MINIMAL = {"containers": 5, "networks": 1, "volumes": 2}  # files and declaration


def lives(lab: Lab) -> dict[str, tuple[str, str]]:
    """Container and start time of every node: unchanged only if nobody touched it."""
    client = connect()
    facts = {node: client.api.inspect_container(box.id) for node, box in lab.containers().items()}
    client.close()
    return {node: (fact["Id"], fact["State"]["StartedAt"]) for node, fact in facts.items()}


def changed(before: dict[str, tuple[str, str]], after: dict[str, tuple[str, str]]) -> set[str]:
    """Nodes whose container is another one, or was started again."""
    return {node for node in before.keys() & after.keys() if before[node] != after[node]}


# Again, and changed


def test_up_again_changes_nothing(lab: Lab) -> None:
    lab.query("www.example.com")
    before = lives(lab)
    with Lab.up("textbook", name=lab.name) as again:
        assert again.changed == ()
        assert lives(again) == before
        hits = again.ask([again.question("www.example.com", at="resolver-1")])
    assert hits[0].latency < 1
    assert lab.query("www.example.com").answered, "the first handle still works"


def with_records(declaration: Declaration, more: str) -> Declaration:
    """`declaration` with more records in example.com."""
    zone = declaration.zones["example.com"]
    zone = zone.model_copy(update={"records": f"{zone.records}\n{more}\n"})
    return declaration.model_copy(update={"zones": {**declaration.zones, "example.com": zone}})


def test_a_new_record_touches_only_the_servers_of_its_zone(small: Lab, minimal: Declaration) -> None:
    Lab.up(minimal, name=small.name).close()
    before = lives(small)
    with Lab.up(with_records(minimal, "news A 192.0.2.81"), name=small.name) as lab:
        assert lab.changed == ("authority",)
        assert changed(before, lives(lab)) == {"authority"}
        lab.flush()
        assert lab.query("news.example.com").data() == ("192.0.2.81",)
        assert lab.query("www.example.com").data() == ("192.0.2.80",)


def test_a_new_server_and_zone_and_away_again(small: Lab, minimal: Declaration) -> None:
    with Lab.up(minimal, name=small.name) as lab:
        ahead = lab.clock.advance(hours=30)
    before = lives(small)
    bigger = minimal.model_copy(
        update={
            "zones": {**minimal.zones, "second.com": Zone(servers=("extra",), records="www A 192.0.2.82")},
            "servers": {**minimal.servers, "extra": Server(program="knot", clock="lab")},
        }
    )
    with Lab.up(bigger, name=small.name) as lab:
        # The parent learns of the delegation, the root of the new server's reverse names.
        assert set(lab.changed) == {"root", "tld", "extra"}
        assert changed(before, lives(lab)) == {"root", "tld"}
        assert lab.clock.offsets() == {**ahead, "extra": ahead["resolver"]}  # it joins at the lab's time
        lab.flush()
        assert lab.query("www.second.com").data() == ("192.0.2.82",)
    with Lab.up(minimal, name=small.name) as lab:
        assert set(lab.changed) == {"root", "tld"}
        assert set(lab.containers()) == set(minimal.members)
        lab.flush()
        assert lab.query("www.second.com").status == "NXDOMAIN"


def test_up_starts_what_was_stopped(small: Lab, minimal: Declaration) -> None:
    Lab.up(minimal, name=small.name).close()
    before = lives(small)
    small.node("authority").stop()
    small.node("tld").pause()
    with Lab.up(minimal, name=small.name) as lab:
        assert lab.changed == ()
        assert {box.state for box in lab.containers().values()} == {"running"}
        assert changed(before, lives(lab)) == {"authority"}
        assert {lab.nodes[node].state for node in lab.nodes} == {"running"}
        lab.flush()
        assert lab.query("www.example.com").data() == ("192.0.2.80",)


def test_up_replaces_a_node_that_was_removed_by_hand(docker: DockerClient, small: Lab, minimal: Declaration) -> None:
    Lab.up(minimal, name=small.name).close()
    docker.api.remove_container(labels.container_name(small.name, "tld"), force=True)
    with Lab.up(minimal, name=small.name) as lab:
        assert lab.changed == ("tld",)
        lab.flush()
        assert lab.query("www.example.com").data() == ("192.0.2.80",)


def test_attach_finds_what_is_up(small: Lab, minimal: Declaration) -> None:
    Lab.up(minimal, name=small.name).close()
    with Lab.attach(small.name) as lab:
        assert lab.topology == small.topology
        assert lab.query("www.example.com").data() == ("192.0.2.80",)
    with pytest.raises(BadInput, match=f"lab {small.name}x is not up.*did you mean.*{small.name}"):
        Lab.attach(f"{small.name}x")


# Side by side


def test_two_labs_side_by_side(small: Lab, minimal: Declaration, name: str) -> None:
    Lab.up(minimal, name=small.name).close()
    other = with_records(minimal, "only A 192.0.2.83")
    with Lab.up(other, name=name) as second, Lab.attach(small.name) as first:
        assert not first.topology.ipv4.overlaps(second.topology.ipv4)
        assert not first.topology.ipv6.overlaps(second.topology.ipv6)
        asked = ("www.example.com", "only.example.com")
        assert [answer.status for answer in first.ask(questions(first, *asked))] == ["NOERROR", "NXDOMAIN"]
        assert [answer.status for answer in second.ask(questions(second, *asked))] == ["NOERROR", "NOERROR"]
        before = first.clock.offsets()
        second.clock.advance(hours=7)
        assert first.clock.offsets() == before
        second.flush()
        Lab.down(name)
        assert first.query("www.example.com").data() == ("192.0.2.80",)


def test_a_taken_subnet_gives_way(docker: DockerClient, minimal: Declaration, name: str) -> None:
    held = f"{name}-held"
    wanted = create(docker.api, held, minimal.model_copy(update={"lab": "held"}))
    declaration = minimal.model_copy(update={"network": Network(ipv4=wanted.ipv4, ipv6=wanted.ipv6)})
    try:
        with Lab.up(declaration, name=name) as lab:
            assert not lab.topology.ipv4.overlaps(wanted.ipv4)
            assert not lab.topology.ipv6.overlaps(wanted.ipv6)
            assert find(docker.api, name) is not None
            assert lab.query("www.example.com").data() == ("192.0.2.80",)
            # Everything is rendered for it: hints, delegations and glue lead to where the servers are.
            address = str(lab.node("authority").node.ipv4)
            assert IPv4Network(f"{address}/32").subnet_of(lab.topology.ipv4)
            assert lab.query("authority.example.com").data() == (address,)
            [ipv6] = lab.query("authority.example.com", "AAAA", ipv6=True).data()
            assert IPv6Network(f"{ipv6}/128").subnet_of(lab.topology.ipv6)
            assert Lab.up(declaration, name=name).changed == ()
    finally:
        Lab.down(held)


# Failure

BROKEN = {
    "knot": ("root", "server:\n    no-such-option: on"),
    "nsd": ("root", "server:\n    no-such-option: yes"),
    "bind": ("root", "    no-such-option yes;"),
    "unbound": ("resolver", "server:\n    no-such-option: yes"),
}


@pytest.mark.parametrize("program", BROKEN)
def test_a_node_that_fails_says_why_and_goes_away(docker: DockerClient, name: str, program: str) -> None:
    node, config = BROKEN[program]
    if node == "resolver":
        declaration = tiny(resolvers={node: Resolver(program=program, config=config)})
    else:
        declaration = tiny(servers={node: Server(program=program, config=config)})
    with pytest.raises(NodeFailed) as failed:
        Lab.up(declaration, name=name)
    said = str(failed.value)
    print(said)
    assert said.startswith(f"{node} ({program}) ")
    assert "its last log lines:" in said
    [place] = [line for line in said.splitlines() if line.startswith("the line at fault: ")]
    assert place.startswith(f"the line at fault: /lab/{node}/")
    assert "no-such-option" in said.splitlines()[-1]
    Lab.down(name)
    assert left(docker, name) == NOTHING


# Interrupted

UP = """
import sys
from lab import Lab
Lab.up("minimal", name=sys.argv[1], report=lambda event: print(event.subject, event.text, flush=True))
print("up", flush=True)
"""


def starting(name: str) -> subprocess.Popen[str]:
    """`up` in a process of its own, that tells each step; SIGINT reaches it as it would from a terminal."""
    return subprocess.Popen([sys.executable, "-c", UP, name], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until(process: subprocess.Popen[str], step: str, count: int = 1) -> None:
    """Read what it tells until `step` has come `count` times."""
    assert process.stdout is not None
    for line in process.stdout:
        count -= step in line
        if count == 0:
            return
    raise AssertionError(f"{step!r} never came: {process.communicate()[1]}")


MOMENTS = {"one node is there": ("started", 1), "three are": ("started", 3), "it waits": ("waiting for answers", 1)}


def network_is_there(docker: DockerClient, name: str) -> None:
    assert left(docker, name)["networks"] == 1


@pytest.mark.parametrize("moment", ["the network is there", *MOMENTS])
def test_interrupted_up_leaves_nothing(docker: DockerClient, name: str, moment: str) -> None:
    with starting(name) as process:
        if moment in MOMENTS:
            until(process, *MOMENTS[moment])
        else:
            eventually(lambda: network_is_there(docker, name))
        process.send_signal(signal.SIGINT)
        said, complaint = process.communicate(timeout=WITHIN)
    assert "KeyboardInterrupt" in complaint, (said, complaint)
    assert "up\n" not in said.splitlines(keepends=True)
    assert left(docker, name) == NOTHING


def test_killed_up_is_completed_by_the_next(docker: DockerClient, name: str) -> None:
    with starting(name) as process:
        until(process, "started", 2)
        process.kill()
    assert left(docker, name)["containers"] >= 1
    with Lab.up("minimal", name=name) as lab:
        assert lab.query("www.example.com").data() == ("192.0.2.80",)
        assert left(docker, name) == MINIMAL
    assert Lab.down(name) == 5
    assert left(docker, name) == NOTHING
    assert Lab.down(name) == 0


# Without Docker


def test_without_docker_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
        with pytest.raises(EnvironmentProblem) as problem:
            Lab.up("minimal", name=name)
    said = str(problem.value)
    assert "unix:///nowhere/docker.sock" in said
    assert "DOCKER_HOST" in said
    assert "systemctl start docker" in said


def test_a_temporary_lab_is_gone_after_an_error(docker: DockerClient, name: str) -> None:
    def fail() -> None:
        with Lab.temporary(tiny(), name=name):
            assert left(docker, name)["containers"] == 3
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert left(docker, name) == NOTHING
