"""A process that heals what its owner broke when the owner is gone, or its time is up; ``python -m lab.faults.guard``.

A stopped node or an edited zone has no conditioner that could see its owner go. The guard holds the reading end of a
pipe: the end of the pipe without a word is the owner's death, however it came.
"""

from __future__ import annotations

import math
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

_HEALED = b"healed\n"
_MOMENT = 0.5  # seconds
_PAUSE = 0.5  # seconds between two tries to heal
_TRIES_FOR = 60.0  # seconds: what cannot be healed now, as a paused server cannot be told to reload, may be soon

Task = Literal["revive", "undo", "crash"]
"""What a guard does: let a node run at the end; undo an entry of the ledger; the same, and crash its node meanwhile."""


class Guard:
    """The owner's end of a guard; it heals `lasts` seconds from now unless dismissed before.

    `what` is the node to revive, or the id of the entry to undo. `every`: seconds between the crashes of a crash loop.
    """

    def __init__(self, lab: str, task: Task, what: str, lasts: float, every: float = 0.0) -> None:
        # A session of its own: Ctrl-C at the terminal is for the owner, and must not take the guard with it.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lab.faults.guard", lab, task, what, str(lasts), str(every)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self.crashes = 0
        """Crashes so far: one line each of what it prints."""
        self._reader = threading.Thread(target=self._count, name=f"guard of {what}", daemon=True)
        self._reader.start()

    def dismiss(self) -> None:
        """All is healed: the guard has nothing more to do. Once more is fine."""
        assert self._process.stdin is not None
        if not self._process.stdin.closed:
            with suppress(BrokenPipeError), self._process.stdin as word:  # broken: it has healed by itself, and gone
                word.write(_HEALED)
        self._process.wait()
        self._reader.join()

    def _count(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for _ in lines:
                self.crashes += 1


def watch(lasts: float, act: Callable[[], bool] | None = None, every: float = 0.0) -> bool | None:
    """Wait for a word, the end of the pipe or of the time, seconds; whether there is something to heal.

    `act` is called at once and `every` seconds after it has returned, until it says that there is no more to do. None
    when the time is up.
    """
    start = time.monotonic()
    due = start if act is not None else math.inf
    while (now := time.monotonic()) < start + lasts:
        if act is not None and now >= due:
            if not act():
                return False
            due = time.monotonic() + every
            continue
        ready, _, _ = select.select([sys.stdin], [], [], min(start + lasts, due) - now)
        if ready:
            return sys.stdin.buffer.readline() != _HEALED
    return None


def heal(lab: str, node: str) -> None:
    """Let a node's container run, whatever was done to it; no container is fine, the lab is down."""
    from lab.runtime import memory
    from lab.runtime.containers import revive
    from lab.runtime.engine import connect
    from lab.runtime.lab import RunningLab

    api = connect().api
    revive(api, lab, node)
    if (declaration := memory.recall(api, lab)) is not None and declaration.links:
        with RunningLab.attach(lab) as here:
            here.links.resume(node)  # what is declared belongs to the lab, and went with the node


def main() -> None:
    """Guard until dismissed, and heal."""
    lab, task, what, lasts, every = sys.argv[1:]
    ends = time.monotonic() + float(lasts)
    # A fault of a moment costs no more than a bare Python. For the others, what healing needs is loaded soon: with
    # two seconds left for it is too late.
    wrong = watch(min(float(lasts), _MOMENT)) if task != "crash" else None
    if wrong is False:
        return
    from lab.faults import crash_loop, kinds, written
    from lab.runtime.engine import connect

    kinds()
    connect().close()
    if wrong is None:
        act = crash_loop.crasher(lab, what) if task == "crash" else None
        wrong = watch(ends - time.monotonic(), act, float(every))
    if wrong is False:
        return
    if task == "revive":
        heal(lab, what)
    else:
        written.undo_somehow(lab, what, tries_for=_TRIES_FOR, pause=_PAUSE)


if __name__ == "__main__":
    main()
