"""What dnslab writes on Docker objects: the only memory it has. All that a label says can be found again by it."""

from __future__ import annotations

LAB = "dnslab.lab"  # instance name of the lab
NODE = "dnslab.node"
HELPER = "dnslab.helper"  # node whose network namespace it shares, on a container that is no node itself
KIND = "dnslab.kind"  # what kind of helper it is; a program that joined the lab is of the kind below
JOINED = "program"
NAME = "dnslab.name"  # of a program that joined the lab
LIFE = "dnslab.life"  # since when its host ran: a host that is started anew has another network namespace
ROLE = "dnslab.role"
PROGRAM = "dnslab.program"
SPEC = "dnslab.spec"  # digest of all a container was made from
DECLARATION = "dnslab.declaration"  # the resolved lab file, compressed; on a volume
OWNER = "dnslab.owner"  # process that a temporary lab dies with; absent when it belongs to nobody
SUBNETS = "dnslab.subnets"
FAULT = "dnslab.fault"  # an active fault, as JSON; on a volume


def of_lab(lab: str) -> dict[str, list[str]]:
    """The Docker filter for everything of one lab."""
    return {"label": [f"{LAB}={lab}"]}


def of_any_lab() -> dict[str, list[str]]:
    """The Docker filter for everything of every lab."""
    return {"label": [LAB]}


def of_programs(lab: str, host: str | None = None) -> dict[str, list[str]]:
    """The Docker filter for the programs that joined a lab, or joined it at one host."""
    return {"label": [f"{LAB}={lab}", f"{KIND}={JOINED}", *([] if host is None else [f"{HELPER}={host}"])]}


def container_name(lab: str, node: str) -> str:
    """Name of a node's container. Dots cannot be in either part, so no two nodes of two labs share one."""
    return f"dnslab.{lab}.{node}"


def network_name(lab: str) -> str:
    """Name of a lab's network."""
    return f"dnslab.{lab}"


def volume_name(lab: str) -> str:
    """Name of the volume with the files and the clock of a lab."""
    return f"dnslab.{lab}.files"
