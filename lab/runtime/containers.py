"""Containers of a lab: made from specs, found by labels."""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab.errors import EnvironmentProblem
from lab.runtime import labels
from lab.runtime.spec import FOLDER, ContainerSpec

if TYPE_CHECKING:
    from docker import APIClient

_OUTSIDE = "bridge"  # Docker's ordinary network: the gateway stands on it too, to be reached from the machine
_PORTS_TO_TRY = 200


@dataclass(frozen=True)
class Container:
    """A container that exists."""

    id: str
    node: str
    role: str
    digest: str
    state: str  # as Docker says: created, running, paused, restarting, exited, dead
    status: str  # for people: "Up 3 minutes"
    image: str
    labels: Mapping[str, str]
    port: int | None  # published on the loopback

    @property
    def running(self) -> bool:
        """Whether its program runs, and is not paused."""
        return self.state == "running"


def containers(api: APIClient, lab: str) -> dict[str, Container]:
    """All containers of a lab by node, running or not."""
    found = [_container(entry) for entry in api.containers(all=True, filters=labels.of_lab(lab))]
    return {container.node: container for container in found}


def create(api: APIClient, lab: str, spec: ContainerSpec, marks: Mapping[str, str]) -> str:
    """Create the container of `spec`, not started, and return its id; `marks` are further labels."""
    node = spec.node
    host_config: dict[str, Any] = {
        **spec.limits,
        "network_mode": labels.network_name(lab),
        # Hosts hold the pen: the files of all nodes and the lab's clock are written through them.
        "binds": [f"{labels.volume_name(lab)}:{FOLDER}:{'rw' if spec.is_machine else 'ro'}"],
    }
    if node.port is not None:
        host_config["port_bindings"] = {"53/udp": ("127.0.0.1", node.port), "53/tcp": ("127.0.0.1", node.port)}
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


def create_and_start(api: APIClient, lab: str, spec: ContainerSpec, marks: Mapping[str, str]) -> int | None:
    """Create and start the container of `spec`; return the port it is published on, if it is the gateway.

    A port that is in use gives way to the next free one.
    """
    from dataclasses import replace

    from docker.errors import APIError

    for attempt in range(_PORTS_TO_TRY):
        container = create(api, lab, spec, marks)
        try:
            api.start(container)
        except APIError as error:
            reason = str(error.explanation or "")
            port = spec.node.port
            if port is None or not ("already allocated" in reason or "already in use" in reason):
                raise EnvironmentProblem(f"Docker did not start {spec.node.name}: {reason}") from None
            api.remove_container(container, force=True)
            if attempt == _PORTS_TO_TRY - 1:
                raise EnvironmentProblem(f"no free port from {port - attempt} to {port} for the gateway") from None
            spec = replace(spec, node=replace(spec.node, port=port + 1))
            continue
        break
    return spec.node.port


def remove(api: APIClient, ids: Iterable[str]) -> None:
    """Remove containers, running or not; one that is gone already is fine."""
    from docker.errors import NotFound

    from lab.runtime.parallel import each

    def remove_one(container: str) -> None:
        try:
            api.remove_container(container, force=True, v=True)
        except NotFound:
            return

    each(remove_one, ids)


def put_files(api: APIClient, container: str, files: Mapping[str, bytes]) -> None:
    """Write files into the lab's volume through a container that may write to it; paths are relative to the volume."""
    buffer, now = io.BytesIO(), time.time()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            entry.mode = 0o644
            entry.mtime = now  # programs reload what has a newer time than before
            archive.addfile(entry, io.BytesIO(content))
    api.put_archive(container, FOLDER, buffer.getvalue())


def _container(entry: dict[str, Any]) -> Container:
    marks = entry["Labels"]
    ports = [port["PublicPort"] for port in entry.get("Ports") or [] if port.get("PublicPort")]
    return Container(
        entry["Id"],
        marks.get(labels.NODE, ""),
        marks.get(labels.ROLE, ""),
        marks.get(labels.SPEC, ""),
        entry["State"],
        entry["Status"],
        entry["Image"],
        marks,
        ports[0] if ports else None,
    )
