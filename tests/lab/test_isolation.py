"""No way out: not for packets, not for names, and no right to make one. Asked from inside every role of node."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from docker import DockerClient
from docker.models.containers import Container
from docker.types import IPAMConfig, IPAMPool
from labtools import eventually, questions

from lab import Lab
from lab.runtime.engine import connect
from lab.runtime.events import Event
from lab.runtime.images import image_reference
from lab.runtime.labels import OWNER, container_name, network_name
from lab.runtime.owner import owner_mark
from lab.runtime.parallel import each
from lab.runtime.sealing import seal_from_container
from lab.topology.model import Role

INSIDE = Path(__file__).parent / "inside"  # programs that run in containers
ROLES = tuple(Role)
# Never given to anybody (RFC 5737, RFC 3849): what goes there goes the way of all that leaves the lab.
NOBODY = ("192.0.2.1", "2001:db8::1")
OUTSIDE = ("www.debian.org", "www.iana.org", "one.one.one.one", "host.docker.internal")
PORT = 53


@dataclass(frozen=True)
class Machine:
    """The machine that Docker runs on: where a listener waits, on all its addresses."""

    port: int
    addresses: dict[str, list[str]]  # by interface
    bridge: str  # interface of the lab's network

    def beyond(self) -> list[str]:
        """Its addresses that are not on the lab's own bridge.

        Without link-local ones, which are on their link only.
        """
        return [
            address
            for interface, addresses in self.addresses.items()
            for address in addresses
            if interface not in (self.bridge, "lo") and not address.startswith("fe80:")
        ]

    def on_bridge(self) -> list[str]:
        """Its addresses on the lab's own bridge."""
        return self.addresses.get(self.bridge, [])


@pytest.fixture(scope="module")
def docker() -> Iterator[DockerClient]:
    client = connect()
    yield client
    client.close()


def inside(client: DockerClient, program: str, network: str, *arguments: str) -> Container:
    """A program of ours, started in a container of its own that shares the network of another, or the machine's."""
    return client.containers.create(
        image_reference("host"),
        ["python3", "-c", (INSIDE / program).read_text(), *arguments],
        network_mode=network,
        cap_drop=["ALL"],
        labels={OWNER: owner_mark()},
    )


def output(client: DockerClient, program: str, network: str, *arguments: str) -> Any:
    """What a program of ours says, as JSON."""
    container = inside(client, program, network, *arguments)
    try:
        container.start()
        assert container.wait(timeout=60)["StatusCode"] == 0, container.logs().decode()
        return json.loads(container.logs(stderr=False))
    finally:
        container.remove(force=True)


@pytest.fixture(scope="module")
def machine(docker: DockerClient, bridge: str) -> Iterator[Machine]:
    """The machine, listening over TCP and UDP on all its addresses for as long as the tests of this file run."""
    listener = inside(docker, "listen.py", "host", bridge)

    def told() -> Machine:
        said = listener.logs(stderr=False).decode()
        assert said.endswith("\n"), listener.logs().decode() or "the listener says nothing"
        return Machine(**json.loads(said), bridge=bridge)

    try:
        listener.start()
        yield eventually(told)
    finally:
        listener.remove(force=True)


@pytest.fixture(scope="module")
def bridge(docker: DockerClient, textbook: Lab) -> str:
    """The interface of the lab's network on the machine."""
    return f"br-{docker.networks.get(network_name(textbook.name)).id[:12]}"


def usual_addresses(lab: Lab) -> list[str]:
    """Where Docker puts the machine on a network's bridge, as a node would reach it."""
    return [str(lab.topology.ipv4[1]), str(lab.topology.ipv6[1]), "fe80::1%eth0"]


@pytest.fixture(scope="module")
def reached(docker: DockerClient, textbook: Lab, machine: Machine) -> dict[Role, list[str]]:
    """What a node of each role reaches of all it should not, and of one address that it should."""
    forbidden = [*machine.beyond(), *usual_addresses(textbook), *NOBODY]
    targets = [[address, machine.port] for address in forbidden]
    targets += [[address, PORT] for address in textbook.topology.resolvers[0].addresses]

    def probe(role: Role) -> tuple[Role, list[str]]:
        container = container_name(textbook.name, textbook.topology.of_role(role)[0].name)
        return role, output(docker, "probe.py", f"container:{container}", json.dumps(targets))

    return dict(each(probe, ROLES))


def test_the_listener_can_be_reached(docker: DockerClient, machine: Machine) -> None:
    """From the machine itself, at all that is probed from the nodes: or the probes below would prove nothing."""
    addresses = machine.beyond()
    found = output(docker, "probe.py", "host", json.dumps([[address, machine.port] for address in addresses]))
    assert set(found) == {f"{address} {transport}" for address in addresses for transport in ("tcp", "udp")}
    print(f"the machine listens on {len(addresses)} addresses beside the lab's bridge: {', '.join(addresses)}")


@pytest.mark.parametrize("role", ROLES)
def test_a_node_reaches_its_lab(reached: dict[Role, list[str]], textbook: Lab, role: Role) -> None:
    here = textbook.topology.resolvers[0].addresses
    assert {f"{address} {transport}" for address in here for transport in ("tcp", "udp")} <= set(reached[role])


