"""A kept shell in a node, for control commands: under a millisecond each, against 40 ms for an exec each."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from lab.errors import EnvironmentProblem
from lab.runtime.stream import Stream, StreamClosed

if TYPE_CHECKING:
    from docker import APIClient

TIMEOUT = 10.0  # seconds without a word from a control command
_MARK = "dnslab-status "


class Shell:
    """One `sh` in one container; opened at the first command, opened anew after the container was restarted."""

    def __init__(self, api: APIClient, container: str, node: str) -> None:
        self._api, self._container, self._node = api, container, node
        self._stream: Stream | None = None
        self._lock = threading.Lock()

    def run(self, line: str, timeout: float = TIMEOUT) -> str:
        """The output of a shell command line.

        Raises `EnvironmentProblem` with what it printed when it ends with another status than 0, when the node is not
        running, or when it is silent for `timeout` seconds.
        """
        with self._lock:
            try:
                return self._run(line, timeout)
            except (StreamClosed, TimeoutError) as error:
                self._forget()
                what = f"silent for {timeout:g} s" if isinstance(error, TimeoutError) else str(error)
                raise EnvironmentProblem(f"{self._node}: `{line}`: {what}") from None

    def close(self) -> None:
        """End the shell."""
        with self._lock:
            self._forget()

    def _run(self, line: str, timeout: float) -> str:
        if self._stream is not None and self._stream.ended:
            self._forget()  # the node was restarted meanwhile, by another process for one
        if self._stream is None:
            self._stream = Stream(self._api, self._container, ["sh"])
        # A subshell, so that nothing in `line` can end or change the kept one; the mark carries its status.
        self._stream.send(f"( {line}\n) 2>&1 </dev/null; printf '\\n{_MARK}%s\\n' $?\n".encode())
        output: list[str] = []
        while not (text := self._stream.readline(timeout).decode(errors="replace")).startswith(_MARK):
            output.append(text)
        printed = "\n".join(output).strip("\n")
        if (status := text.removeprefix(_MARK)) != "0":
            raise EnvironmentProblem(f"{self._node}: `{line}` ended with status {status}: {printed or 'no output'}")
        return printed

    def _forget(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None
