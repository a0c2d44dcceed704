"""What a node's container is made of, and the digest that tells whether it has changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lab.software import program as software
from lab.topology.model import Node, Role, Topology

UNPRIVILEGED = "5300:5300"  # user and group `dnslab` of the base image
MEMORY = 256 * 2**20  # octets; the largest program needs a tenth of it
PIDS = 128
# Docker gives a tmpfs the mode of the folder below it, whatever it is told; /tmp is open to all in every image, /run
# has to be given to who runs there.
TMPFS = {"/run": "uid=5300,gid=5300,size=16m", "/tmp": "size=16m"}
TMPFS_OF_MACHINE = {"/run": "size=16m", "/tmp": "size=16m"}
FORWARD_TO = "127.0.0.1"
FOLDER = "/lab"  # where the lab's volume is mounted


@dataclass(frozen=True)
class ContainerSpec:
    """All that makes one container; equal specs give equal containers."""

    node: Node
    image: str
    command: tuple[str, ...]
    files: Mapping[str, str]  # path relative to the node's own folder -> text
    stop_signal: str

    @property
    def is_machine(self) -> bool:
        """Whether it is a host: somebody works on it, and its resolv.conf is written at each start.

        Docker mounts resolv.conf read-only where the root is, so a host has a writable root, owned by a root user
        that has no capability. It also holds the pen for the lab's clock: the volume is writable to hosts only.
        """
        return self.node.role is Role.HOST

    @property
    def user(self) -> str:
        """Who the program runs as."""
        return "0:0" if self.is_machine else UNPRIVILEGED

    @property
    def limits(self) -> dict[str, Any]:
        """What the container may and may not do, in the words of Docker's host configuration."""
        sysctls = {"net.ipv4.ip_unprivileged_port_start": "0"}  # port 53 without a capability
        if self.node.role is Role.GATEWAY:
            sysctls["net.ipv4.ip_forward"] = "0"  # it relays messages; it is no router
        return {
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges"],
            "read_only": not self.is_machine,
            "tmpfs": TMPFS_OF_MACHINE if self.is_machine else TMPFS,
            "pids_limit": PIDS,
            "mem_limit": MEMORY,
            # Docker gives every container on a user network a forwarder at 127.0.0.11 that hands names to the servers
            # of the machine: a way out. Handing them to the container itself shuts it.
            "dns": [FORWARD_TO],
            "sysctls": sysctls,
        }

    @cached_property
    def digest(self) -> str:
        """A digest over everything the container depends on."""
        parts = [
            self.image,
            list(self.command),
            dict(self.files),
            self.stop_signal,
            list(self.node.addresses),
            self.node.role.value,
            self.node.port,
            self.user,
            self.limits,
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def specs(topology: Topology, images: Mapping[str, str]) -> dict[str, ContainerSpec]:
    """The container of every node; `images` maps an image's folder to its reference.

    Raises `BadInput` when a node is to run on the lab's clock and its program cannot.
    """
    return {
        node.name: ContainerSpec(
            node,
            images[software.image(node)],
            tuple(software.command(node, topology)),
            software.render(node, topology),
            software.stop_signal(node),
        )
        for node in topology.nodes.values()
    }
