"""The orchestrator's end of a node's conditioner: its helper container, and one kept stream to it."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import tenacity

from lab.agent import protocol
from lab.agent.conditions import Rule, State
from lab.errors import EnvironmentProblem
from lab.runtime import labels
from lab.runtime.engine import connect
from lab.runtime.images import ensure_images
from lab.runtime.stream import Stream, StreamClosed

if TYPE_CHECKING:
    from docker import APIClient

IMAGE = "conditioner"
_COMMAND = ["python3", "-m", "agent.conditioner"]
_RELAY = ["python3", "-S", "/usr/lib/dnslab/agent/relay.py", "/run/conditioner"]
_MEMORY = 256 * 2**20  # octets: the packets it holds are in the kernel, 64 Ki of them at most
_PATIENCE = 20.0  # seconds for the helper to come up, a former one to go; a busy machine is slow
_REPLY = 15.0  # seconds for a reply; iptables takes milliseconds

Ended = Callable[[State, str], None]
"""Called when a rule has ended by itself: with its last state and why ("deadline", "healed")."""


class Conditioner:
    """A connection to the conditioner of one node, which is started if it does not run.

    Rules added here end with the connection, however that ends. Several threads may use it at once. `ended` and `lost`
    are called from a thread of their own; `lost` when the conditioner is gone: the node was stopped, or its helper.
    """

    def __init__(self, api: APIClient, lab: str, node: str, ended: Ended, lost: Callable[[], None]) -> None:
        self._node = node
        self._ended, self._lost = ended, lost
        self._numbers = itertools.count(1)
        self._waiting: dict[int, queue.SimpleQueue[dict[str, Any]]] = {}
        self._sending = threading.Lock()
        self._gone: str | None = None
        self._closed = False
        self._stream = _attach(api, lab, node)
        # Whoever answers `list` is up: what goes wrong before is told here.
        self._reader = threading.Thread(target=self._read, name=f"conditioner {node}", daemon=True)
        self._reader.start()
        self.rules()

    def add(self, rule: Rule) -> None:
        """Put a rule in force; packets meet it when this returns. Raises `EnvironmentProblem`."""
        self._ask({"op": "add", "rule": rule.to_json()})

    def remove(self, *rules: str) -> list[State]:
        """Take rules out, by id; what they had done. One that has ended already is fine."""
        return _states(self._ask({"op": "remove", "rules": list(rules)})["removed"])

    def remove_all(self) -> list[State]:
        """Take all rules of the node out, whoever added them."""
        return _states(self._ask({"op": "remove"})["removed"])

    def restart(self, rule: str) -> None:
        """Put a rule's counters to 0 and its chance back to the seed."""
        self._ask({"op": "restart", "rule": rule})

    def rules(self) -> list[State]:
        """All rules of the node, whoever added them."""
        return _states(self._ask({"op": "list"})["rules"])

    @property
    def alive(self) -> bool:
        """Whether the conditioner is there, as far as is known."""
        return self._gone is None

    def close(self) -> None:
        """End the connection, and with it the rules added on it."""
        self._closed = True
        self._stream.close()
        if threading.current_thread() is not self._reader:
            self._reader.join(5)

    def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        number, replies = next(self._numbers), queue.SimpleQueue[dict[str, Any]]()
        self._waiting[number] = replies
        try:
            if self._gone is not None:
                raise self._problem(self._gone)
            with self._sending:
                self._stream.send(protocol.encode_line({**request, "id": number}))
            reply = replies.get(timeout=_REPLY)
        except StreamClosed as error:
            raise self._problem(str(error)) from None
        except queue.Empty:
            raise self._problem(f"no word for {_REPLY:g} s") from None
        finally:
            del self._waiting[number]
        if not reply:
            raise self._problem(self._gone or "it ended")
        if "error" in reply:
            raise EnvironmentProblem(f"the conditioner of {self._node} refused: {reply['error']}")
        return reply

    def _problem(self, why: str) -> EnvironmentProblem:
        return EnvironmentProblem(f"the conditioner of {self._node} is gone ({why}); is the node running?")

    def _read(self) -> None:
        try:
            while True:
                message = protocol.decode_line(self._stream.readline())
                if "ended" in message:
                    self._ended(State.from_json(message["ended"]), str(message.get("why")))
                elif (waiting := self._waiting.get(message.get("id", 0))) is not None:
                    waiting.put(message)
        except (StreamClosed, protocol.ProtocolError) as error:
            self._gone = str(error)
        for waiting in list(self._waiting.values()):
            waiting.put({})
        if not self._closed:
            self._lost()


