"""One run of pytest, or one worker's share in it: what its options say, and the labs it has."""

from __future__ import annotations

import os
import select
import signal
import threading
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from lab.testing.choosing import Choice
    from lab.testing.pool import Pool
    from lab.testing.undertest import LabUnderTest


@dataclass
class Session:
    """What every part of the plugin knows; nothing in it touches Docker before `lab` is called."""

    run: str  # names the run: in the names of its labs, in reports
    worker: str  # of pytest-xdist; empty in the process that people started
    owner: str  # mark of the process that shared labs die with, told to workers
    shared: bool
    required: frozenset[str]
    artifacts: Path | None
    _open: ExitStack = field(default_factory=ExitStack)

    def start(self) -> None:
        """The run begins: shared labs will be removed when this process dies, should it be the one they belong to."""
        if self.shared and not self.worker:
            from lab.runtime.owner import owner_mark
            from lab.runtime.reaper import reaping

            self.owner = owner_mark()
            self._open.enter_context(reaping())

    def lab(self, choice: Choice) -> LabUnderTest:
        """The lab that is meant. Raises `BadInput`, `EnvironmentProblem` and `NodeFailed`."""
        return self._pool.get(choice, shared=self.shared if choice.shared is None else self.shared and choice.shared)

    def finish(self) -> None:
        """Take down what belongs to this process."""
        if "_pool" in self.__dict__:
            self._pool.close()
        if self.owner and not self.worker:
            from lab.testing.pool import take_down

            take_down(self.run)
        self._open.close()

    @cached_property
    def _pool(self) -> Pool:
        from lab.testing.pool import Pool

        if self.worker:
            _die_with(os.getppid())
        return Pool(self.run, self.worker, self.owner)


def _die_with(controller: int) -> None:
    """Be interrupted, as by Ctrl-C, when the controller ends: execnet lets a running test go on for five seconds."""
    if not hasattr(os, "pidfd_open"):
        return
    try:
        life = os.pidfd_open(controller)
    except OSError:
        return  # it has ended, or the kernel cannot: execnet sees to it

    def wait() -> None:
        select.select([life], [], [])
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=wait, name="dnslab controller", daemon=True).start()


KEY = pytest.StashKey[Session]()
