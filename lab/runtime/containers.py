"""Containers of a lab: made from specs, found by labels."""

from __future__ import annotations

import errno
import io
import socket
import struct
import tarfile
import threading
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from lab.errors import EnvironmentProblem
from lab.runtime import labels
from lab.runtime.spec import FOLDER, ContainerSpec

if TYPE_CHECKING:
    from docker import APIClient

_OUTSIDE = "bridge"  # Docker's ordinary network: the gateway stands on it too, to be reached from the machine
LOOPBACK = "127.0.0.1"  # of this machine, where the gateway is published
_PORTS_TO_TRY = 200
_LAST_PORT = 65535
_GOING = 20.0  # seconds for a container that Docker is removing already to be gone
_CONCERNED = {"kill": ("running", "paused"), "pause": ("running",), "unpause": ("paused",)}  # states, by verb
CLOCKS = "clock"  # folder of the volume with the clock of each node
# Docker counts the endpoints of a network, and 20.10 loses count when many leave it at the same time: in its libnetwork
# (`atomicIncDecEpCnt`) two of them can share a counter, and what one reads anew, as a third has changed it, overwrites
# what the other has just taken off. A network with too high a count cannot be removed until Docker is restarted.
# Left by eight at a time 9 of 212 networks could not be removed, by three 2 of 90, by two none. Joins do no harm.
_LEAVING = threading.BoundedSemaphore(2)


@dataclass(frozen=True)
class Container:
    """A container that exists."""

    id: str
    node: str
    digest: str
    state: str  # as Docker says: created, running, paused, restarting, exited, dead
    labels: Mapping[str, str]
    port: int | None  # published on the loopback

    @property
    def running(self) -> bool:
        """Whether its program runs, and is not paused."""
        return self.state == "running"


def containers(api: APIClient, lab: str) -> dict[str, Container]:
    """The containers of all nodes of a lab, running or not; helpers are not among them."""
    entries = api.containers(all=True, filters=labels.of_lab(lab))
    found = [_container(entry) for entry in entries if labels.NODE in entry["Labels"]]
    return {container.node: container for container in found}


def create(api: APIClient, lab: str, spec: ContainerSpec, marks: Mapping[str, str]) -> str:
    """Create the container of `spec`, not started, and return its id; `marks` are further labels.

    Raises `EnvironmentProblem` with Docker's reason.
    """
    from docker.errors import APIError

    node = spec.node
    host_config: dict[str, Any] = {
        **spec.limits,
        "network_mode": labels.network_name(lab),
        # Hosts hold the pen: the files of all nodes and the lab's clock are written through them.
        "binds": [f"{labels.volume_name(lab)}:{FOLDER}:{'rw' if spec.is_machine else 'ro'}"],
    }
    if node.port is not None:
        host_config["port_bindings"] = {"53/udp": (LOOPBACK, node.port), "53/tcp": (LOOPBACK, node.port)}
    try:
        return _create(api, lab, spec, host_config, marks)
    except APIError as error:
        raise EnvironmentProblem(f"Docker did not create {node.name}: {error.explanation}") from None


def _create(
    api: APIClient, lab: str, spec: ContainerSpec, host_config: dict[str, Any], marks: Mapping[str, str]
) -> str:
    node = spec.node
    endpoint = api.create_endpoint_config(ipv4_address=str(node.ipv4), ipv6_address=str(node.ipv6))
    endpoints: Any = {labels.network_name(lab): endpoint}  # the stubs of `docker` have one level less
    created = api.create_container(
        spec.image,
        list(spec.command),
        name=labels.container_name(lab, node.name),
        hostname=node.name,
        user=spec.user,
        ports=[(53, "udp"), (53, "tcp")] if node.port is not None else None,
        stop_signal=spec.stop_signal,
        labels={
            labels.LAB: lab,
            labels.NODE: node.name,
            labels.ROLE: node.role.value,
            labels.PROGRAM: node.program or "",
            labels.SPEC: spec.digest,
            **marks,
        },
        host_config=api.create_host_config(**host_config),
        networking_config=api.create_networking_config(endpoints),
    )
    container: str = created["Id"]
    if node.port is not None:
        api.connect_container_to_network(container, _OUTSIDE)
    return container


def end(api: APIClient, container: str, patience: int) -> None:
    """Send a container its stop signal, after `patience` seconds SIGKILL; it leaves the network."""
    with _LEAVING:
        api.stop(container, timeout=patience)


def kill(api: APIClient, container: str) -> None:
    """Send a container SIGKILL, and wait until it has ended; it leaves the network."""
    with _LEAVING:
        api.kill(container)
        api.wait(container)


def start(api: APIClient, lab: str, spec: ContainerSpec, container: str, marks: Mapping[str, str]) -> int | None:
    """Start a container that was created from `spec`; return the port it is published on, if it is the gateway.

    A port that is in use gives way to the next free one, in a container made anew. Raises `EnvironmentProblem` with
    Docker's reason.
    """
    from docker.errors import APIError

    wanted = spec.node.port
    # The digest of what was wanted: a port that gave way is no change of the declaration, and `up` leaves it alone.
    marks = {**marks, labels.SPEC: spec.digest}
    for port in [None] if wanted is None else range(wanted, min(wanted + _PORTS_TO_TRY, _LAST_PORT + 1)):
        if port is not None and not _is_free(port):
            continue
        try:
            if port != spec.node.port:
                api.remove_container(container, force=True)
                spec = replace(spec, node=replace(spec.node, port=port))
                container = create(api, lab, spec, marks)
            api.start(container)
        except APIError as error:
            reason = str(error.explanation or "")
            if port is None or not ("already allocated" in reason or "already in use" in reason):
                raise EnvironmentProblem(f"Docker did not start {spec.node.name}: {reason}") from None
        else:
            return port
    raise EnvironmentProblem(f"no free port for the gateway, from {wanted} on; set `gateway: {{port: ...}}`")


