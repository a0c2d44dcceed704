"""The labs of a test session: each brought up when a test first asks for it, and kept to the end of the session."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

from lab.errors import EnvironmentProblem
from lab.runtime import labels, memory
from lab.runtime.engine import connect
from lab.runtime.gc import collect_labs
from lab.runtime.parallel import uninterrupted
from lab.testing.shared import SharedLab
from lab.testing.undertest import LabUnderTest

if TYPE_CHECKING:
    from lab.testing.choosing import Choice
    from lab.topology.declaration import Declaration

_SHARED = "shared"
_LONGEST = 20  # characters of a declaration's name in that of the lab: Docker's names have room for no more


class Pool:
    """The labs of one test process. `run` names the session, `worker` this process of it, or is empty.

    `owner` is the mark of the process that shared labs die with; they are taken down by that one.
    """

    def __init__(self, run: str, worker: str = "", owner: str = "") -> None:
        self.run = run
        self._worker, self._owner = worker, owner
        self._labs: dict[tuple[str, bool], LabUnderTest] = {}
        self._open = ExitStack()

    def get(self, choice: Choice, *, shared: bool) -> LabUnderTest:
        """The lab that is meant, brought up if it is the first time.

        Raises `BadInput`, `EnvironmentProblem` and `NodeFailed`.
        """
        declaration = choice.load()
        key = (declaration.model_dump_json(by_alias=True), shared)
        if key not in self._labs:
            if not self._labs:
                _tidy()
            self._labs[key] = self._share(declaration) if shared else self._make(declaration)
        return self._labs[key]

    def close(self) -> None:
        """Take down what this process made, and let go of what it shares."""
        self._labs.clear()
        self._open.close()

    def _make(self, declaration: Declaration) -> LabUnderTest:
        name = self._name(declaration, self._worker)
        return self._open.enter_context(LabUnderTest.temporary(declaration, name=name))

    def _share(self, declaration: Declaration) -> LabUnderTest:
        # Whoever comes first makes it; the others find nothing to change.
        name = self._name(declaration, _SHARED)
        lab = SharedLab.up(declaration, name=name, marks={labels.OWNER: self._owner})
        return self._open.enter_context(lab)

    def _name(self, declaration: Declaration, suffix: str) -> str:
        digest = hashlib.sha256(declaration.model_dump_json(by_alias=True).encode()).hexdigest()[:4]
        return "-".join(filter(None, (declaration.lab[:_LONGEST].rstrip("-"), digest, self.run, suffix)))


def _tidy() -> None:
    """Remove labs whose owners are dead: those of runs of which the reaper was killed too. Raises `LabError`."""
    with closing(connect()) as client:
        collect_labs(client.api)


def take_down(run: str) -> None:
    """Take down the labs that the workers of a run have shared; without Docker they cannot have made any.

    Raises `EnvironmentProblem` when one does not go.
    """
    try:
        client = connect()
    except EnvironmentProblem:
        return
    with closing(client):
        shared = [lab for lab in memory.labs(client.api) if lab.endswith(f"-{run}-{_SHARED}")]
    with uninterrupted():
        for lab in shared:
            SharedLab.down(lab)
