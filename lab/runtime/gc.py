"""Removing what dead owners left behind: labs of tests that were killed, half-made labs, outdated images."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.runtime import images, labels, memory
from lab.runtime.lab import process_start
from lab.runtime.lock import locked
from lab.runtime.lowering import lower

if TYPE_CHECKING:
    from docker import APIClient, DockerClient


@dataclass(frozen=True)
class Collected:
    """What was removed: names of labs, references of images."""

    labs: tuple[str, ...]
    images: tuple[str, ...]


def collect(client: DockerClient, *, everything: bool = False) -> Collected:
    """Remove labs whose owner is dead, labs that can't be picked up again, and images that are not current.

    With `everything`, all labs. A lab that a person brought up has no owner and stays. Nothing that is not dnslab's
    is touched.
    """
    removed = []
    for lab in memory.labs(client.api):
        if everything or _abandoned(client.api, lab):
            with locked(lab):
                lower(client.api, lab)
            removed.append(lab)
    return Collected(tuple(removed), tuple(images.prune(client)))


def _abandoned(api: APIClient, lab: str) -> bool:
    owners = {
        owner
        for entry in api.containers(all=True, filters=labels.of_lab(lab))
        if (owner := entry["Labels"].get(labels.OWNER))
    }
    if owners:
        return not any(map(_alive, owners))
    with locked(lab, patience=1):  # an `up` that is under way holds this lock
        return memory.recall(api, lab) is None or not api.networks(filters=labels.of_lab(lab))


def _alive(owner: str) -> bool:
    """Whether the process of an owner mark lives; one of another machine is held to."""
    machine, pid, started = [*owner.split(" "), "", ""][:3]
    if machine != socket.gethostname():
        return True
    try:
        os.kill(int(pid), 0)
    except PermissionError:
        pass
    except (ProcessLookupError, ValueError):
        return False
    return process_start(int(pid)) == started
