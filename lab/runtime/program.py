"""A program that was run in a lab: what it says, whether it runs, how it ended."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import tenacity

from lab.errors import EnvironmentProblem, ProgramFailed
from lab.runtime import containers, labels
from lab.runtime.parallel import uninterrupted

if TYPE_CHECKING:
    from docker import APIClient
    from typing_extensions import Self

T = TypeVar("T")

_PAUSE = 0.03  # seconds between two looks
_STOP_PATIENCE = 5  # seconds between the stop signal and SIGKILL
_LINES = 12  # of its output, in the message of an error


class Program:
    """A program that was run in the lab: what it says, whether it runs, how it ended.

    As a context manager it is removed at the end of the block, at once. What it said and its exit code are known
    after that too.
    """

    def __init__(self, api: APIClient, container: str, marks: Mapping[str, str]) -> None:
        self._api, self._container = api, container
        self.name, self.at = marks[labels.NAME], marks[labels.HELPER]  # `at`: its host
        self._host, self._life = labels.container_name(marks[labels.LAB], self.at), marks[labels.LIFE]
        self._left: tuple[int | None, str] | None = None  # exit code and output, when it has been removed

    def __str__(self) -> str:
        return f"{self.name} at {self.at}"

    def __repr__(self) -> str:
        return f"<Program {self}>"

    @property
    def running(self) -> bool:
        """Whether it has not ended yet; one whose host is frozen has not."""
        return bool(self._state().get("Running"))

    @property
    def exit_code(self) -> int | None:
        """How it ended, 128 + N by signal N; None of one that runs, or went with its lab before anybody looked."""
        if self._left is not None:
            return self._left[0]
        state = self._state()
        return int(state["ExitCode"]) if state and not state["Running"] else None

    @property
    def output(self) -> str:
        """All that it has printed so far, on stdout and stderr, as it came.

        Raises `EnvironmentProblem` when its container was removed by somebody else, by `down` for one.
        """
        from docker.errors import NotFound

        if self._left is not None:
            return self._left[1]
        try:
            return self._api.logs(self._container).decode(errors="replace")
        except NotFound:
            raise EnvironmentProblem(f"{self} is gone, and what it said with it: was the lab taken down?") from None

    def to_json(self) -> dict[str, Any]:
        """Who it is and how it ended, as plain data."""
        return {"name": self.name, "at": self.at, "exit_code": self.exit_code}

    def wait_for(self, wanted: str | re.Pattern[str], timeout: float = 10.0) -> str:
        """The first line of its output that has this text in it, or matches; waits for it `timeout` seconds.

        Raises `ProgramFailed`, with its last lines, when it does not come or the program ends before.
        """
        pattern = re.compile(re.escape(wanted)) if isinstance(wanted, str) else wanted

        def look() -> str | None:
            ended = not self.running  # before its output is read: then that is all of it
            line = next((line for line in self.output.splitlines() if pattern.search(line)), None)
            if line is None and ended:
                raise ProgramFailed(f"{self} {self._ended()} and had not said {pattern.pattern!r}; {self._said()}")
            return line

        if (line := _within(timeout, look)) is None:
            raise ProgramFailed(
                f"{self} has not said {pattern.pattern!r} within {timeout:g} s{self._stranded()}; {self._said()}"
            )
        return line

    def wait(self, timeout: float = 10.0) -> int:
        """Its exit code, when it has ended by itself; waits for that `timeout` seconds.

        Raises `ProgramFailed`, with its last lines, when it runs on.
        """
        code = _within(timeout, lambda: self.exit_code)
        if code is None:
            raise ProgramFailed(f"{self} has not ended within {timeout:g} s{self._stranded()}; {self._said()}")
        return code

    def stop(self) -> None:
        """End it in an orderly way: its image's stop signal, after 5 s SIGKILL. One that has ended is fine.

        It is process 1 of its container, and so SIGTERM is nothing to it unless it has a handler (pid_namespaces(7)).
        """
        from docker.errors import NotFound

        try:
            self._api.stop(self._container, timeout=_STOP_PATIENCE)
        except NotFound:
            return

    def remove(self) -> None:
        """End it at once (SIGKILL) and take its container away; once more is fine."""
        from docker.errors import APIError, NotFound

        if self._left is not None:
            return
        with uninterrupted():
            try:
                if self.running:
                    self._api.kill(self._container)
                    self._api.wait(self._container)
                self._left = (self.exit_code, self.output)
            except (NotFound, EnvironmentProblem):
                return  # somebody else has removed it
            except APIError as error:
                if error.status_code != 409:  # it ended by itself at this moment
                    raise
                self._left = (self.exit_code, self.output)
            containers.remove(self._api, [self._container])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def _state(self) -> dict[str, Any]:
        """As Docker says; empty when its container is gone."""
        from docker.errors import NotFound

        try:
            state: dict[str, Any] = self._api.inspect_container(self._container)["State"]
        except NotFound:
            return {}
        return state

    def _ended(self) -> str:
        state = self._state()
        if not state:
            return "is gone"
        reason = " (it had taken all its memory)" if state["OOMKilled"] else ""
        return f"ended with exit code {state['ExitCode']}{reason}"

    def _said(self) -> str:
        lines = self.output.splitlines()[-_LINES:]
        return "\n".join(["its last lines:", *(f"  {line}" for line in lines)]) if lines else "it has printed nothing"

    def _stranded(self) -> str:
        """Whether its host was started anew behind our back: the network that it shared went with the former life."""
        if containers.life(self._api, self._host) == self._life:
            return ""
        return f" ({self.at} was restarted since it began, and its network went with that: run it anew)"


def _within(timeout: float, look: Callable[[], T | None]) -> T | None:
    """What `look` returns, once that is not None; None after `timeout` seconds."""
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_result(lambda found: found is None),
        wait=tenacity.wait_fixed(_PAUSE),
        stop=tenacity.stop_after_delay(timeout),
        retry_error_callback=lambda _state: None,
    )
    return retrying(look)