@pytest.mark.parametrize("role", [role for role in ROLES if role is not Role.GATEWAY])
def test_no_packet_leaves_the_lab(reached: dict[Role, list[str]], machine: Machine, role: Role) -> None:
    """Not to the machine's other networks, docker0 among them, nor to the world."""
    forbidden = (*machine.beyond(), *NOBODY)
    leaks = [reach for reach in reached[role] if reach.split()[0] in forbidden]
    assert not leaks
    print(f"{role.value}: 0 leaks to {len(forbidden)} addresses over TCP and UDP")


@pytest.mark.parametrize("role", ROLES)
def test_the_machine_is_not_on_the_bridge(
    reached: dict[Role, list[str]], machine: Machine, textbook: Lab, role: Role
) -> None:
    """Docker would put the first addresses of the subnets there, and fe80::1."""
    assert machine.on_bridge() == []
    assert not [reach for reach in reached[role] if reach.split()[0] in usual_addresses(textbook)]


def test_a_helper_takes_the_machine_off_a_bridge(docker: DockerClient, textbook: Lab) -> None:
    """`up` does it in place where it may, as root on the machine of Docker; elsewhere a container has to do it."""
    name = f"{textbook.name}-sealed"
    pools = [IPAMPool(subnet="10.53.252.0/24"), IPAMPool(subnet="fd53:0:0:252::/64")]
    network = docker.networks.create(
        name, internal=True, enable_ipv6=True, ipam=IPAMConfig(pool_configs=pools), labels={OWNER: owner_mark()}
    )
    bridge = f"br-{network.id[:12]}"

    def addresses() -> list[str]:
        command = ["cat", "/proc/net/if_inet6"]
        lines = docker.containers.run(image_reference("host"), command, network_mode="host", remove=True)
        return [line.split()[0] for line in lines.decode().splitlines() if line.split()[-1] == bridge]

    try:
        assert addresses()
        told: list[Event] = []
        seal_from_container(docker.api, name, bridge, image_reference("host"), told.append)
        assert (addresses(), told) == ([], [])
    finally:
        network.remove()


# Names


@pytest.mark.parametrize("role", ROLES)
def test_names_of_the_world_are_unknown_to_dockers_forwarder(docker: DockerClient, lab: Lab, role: Role) -> None:
    """Docker's resolver at 127.0.0.11 hands on what it does not know, to the servers of the machine unless told."""
    node = lab.topology.of_role(role)[0]
    known = container_name(lab.name, "host")
    found = output(
        docker, "names.py", f"container:{container_name(lab.name, node.name)}", "127.0.0.11", known, *OUTSIDE
    )
    assert found == {known: [str(lab.node("host").node.ipv4)]} | {name: [] for name in OUTSIDE}


def test_names_of_the_world_are_unknown_to_the_resolvers(lab: Lab) -> None:
    answers = lab.ask(questions(lab, *OUTSIDE))
    assert {(answer.query.name, answer.status, answer.data()) for answer in answers} == {
        (f"{name}.", "NXDOMAIN", ()) for name in OUTSIDE
    }


# Rights


def test_nodes_have_no_rights(lab: Lab) -> None:
    for node in lab.nodes.values():
        status = dict(line.split(":\t", 1) for line in node.run("cat /proc/1/status").splitlines() if ":\t" in line)
        capabilities = {key: int(value, 16) for key, value in status.items() if key.startswith("Cap")}
        assert capabilities == dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), 0), node.name
        assert status["NoNewPrivs"] == "1", node.name
        is_root = "0" in status["Uid"].split()
        # A host is somebody's machine: its user is root, with nothing that makes one.
        assert is_root == (node.node.role is Role.HOST), node.name


def test_servers_cannot_write_but_to_run_and_tmp(lab: Lab) -> None:
    for node in lab.nodes.values():
        mounts = [line.split() for line in node.run("cat /proc/self/mounts").splitlines()]
        writable = {where for _, where, _, options, *_ in mounts if "rw" in options.split(",")}
        # What Docker puts into every container: a tmpfs at /dev, kernel interfaces below /proc, /sys and /dev.
        ours = {where for where in writable if not where.startswith(("/proc", "/sys", "/dev"))}
        if node.node.role is Role.HOST:
            assert {"/", "/lab"} <= ours
        else:
            assert ours == {"/run", "/tmp"}, node.name
            assert "Read-only" in node.run("touch /x 2>&1 || true"), node.name


def test_containers_hold_nothing_of_the_machine(docker: DockerClient, lab: Lab) -> None:
    for node in lab.nodes:
        facts = docker.api.inspect_container(container_name(lab.name, node))
        settings = facts["HostConfig"]
        assert not settings["Privileged"], node
        assert not settings["Devices"], node
        assert (settings["PidMode"], settings["UTSMode"]) == ("", ""), node
        assert settings["PidsLimit"] > 0, node
        assert settings["Memory"] > 0, node
        assert {mount["Type"] for mount in facts["Mounts"]} <= {"volume", "tmpfs"}, node


def test_the_gateway_is_no_router(lab: Lab) -> None:
    """The one node on two networks, so that the machine can reach it: it relays messages and forwards no packet."""
    assert lab.node("gateway").run("cat /proc/sys/net/ipv4/ip_forward") == "0"
    assert lab.node("gateway").run("cat /proc/sys/net/ipv6/conf/all/forwarding") == "0"