def _is_free(port: int) -> bool:
    """Whether nobody on this machine has the port; Docker takes half a second to find that out, and has the last word.

    It is asked all the same: another one may be quicker, and it may be on another machine.
    """
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(kind is socket.SOCK_STREAM))
            try:
                trial.bind((LOOPBACK, port))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    return False
    return True


def remove(api: APIClient, ids: Iterable[str]) -> None:
    """Remove containers, running or not; one that is gone already is fine."""
    import tenacity
    from docker.errors import APIError, NotFound

    from lab.runtime.parallel import each

    def is_going(error: BaseException) -> bool:
        # A helper that has just ended is being removed by Docker itself; it has to be gone before its network can go.
        return isinstance(error, APIError) and "already in progress" in str(error.explanation)

    @tenacity.retry(
        retry=tenacity.retry_if_exception(is_going),
        wait=tenacity.wait_fixed(0.1),
        stop=tenacity.stop_after_delay(_GOING),
        reraise=True,
    )
    def remove_one(container: str) -> None:
        try:
            with _LEAVING:
                api.remove_container(container, force=True, v=True)
        except NotFound:
            return

    each(remove_one, ids)


def life(api: APIClient, container: str) -> str:
    """When a container was started, as Docker says, which made its network namespace; empty if it does not run."""
    from docker.errors import NotFound

    try:
        state = api.inspect_container(container)["State"]
    except NotFound:
        return ""
    return str(state["StartedAt"]) if state["Running"] else ""


def programs_too(api: APIClient, lab: str, host: str, verb: Literal["kill", "pause", "unpause"]) -> None:
    """Do to the programs at a host what was done to the host: its machine ended, froze, or goes on."""
    from docker.errors import APIError

    from lab.runtime.parallel import each

    def do(container: str) -> None:
        try:
            getattr(api, verb)(container)
            if verb == "kill":
                api.wait(container)
        except APIError as error:
            if error.status_code not in (404, 409):  # it was removed, or has ended, a moment ago
                raise

    found = api.containers(filters=labels.of_programs(lab, host))
    each(do, [entry["Id"] for entry in found if entry["State"] in _CONCERNED[verb]])


def go_on(api: APIClient, lab: str, container: Container) -> None:
    """Let the container of a node run again, whatever was done to it."""
    if container.state == "paused":
        api.unpause(container.id)
        programs_too(api, lab, container.node, "unpause")
    elif container.state != "running":
        api.start(container.id)


def revive(api: APIClient, lab: str, node: str) -> None:
    """Let a node's container run again; no container is fine, the lab is down."""
    from docker.errors import NotFound

    try:
        if (found := containers(api, lab).get(node)) is not None:
            go_on(api, lab, found)
    except NotFound:
        return


def crash(api: APIClient, lab: str, node: str) -> bool:
    """End a node's program at once (SIGKILL); whether it ran."""
    from docker.errors import NotFound

    try:
        if (found := containers(api, lab).get(node)) is None or not found.running:
            return False
        kill(api, found.id)
        programs_too(api, lab, node, "kill")
    except NotFound:
        return False
    return True


def put_files(api: APIClient, container: str, files: Mapping[str, bytes], ahead: float = 0.0) -> None:
    """Write files into the lab's volume through a container that may write to it; paths are relative to the volume.

    `ahead`: seconds by which the clock of their reader is ahead. Some programs compare the time of a file with the
    time by their own clock at which they last read it (BIND does).
    """
    buffer, now = io.BytesIO(), time.time() + ahead
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            entry.mode = 0o644
            entry.mtime = now  # programs reload what has a newer time than before
            archive.addfile(entry, io.BytesIO(content))
    api.put_archive(container, FOLDER, buffer.getvalue())


def clock_of(api: APIClient, container: str, besides: Collection[str], skews: Mapping[str, int]) -> int:
    """How far the lab's clock is ahead, nanoseconds: the least offset in the volume, without the known skews.

    Others, of nodes that were moved on their own, only add to it. `container` may be stopped, or not yet started; the
    nodes `besides` do not count.
    """
    offsets = clocks(api, container)
    found = (offset - skews.get(node, 0) for node, offset in offsets.items() if node not in besides)
    return min(found, default=0)


def clocks(api: APIClient, container: str) -> dict[str, int]:
    """How far the clock of each node is ahead, nanoseconds; `container` may be stopped, or not yet started."""
    from docker.errors import NotFound

    try:
        pieces, _ = api.get_archive(container, f"{FOLDER}/{CLOCKS}")
    except NotFound:
        return {}
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as archive:
        return {
            entry.name.rpartition("/")[2]: struct.unpack("=q", content.read(8))[0]
            for entry in archive
            if (content := archive.extractfile(entry)) is not None
        }


def _container(entry: dict[str, Any]) -> Container:
    marks = entry["Labels"]
    ports = [port["PublicPort"] for port in entry.get("Ports") or [] if port.get("PublicPort")]
    return Container(
        entry["Id"],
        marks.get(labels.NODE, ""),
        marks.get(labels.SPEC, ""),
        entry["State"],
        marks,
        ports[0] if ports else None,
    )
