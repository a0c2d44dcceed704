"""The orchestrator's end of a prober: queries go in, results come out, over one kept stream to a host of the lab."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from lab.agent import protocol
from lab.agent.protocol import Query, Result
from lab.errors import BadInput, EnvironmentProblem
from lab.runtime.stream import Stream, StreamClosed

if TYPE_CHECKING:
    from docker import APIClient

COMMAND = ["python3", "-m", "agent.prober", "--clock", "/lab/clock"]
_GRACE = 30.0  # seconds beyond a batch's own deadlines before the prober itself is held to be stuck


class Prober:
    """Asks from inside the lab. Several threads may ask at once; each batch gets its own results."""

    def __init__(self, api: APIClient, container: str, node: str) -> None:
        self._node = node
        self._stream = Stream(api, container, COMMAND)
        self._numbers = itertools.count(1)
        self._waiting: dict[int, queue.SimpleQueue[dict[str, Any]]] = {}
        self._ended: str | None = None
        self._sending = threading.Lock()
        self._reader = threading.Thread(target=self._read, name=f"prober {node}", daemon=True)
        self._reader.start()

    def ask(self, queries: Sequence[Query], window: int = 64) -> list[Result]:
        """Ask all `queries`, at most `window` at once, and return their results in the order of the queries.

        Queries with `at` are sent at that time, seconds after the start of the batch, whatever is in flight. Raises
        `EnvironmentProblem` when the prober is gone.
        """
        results = sorted(self.stream(queries, window), key=lambda result: result.n)
        if len(results) != len(queries):
            raise EnvironmentProblem(f"the prober in {self._node} gave {len(results)} of {len(queries)} results")
        return results

    def stream(self, queries: Sequence[Query], window: int = 64) -> Iterator[Result]:
        """As `ask`, but each result as soon as it is known."""
        if queries:
            with self.begin(queries, window) as asking:
                yield from asking

    def begin(
        self,
        queries: Sequence[Query],
        window: int = 64,
        *,
        began: Callable[[float], None] | None = None,
        together: bool = False,
    ) -> Asking:
        """As `stream`, but it can be ended by another thread.

        `began` is called with the batch's start, seconds since 1970 by the wall clock of the machine the lab is on.
        `together`: everything is told at the end, which is sooner for a few questions.
        """
        number = next(self._numbers)
        request = protocol.ask(number, queries, window, announce=began is not None, together=together)
        patience = _GRACE + max(
            (query.at or 0.0) + query.timeout * query.attempts * 2 * len(query.servers) for query in queries
        )
        return Asking(_Conversation(self, number), request, patience, began)

    def wall(self) -> float:
        """The time of the machine the lab is on, not the lab's: seconds since 1970."""
        with self._conversation() as talk:
            talk.send(protocol.ping(talk.number))
            return float(talk.receive(_GRACE)["wall"])

    def clock(self, offsets: Mapping[str, int] | None = None, *, force: bool = False) -> dict[str, int]:
        """The clock offset of each node in nanoseconds, after setting `offsets`.

        Raises `BadInput` when an offset is refused: below the present one, or of a node not on the lab's clock.
        """
        with self._conversation() as talk:
            talk.send(protocol.clock(talk.number, offsets, force=force))
            reply = talk.receive(_GRACE)
        if "error" in reply:
            raise BadInput(str(reply["error"]))
        clock: dict[str, int] = reply["clock"]
        return clock

    @property
    def ended(self) -> bool:
        """Whether it is gone, because its host was stopped for one."""
        return self._ended is not None

    def close(self) -> None:
        """End the prober."""
        self._stream.close()
        self._reader.join(5)

    def __enter__(self) -> Prober:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _conversation(self) -> _Conversation:
        return _Conversation(self, next(self._numbers))

    def _read(self) -> None:
        ended = "it ended"
        try:
            while True:
                reply = protocol.decode_line(self._stream.readline())
                number = next((reply[key] for key in ("batch", "id", "pong") if key in reply), None)
                if number in self._waiting:
                    self._waiting[number].put(reply)
        except (StreamClosed, protocol.ProtocolError) as error:
            ended = str(error)
        finally:
            self._ended = ended
            for waiting in list(self._waiting.values()):
                waiting.put({})


class Asking:
    """Questions on their way; iterate for the results. At the end of a `with` block what is left is not asked."""

    def __init__(
        self,
        talk: _Conversation,
        request: Mapping[str, Any],
        patience: float,
        began: Callable[[float], None] | None,
    ) -> None:
        self._talk, self._request, self._patience, self._began = talk, request, patience, began
        self._finished = False

    def __enter__(self) -> Asking:
        self._talk.__enter__()
        self._talk.send(self._request)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if not self._finished and not self._talk.ended:
                self.cancel()
        finally:
            self._talk.__exit__()

    def __iter__(self) -> Iterator[Result]:
        while "done" not in (reply := self._talk.receive(self._patience)):
            if "began" in reply:
                assert self._began is not None
                self._began(float(reply["began"]))
            else:
                yield Result.from_json(reply["result"])
        self._finished = True

    def cancel(self) -> None:
        """Ask no more, and forget what is in flight; whoever iterates comes to the end."""
        self._talk.send(protocol.cancel(self._talk.number))


class _Conversation:
    """One request and its replies."""

    def __init__(self, prober: Prober, number: int) -> None:
        self._prober, self.number = prober, number
        self._replies: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def __enter__(self) -> _Conversation:
        self._prober._waiting[self.number] = self._replies
        return self

    def __exit__(self, *_: object) -> None:
        del self._prober._waiting[self.number]

    @property
    def ended(self) -> bool:
        return self._prober.ended

    def send(self, request: Mapping[str, Any]) -> None:
        try:
            with self._prober._sending:
                self._prober._stream.send(protocol.encode_line(request))
        except StreamClosed as error:
            raise self._gone(str(error)) from None

    def receive(self, patience: float) -> dict[str, Any]:
        if self._prober._ended is not None and self._replies.empty():
            raise self._gone(self._prober._ended)
        try:
            reply = self._replies.get(timeout=patience)
        except queue.Empty:
            raise self._gone(f"no word for {patience:g} s") from None
        if not reply:
            raise self._gone(self._prober._ended or "it ended")
        return reply

    def _gone(self, why: str) -> EnvironmentProblem:
        return EnvironmentProblem(
            f"the prober in {self._prober._node} is gone: {why}; is the node running? `dnslab status` shows it"
        )
