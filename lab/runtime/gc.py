"""Removing what dead owners left behind: labs of tests that were killed, half-made labs, outdated images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.errors import EnvironmentProblem
from lab.runtime import images, labels, memory, owner
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
    return Collected(collect_labs(client.api, everything=everything), tuple(images.prune(client)))


def collect_labs(api: APIClient, *, everything: bool = False) -> tuple[str, ...]:
    """As `collect`, and leave images alone; the names of the labs."""
    return tuple(lab for lab in memory.labs(api) if _collected(api, lab, everything=everything))


def _collected(api: APIClient, lab: str, *, everything: bool) -> bool:
    """Remove `lab` if it may go; whether it went."""
    if everything:
        with locked(lab):
            lower(api, lab)
        return True
    if not _abandoned(api, lab):
        return False
    try:
        with locked(lab, patience=0):
            # Looked at again: only who holds the lock knows that no `up` is under way.
            if gone := _abandoned(api, lab):
                lower(api, lab)
            return gone
    except EnvironmentProblem:
        return False  # somebody is working on it, so it is not abandoned


def _abandoned(api: APIClient, lab: str) -> bool:
    found = api.containers(all=True, filters=labels.of_lab(lab))
    if owners := {mark for entry in found if (mark := entry["Labels"].get(labels.OWNER))}:
        return not any(map(owner.alive, owners))
    # Without containers it was never up, and without the others no process can pick it up again.
    return not found or memory.recall(api, lab) is None or not api.networks(filters=labels.of_lab(lab))
