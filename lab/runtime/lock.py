"""One process at a time changes a lab."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tenacity

from lab.errors import EnvironmentProblem

PATIENCE = 120.0  # seconds: longer than an `up` with images built


@contextmanager
def locked(what: str, patience: float = PATIENCE) -> Iterator[None]:
    """Hold the lock called `what` on this machine, waiting up to `patience` seconds for it.

    The lock ends with the process, however that ends. Raises `EnvironmentProblem` naming the process that has it.
    """
    folder = Path(tempfile.gettempdir()) / f"dnslab-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    with (folder / f"{what}.lock").open("a+") as file:
        try:
            _take(file.fileno(), patience)
        except tenacity.RetryError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise EnvironmentProblem(
                f"another dnslab (process {holder}) is working on {what}; wait for it to end, or stop it"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _take(descriptor: int, patience: float) -> None:
    for attempt in tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(BlockingIOError),
        wait=tenacity.wait_fixed(0.05),
        stop=tenacity.stop_after_delay(patience),
    ):
        with attempt:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
