"""Helper containers: programs of our own that share a node's network namespace, made when first needed.

A helper has one capability and nothing else; it ends by itself when nobody is connected, or when its node has stopped.
It is spoken to over one kept stream, one JSON object a line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import tenacity

from lab.agent import protocol
from lab.errors import EnvironmentProblem
from lab.runtime import labels
from lab.runtime.engine import connect
from lab.runtime.events import Report, silent
from lab.runtime.images import ensure_images, image_reference
from lab.runtime.stream import Stream, StreamClosed

if TYPE_CHECKING:
    from docker import APIClient

_PATIENCE = 20.0  # seconds for the helper to come up, a former one to go; a busy machine is slow
_REPLY = 15.0  # seconds for the first reply


@dataclass(frozen=True)
class Helper:
    """One kind of helper."""

    image: str  # also says which kind it is
    command: tuple[str, ...]
    relay: tuple[str, ...]  # run in it, leads our stream to the program
    hello: Mapping[str, Any]  # a request that is always answered: whoever answers it is up
    capability: str
    memory: int  # octets at the most


def name(lab: str, node: str, helper: Helper) -> str:
    """Name of the container in which a node's helper runs; a node's name has no dot in it."""
    return f"{labels.container_name(lab, node)}.{helper.image}"


def running(api: APIClient, lab: str, helper: Helper) -> dict[str, str]:
    """The helpers of one kind that run in a lab: node -> container id."""
    wanted = [f"{labels.LAB}={lab}", f"{labels.KIND}={helper.image}"]
    return {entry["Labels"][labels.HELPER]: entry["Id"] for entry in api.containers(filters={"label": wanted})}


def start(api: APIClient, lab: str, node: str, helper: Helper) -> None:
    """Start a node's helper ahead of its first use; it ends by itself when that does not come.

    Raises `EnvironmentProblem`, for one when the node does not run.
    """
    try:
        _create(api, lab, node, helper)
    except _NotYet:
        return  # somebody else has, or a former one is about to go: `attach` sees to that


def prepare(helpers: Iterable[Helper], report: Report = silent) -> None:
    """See that the images of helpers are there; half a minute on a machine on which none has run before.

    For who cannot wait for that at their first use. Raises `EnvironmentProblem`.
    """
    with closing(connect()) as client:
        ensure_images(client, [helper.image for helper in helpers], report)


def attach(api: APIClient, lab: str, node: str, helper: Helper) -> Stream:
    """A stream to a node's helper, which is started if need be, and once more if it was just about to end.

    Raises `EnvironmentProblem`, for one when the node does not run.
    """
    for attempt in tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(_NotYet),
        wait=tenacity.wait_fixed(0.05),
        stop=tenacity.stop_after_delay(_PATIENCE),
        reraise=True,
    ):
        with attempt:
            return _try(api, lab, node, helper)
    raise AssertionError("unreachable: tenacity returns or raises")


def _try(api: APIClient, lab: str, node: str, helper: Helper) -> Stream:
    container = name(lab, node, helper)
    if node not in running(api, lab, helper):
        _create(api, lab, node, helper)
    try:
        stream = Stream(api, container, list(helper.relay))
    except EnvironmentProblem as error:  # it has ended meanwhile
        raise _NotYet(str(error)) from None
    try:
        stream.send(protocol.encode_line(helper.hello))
        # What Docker says when the container ends at this moment comes on the same stream, as if the program said it.
        protocol.decode_line(stream.readline(_REPLY))
    except (StreamClosed, TimeoutError, protocol.ProtocolError) as error:
        stream.close()
        raise _NotYet(f"the {helper.image} of {node} did not come up: {error}; {_log(api, container)}") from None
    return stream


class _NotYet(EnvironmentProblem):
    """May go better in a moment."""


def _create(api: APIClient, lab: str, node: str, helper: Helper) -> None:
    from docker.errors import APIError, ImageNotFound, NotFound

    container = name(lab, node, helper)
    host_config = api.create_host_config(
        network_mode=f"container:{labels.container_name(lab, node)}",
        cap_drop=["ALL"],
        cap_add=[helper.capability],
        security_opt=["no-new-privileges"],
        read_only=True,
        tmpfs={"/run": "size=1m"},
        pids_limit=64,
        mem_limit=helper.memory,
        auto_remove=True,  # it ends by itself, and nothing is left of it
    )
    marks = {labels.LAB: lab, labels.HELPER: node, labels.KIND: helper.image}

    def create() -> None:
        image, command = image_reference(helper.image), list(helper.command)
        api.create_container(image, command, name=container, user="0:0", labels=marks, host_config=host_config)

    try:
        try:
            create()
        except ImageNotFound:  # asked for when it is missing, and not each time: to look takes Docker longer
            prepare([helper])
            create()
        api.start(container)
    except NotFound:
        raise EnvironmentProblem(f"{node} has no container; `dnslab up` makes it") from None
    except APIError as error:
        reason = str(error.explanation)
        _clear_away(api, container)
        if error.status_code == 409 and "already in use" in reason:
            raise _NotYet(f"Docker did not make the helper of {node}: {reason}") from None
        if "running" in reason:
            raise EnvironmentProblem(
                f"{node} does not run, so it has no link; `dnslab start {node}` starts it"
            ) from None
        raise EnvironmentProblem(f"Docker did not start the helper of {node}: {reason}") from None


def _clear_away(api: APIClient, container: str) -> None:
    """Remove a helper that was made and never started; one that runs, or is on its way, is left alone."""
    from docker.errors import APIError

    try:
        if api.inspect_container(container)["State"]["Status"] == "created":
            api.remove_container(container)
    except APIError:
        return  # gone, or somebody else has started it: both are fine


def _log(api: APIClient, container: str) -> str:
    from docker.errors import APIError

    try:
        return api.logs(container, tail=3).decode(errors="replace").strip() or "it has logged nothing"
    except APIError:
        return "its container is gone"
