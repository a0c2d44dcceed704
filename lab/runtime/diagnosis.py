"""Why a node failed, in its own words: its last log lines, and the line of its configuration they complain about."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from lab.errors import NodeFailed
from lab.runtime.spec import FOLDER, ContainerSpec

if TYPE_CHECKING:
    from docker import APIClient

_LINES = 12
_LINE_NUMBER = r"""(?::|\(|['"]?,? line )(\d+)"""


def node_failed(api: APIClient, spec: ContainerSpec, container: str, what: str) -> NodeFailed:
    """The error for a node that did not come up: `what` happened, and all that helps to see why."""
    log = last_lines(api, container)
    parts = [f"{spec.node.name} ({spec.node.program or spec.node.role.value}) {what}"]
    if log:
        parts += ["its last log lines:", *(f"  {line}" for line in log)]
    if found := fault_line(spec.node.name, spec.files, log):
        path, number, line = found
        parts += [f"the line at fault: {path}:{number}", f"  {line.strip()}"]
    return NodeFailed("\n".join(parts))


def last_lines(api: APIClient, container: str, count: int = _LINES) -> list[str]:
    """The last lines of a container's log."""
    return api.logs(container, tail=count).decode(errors="replace").splitlines()


def fault_line(node: str, files: Mapping[str, str], log: list[str]) -> tuple[str, int, str] | None:
    """File, line number and text of the line a program complained about.

    Every program names the file and then the number, as `file:12`, `file', line 12` or `file(12)`; the first
    complaint is the cause, later ones follow from it.
    """
    for message in log:
        for path, text in files.items():
            place = re.search(re.escape(path) + _LINE_NUMBER, message)
            lines = text.splitlines()
            if place and 0 < int(place[1]) <= len(lines):
                return f"{FOLDER}/{node}/{path}", int(place[1]), lines[int(place[1]) - 1]
    return None
