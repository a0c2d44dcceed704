"""The nodes without a server program: hosts, from which queries are sent, and the gateway to the machine."""

from __future__ import annotations

from lab.topology.model import Node, Role, Topology

IMAGE = "host"

# As process 1 neither `sleep` nor a Python without handlers is ended by SIGTERM (pid_namespaces(7)), and neither
# has anything to save.
STOP_SIGNAL = "SIGKILL"


def render(node: Node, topology: Topology) -> dict[str, str]:
    """The files of a host or the gateway: relative path -> text."""
    return {} if node.role is Role.GATEWAY else {"resolv.conf": resolv_conf(node, topology)}


def resolv_conf(node: Node, topology: Topology) -> str:
    """The resolv.conf(5) of a host: its resolvers in order, everything else as glibc has it."""
    lines = [
        f"# Stub resolver of {node.name}. Rendered by dnslab from the lab file.",
        "# Options stay at glibc's defaults: the servers in this order, 5 s a try, two rounds; the first three count.",
    ]
    lines += [f"nameserver {address}" for address in _resolver_addresses(node, topology)]
    return "\n".join(lines) + "\n"


def command(node: Node, topology: Topology) -> list[str]:
    """The command of the container of a host or the gateway.

    A host needs user 0 (without capabilities) and a writable root: it puts its own resolv.conf over the one Docker
    mounts at each start, which names Docker's own resolver 127.0.0.11. Then it idles; queries are sent by programs
    started in it.
    """
    if node.role is Role.GATEWAY:
        addresses = _resolver_addresses(node, topology)
        return ["python3", "-m", "agent.gateway", "--listen", "0.0.0.0", "--port", "53", *addresses]
    # cp writes into the mounted file; to replace it by rename is not possible.
    return ["sh", "-c", f"cp /lab/{node.name}/resolv.conf /etc/resolv.conf && exec sleep infinity"]


def _resolver_addresses(node: Node, topology: Topology) -> list[str]:
    return [str(topology.node(resolver).ipv4) for resolver in node.resolvers]