def helper_name(lab: str, node: str) -> str:
    """Name of the container in which a node's conditioner runs; a node's name has no dot in it."""
    return f"{labels.container_name(lab, node)}.{IMAGE}"


def helpers(api: APIClient, lab: str) -> dict[str, str]:
    """The helper containers of a lab that run: node -> container id."""
    found = api.containers(filters={"label": [f"{labels.LAB}={lab}", labels.HELPER]})
    return {entry["Labels"][labels.HELPER]: entry["Id"] for entry in found}


def _attach(api: APIClient, lab: str, node: str) -> Stream:
    """A stream to the conditioner, which is started if need be, and once more if it was just about to end."""
    for attempt in tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(_NotYet),
        wait=tenacity.wait_fixed(0.05),
        stop=tenacity.stop_after_delay(_PATIENCE),
        reraise=True,
    ):
        with attempt:
            return _try(api, lab, node)
    raise AssertionError("unreachable: tenacity returns or raises")


def _try(api: APIClient, lab: str, node: str) -> Stream:
    from docker.errors import APIError

    name = helper_name(lab, node)
    if node not in helpers(api, lab):
        _create(api, lab, node, name)
    try:
        stream = Stream(api, name, _RELAY)
    except APIError as error:  # it has ended meanwhile
        raise _NotYet(f"Docker did not reach the conditioner of {node}: {error.explanation}") from None
    try:
        stream.send(protocol.encode_line({"op": "list", "id": 0}))
        # What Docker says when the container ends at this moment comes on the same stream, as if the program said it.
        protocol.decode_line(stream.readline(_REPLY))
    except (StreamClosed, TimeoutError, protocol.ProtocolError) as error:
        stream.close()
        raise _NotYet(f"the conditioner of {node} did not come up: {error}; {_log(api, name)}") from None
    return stream


class _NotYet(EnvironmentProblem):
    """May go better in a moment."""


def _create(api: APIClient, lab: str, node: str, name: str) -> None:
    from docker.errors import APIError, NotFound

    image = _image()
    host_config = api.create_host_config(
        network_mode=f"container:{labels.container_name(lab, node)}",
        cap_drop=["ALL"],
        cap_add=["NET_ADMIN"],
        security_opt=["no-new-privileges"],
        read_only=True,
        tmpfs={"/run": "size=1m"},
        pids_limit=64,
        mem_limit=_MEMORY,
        auto_remove=True,  # it ends by itself, and nothing is left of it
    )
    marks = {labels.LAB: lab, labels.HELPER: node}
    try:
        api.create_container(image, _COMMAND, name=name, user="0:0", labels=marks, host_config=host_config)
        api.start(name)
    except NotFound:
        raise EnvironmentProblem(f"{node} has no container; `dnslab up` makes it") from None
    except APIError as error:
        reason = str(error.explanation)
        if error.status_code == 409 and "already in use" in reason:
            _clear_away(api, name)
            raise _NotYet(f"Docker did not make the helper of {node}: {reason}") from None
        _clear_away(api, name)
        if "running" in reason:
            raise EnvironmentProblem(
                f"{node} does not run, so it has no link; `dnslab start {node}` starts it"
            ) from None
        raise EnvironmentProblem(f"Docker did not start the helper of {node}: {reason}") from None


def _clear_away(api: APIClient, name: str) -> None:
    """Remove a helper that was made and never started; one that runs, or is on its way, is left alone."""
    from docker.errors import APIError

    try:
        if api.inspect_container(name)["State"]["Status"] == "created":
            api.remove_container(name)
    except APIError:
        return  # gone, or somebody else has started it: both are fine


def _image() -> str:
    client = connect()
    try:
        return ensure_images(client, [IMAGE])[IMAGE]
    finally:
        client.close()


def _log(api: APIClient, name: str) -> str:
    from docker.errors import APIError

    try:
        return api.logs(name, tail=3).decode(errors="replace").strip() or "it has logged nothing"
    except APIError:
        return "its container is gone"


def _states(objects: Sequence[Mapping[str, Any]]) -> list[State]:
    return [State.from_json(obj) for obj in objects]
