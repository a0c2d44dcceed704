"""A process that heals a node when the one that broke it is gone, or its time is up; ``python -m lab.faults.guard``.

A stopped node has no conditioner that could see its owner go. The guard holds the reading end of a pipe: the end of
the pipe without a word is the owner's death, however it came.
"""

from __future__ import annotations

import select
import subprocess
import sys

_HEALED = b"healed\n"


class Guard:
    """The owner's end of a guard; the node is healed `lasts` seconds from now unless dismissed before."""

    def __init__(self, lab: str, node: str, lasts: float) -> None:
        # A session of its own: Ctrl-C at the terminal is for the owner, and must not take the guard with it.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lab.faults.guard", lab, node, str(lasts)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def dismiss(self) -> None:
        """The node is healed: the guard has nothing more to do."""
        try:
            self._process.communicate(_HEALED)
        except BrokenPipeError:  # its time was up, it has healed and gone
            self._process.wait()


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
    """Wait for a word, the end of the pipe or of the time."""
    lab, node, lasts = sys.argv[1:]
    ready, _, _ = select.select([sys.stdin], [], [], float(lasts))
    if not ready or sys.stdin.buffer.readline() != _HEALED:
        heal(lab, node)


if __name__ == "__main__":
    main()
