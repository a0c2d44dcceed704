"""A process that takes temporary labs down when their owner died without doing so; ``python -m lab.runtime.reaper``.

It outlives its owner, which it knows in two ways: by a pipe, which ends with the owner, and where the system has them
by a file descriptor of the process, for a child that the owner forked keeps the pipe open.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

_DONE = b"done\n"
_PATIENCE = 600.0  # seconds: for a Docker that is being restarted
_PAUSE = 0.25  # seconds between two looks
_SETTLED = 2.0  # seconds without a find: what Docker was making when the owner died has come and gone

_lock = threading.Lock()
_users = 0
_process: subprocess.Popen[bytes] | None = None


@contextmanager
def reaping() -> Iterator[None]:
    """Whatever labs this process owns within the block are removed soon after its death, `kill -9` included.

    One reaper a process, however many blocks; it ends with the last of them.
    """
    global _users, _process
    with _lock:
        if _process is None or _process.poll() is not None:
            # A session of its own: Ctrl-C at the terminal is for the owner, and must not take the reaper with it.
            _process = subprocess.Popen(
                [sys.executable, "-m", "lab.runtime.reaper", str(os.getpid())],
                stdin=subprocess.PIPE,
                # Nobody reads what it says once the owner is dead; and who waits for the end of the owner's output, as
                # a CI job does, is not to wait for this one.
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                process, _process = _process, None
                _dismiss(process)


def _dismiss(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    with suppress(BrokenPipeError), process.stdin as word:
        word.write(_DONE)
    process.wait()


def bereaved(owner: int) -> bool:
    """Wait for the owner's word, or its death; whether it died."""
    watched: list[int] = [sys.stdin.fileno()]
    if hasattr(os, "pidfd_open"):
        try:
            watched.append(os.pidfd_open(owner))
        except OSError as error:
            if isinstance(error, ProcessLookupError):
                return True
    ready, _, _ = select.select(watched, [], [])
    return sys.stdin.fileno() not in ready or sys.stdin.buffer.readline() != _DONE


def reap() -> None:
    """Remove the labs of dead owners until there are none, waiting for Docker if need be."""
    from lab.errors import LabError
    from lab.runtime.engine import connect
    from lab.runtime.gc import collect_labs

    give_up = time.monotonic() + _PATIENCE
    settled = time.monotonic() + _SETTLED
    while time.monotonic() < min(give_up, settled):
        try:
            with closing(connect()) as client:
                found = collect_labs(client.api)
        except (LabError, OSError):
            found = ("unknown",)  # Docker does not answer
        if found:
            settled = time.monotonic() + _SETTLED
        time.sleep(_PAUSE)


def main() -> None:
    """Wait, and reap."""
    if bereaved(int(sys.argv[1])):
        reap()


if __name__ == "__main__":
    main()
