"""The faults that cannot be seen in Docker's own state, written down where any process finds them.

An entry is a volume without files, as the memory of a lab is (`lab.runtime.memory`): it is made and removed in one
step, listed by its label, there while no node runs, and gone with the lab.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from lab.runtime import labels
from lab.runtime.lock import locked

if TYPE_CHECKING:
    from docker import APIClient


@dataclass(frozen=True)
class Entry:
    """One fault that is active."""

    id: str
    fault: str  # its kind
    nodes: tuple[str, ...]
    words: str
    data: Mapping[str, Any]  # what its kind needs to undo it
    state: str  # that the nodes may be in because of it, as Docker says; empty: running
    since: int  # nanoseconds since 1970: the order of entries
    ends: float  # seconds since 1970
    process: int  # that owns it

    @property
    def left(self) -> float:
        """Seconds until it heals by itself."""
        return max(self.ends - time.time(), 0.0)


def entry(
    fault: str, nodes: tuple[str, ...], words: str, data: Mapping[str, Any], lasts: float, state: str = ""
) -> Entry:
    """An entry of this process, not yet written; `lasts` in seconds."""
    now = time.time_ns()
    return Entry(secrets.token_hex(6), fault, nodes, words, data, state, now, now / 1e9 + lasts, os.getpid())


class Ledger:
    """What is written down of one lab."""

    def __init__(self, api: APIClient, lab: str) -> None:
        self._api, self._lab = api, lab

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else changes an entry, nor what it stands for, within the block. Not to be nested."""
        with locked(f"{self._lab}.faults"):  # no lab has a dot in its name
            yield

    def entries(self) -> list[Entry]:
        """All of them, the oldest first."""
        found = self._api.volumes(filters={"label": [f"{labels.LAB}={self._lab}", labels.FAULT]})["Volumes"] or []
        entries = [_from_json(volume["Labels"][labels.FAULT]) for volume in found]
        return sorted(entries, key=lambda entry: entry.since)

    def has(self, id: str) -> bool:
        """Whether an entry is there."""
        return any(entry.id == id for entry in self.entries())

    def write(self, entry: Entry) -> None:
        """Add an entry."""
        marks = {labels.LAB: self._lab, labels.FAULT: json.dumps(asdict(entry))}
        self._api.create_volume(self._name(entry.id), labels=marks)

    def strike(self, id: str) -> None:
        """Take an entry out; none there is fine."""
        from docker.errors import NotFound

        try:
            self._api.remove_volume(self._name(id))
        except NotFound:
            return

    def _name(self, id: str) -> str:
        return f"dnslab.{self._lab}.fault.{id}"


def _from_json(text: str) -> Entry:
    fields = json.loads(text)
    return Entry(**{**fields, "nodes": tuple(fields["nodes"])})
