"""A lab that tests use one after the other: it watches itself, and is as new for each."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from lab.errors import EnvironmentProblem, LabError
from lab.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Unpack

    from lab.observe.observation import Observation
    from lab.runtime.program import Program
    from lab.runtime.programs import Options

_PATIENCE = 5.0  # seconds for nodes to answer once nothing is broken: they do so in milliseconds


class LabUnderTest(Lab):
    """A lab between whose tests `begin` and `finish` are called."""

    _seen: Observation | None = None
    _blind = ""  # why it cannot be watched
    _ailing = ""  # what the last test did to it that could not be mended

    def __init__(self, *how: Any) -> None:
        super().__init__(*how)
        self.joined: list[Program] = []  # those that this process ran, and has not removed
        self._standing = 0  # so many of them were there before the test
        self.resets: list[float] = []
        """Seconds that each `finish` took."""

    @property
    def seen(self) -> Observation:
        """The messages of this test: all that its hosts and resolvers sent and got. See `Observation`.

        Raises `EnvironmentProblem` where packets cannot be watched.
        """
        if self._seen is None:
            if self._blind:
                raise EnvironmentProblem(self._blind)
            from lab.observe.observation import Observation

            try:
                self._seen = Observation(self, askers(self), keep=True).start()
            except EnvironmentProblem as error:
                self._blind = str(error)
                raise
        return self._seen

    def watched(self) -> Observation:
        """As `seen`, to be asserted on."""
        return self.seen

    def begin(self) -> None:
        """A test begins. Raises `EnvironmentProblem` when the last one left what could not be mended, nor can now."""
        self._standing = len(self.joined)
        if self._ailing and (why := self._renewed()):
            raise EnvironmentProblem(f"{self._ailing}\nIt could not be mended: {why}")
        with suppress(LabError):  # who needs to see says so
            self.seen.clear()

    def run(self, command: Sequence[str] | None = None, *, at: str | None = None, **how: Unpack[Options]) -> Program:
        """As of every lab; at the end of the test that ran it the program is removed."""
        program = super().run(command, at=at, **how)
        self.joined.append(program)
        return program

    def finish(self) -> list[str]:
        """A test has ended: the lab is as new, its programs are gone; what had been left broken, a line each.

        Raises `EnvironmentProblem` when a reset was not enough, for one because a container was gone. Then the lab has
        been made whole again for the next test, or the text says why that was not possible.
        """
        began = time.monotonic()
        try:
            self._dismiss()
            left = self.broken()
            self.reset()
            self.wait_ready(_PATIENCE)
        except LabError as error:
            self._ailing = f"lab {self.name} was left in a state that no reset mends: {error}"
            told, why = self._ailing, self._renewed()
            mended = f"It could not be mended: {why}" if why else "It has been mended, for the tests to come."
            raise EnvironmentProblem(f"{told}\n{mended}") from None
        self.resets.append(time.monotonic() - began)
        return left

    def _dismiss(self) -> None:
        """Remove the programs of the test; those that were there before it stay."""
        while len(self.joined) > self._standing:
            self.joined.pop().remove()

    def _renewed(self) -> str:
        """Make the lab whole again; why that was not possible, or empty."""
        try:
            self.mend()
            self.reset()
            self.wait_ready(_PATIENCE)
        except LabError as error:
            return str(error)
        self._ailing = ""
        return ""

    def broken(self) -> list[str]:
        """What is broken now, a line each."""
        from lab.faults.active import active

        return [fault.words for fault in active(self)]


def askers(lab: Lab) -> list[str]:
    """The nodes that ask for names, hosts and resolvers: where they are watched, every story can be told."""
    return [node.name for node in (*lab.topology.hosts, *lab.topology.resolvers)]
