"""Who a temporary lab dies with: a process, as a label says it."""

from __future__ import annotations

import os
import socket


def owner_mark() -> str:
    """This process, as a label: machine, process id and when it began, so that a reused id is told apart."""
    return f"{socket.gethostname()} {os.getpid()} {process_start(os.getpid())}"


def process_start(pid: int) -> str:
    """When a process of this machine began, in clock ticks since boot; empty when it is gone, or /proc is missing."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:  # noqa: PTH123 - not a real file
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]  # it ended, and its parent has not asked how


def alive(owner: str) -> bool:
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
