"""Bringing a lab up: from a declaration to running nodes that answer, changing only what must change."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.errors import EnvironmentProblem
from lab.runtime import containers, helper, labels, links, memory, network, zonedata
from lab.runtime.clock import skews
from lab.runtime.conditioner import CONDITIONER
from lab.runtime.containers import Container
from lab.runtime.diagnosis import node_failed
from lab.runtime.events import Event, Report
from lab.runtime.images import ensure_images
from lab.runtime.ledger import Ledger
from lab.runtime.lowering import lower
from lab.runtime.node import NodeHandle
from lab.runtime.parallel import each, uninterrupted
from lab.runtime.prober import Prober
from lab.runtime.readiness import checks, wait_ready
from lab.runtime.sealing import seal
from lab.runtime.spec import ContainerSpec, specs
from lab.software.host import IMAGE as HOST_IMAGE
from lab.topology.addressing import Subnets
from lab.topology.declaration import Declaration
from lab.topology.derive import derive
from lab.topology.model import Role, Topology

if TYPE_CHECKING:
    from docker import APIClient, DockerClient

    from lab.agent.conditions import Rule


@dataclass(frozen=True)
class Raised:
    """A lab that is up."""

    topology: Topology
    prober: Prober
    changed: tuple[str, ...]  # nodes that were made, or made anew


def bring_up(
    client: DockerClient, lab: str, declaration: Declaration, report: Report, marks: Mapping[str, str]
) -> Raised:
    """Make `lab` be what `declaration` says and wait until every node answers; the caller holds the lab's lock.

    Nodes whose spec is unchanged are left alone; stopped and paused ones go on. When interrupted after the first
    change, the whole lab is removed: a half-made one helps nobody. When a node fails, the lab is left for a look.
    """
    api = client.api
    # Whatever can be wrong with the declaration is found before Docker is touched.
    draft = specs(derive(declaration), _AnyImage())
    helpers = {CONDITIONER.image} if declaration.links else set()
    wanted = sorted({spec.image for spec in draft.values()} | helpers)
    images = ensure_images(client, wanted, report)
    raising = _Raising(api, lab, declaration, images, report, marks)
    # Ctrl-C reaches the main thread only. The work is done beside it: a call to Docker that is cut off goes on inside
    # Docker, and makes what nobody would then look for.
    with ThreadPoolExecutor(1, thread_name_prefix="dnslab") as beside:
        work = beside.submit(raising.run)
        try:
            return work.result()
        except (KeyboardInterrupt, SystemExit):
            with uninterrupted():
                raising.interrupted.set()
                if work.exception() is None:
                    work.result().prober.close()
                report(Event(lab, "interrupted; removing what was made"))
                lower(api, lab)
            raise


class _Interrupted(Exception):
    """The work was given up; what has been made is removed by who waits for it."""


class _AnyImage(dict[str, str]):
    """Every image by its own name: for specs of which only the rest matters."""

    def __missing__(self, name: str) -> str:
        return name


@dataclass
class _Raising:
    """The steps of one `up`."""

    api: APIClient
    lab: str
    declaration: Declaration
    images: Mapping[str, str]
    report: Report
    marks: Mapping[str, str]
    writer: str = ""  # the first host: files go into the volume through it, and the prober runs in it
    missing: int = 0  # containers to be made
    started: int = 0
    ids: dict[str, str] = field(default_factory=dict)  # container of each node
    prober: Prober | None = None
    interrupted: threading.Event = field(default_factory=threading.Event)
    links: Mapping[str, Sequence[Rule]] = field(default_factory=dict)  # rules of declared links, by node
    caches: list[NodeHandle] = field(default_factory=list)  # nodes that were started and remember, their shells open

    def run(self) -> Raised:
        topology = derive(self.declaration, self._network())
        self.links = links.rules(topology)
        wanted = specs(topology, self.images)
        present = self._without_stale(wanted)
        self.writer = topology.hosts[0].name
        missing = sorted((spec for name, spec in wanted.items() if name not in present), key=_urgency)
        self.missing = len(missing)
        self._go_on_unless_interrupted()
        self.api.create_volume(labels.volume_name(self.lab), labels={labels.LAB: self.lab})
        memory.remember(self.api, self.lab, self.declaration)
        idle = [container for container in present.values() if not container.running]
        each(self._go_on, idle)
        self.ids |= {name: container.id for name, container in present.items()}
        try:
            if missing:
                self._write_files(topology, missing, self._container(wanted[self.writer]), fresh=not present)
            each(self._start, missing)
            if missing or idle:
                # Not only on a new network: a Docker that was restarted has opened it again, and stopped every node.
                seal(self.api, self.lab, self.images[HOST_IMAGE], self.report)
            self._wait(topology, wanted, self._prober())
            self._go_on_unless_interrupted()
            self._declare_links(anew=not present)
            # Readiness went through the caches: what they learnt is nothing a person asked for.
            each(lambda node: node.flush(), self.caches)
        except BaseException:
            if self.prober is not None:
                self.prober.close()
            raise
        finally:
            each(lambda node: node.close(), self.caches)
        return Raised(topology, self._prober(), tuple(spec.node.name for spec in missing))

    def _declare_links(self, *, anew: bool) -> None:
        """After the wait for answers: what is slow on purpose is not to look as if it were not ready."""
        before = [] if anew else helper.running(self.api, self.lab, CONDITIONER)
        links.declare(self.api, self.lab, {**dict.fromkeys(before, ()), **self.links})

    def _network(self) -> Subnets:
        subnets = network.find(self.api, self.lab)
        before = memory.recall(self.api, self.lab)
        if subnets is not None and before is not None and before.network != self.declaration.network:
            self.report(Event(self.lab, "other subnets: starting anew"))
            lower(self.api, self.lab)
            subnets = None
        return subnets or network.create(self.api, self.lab, self.declaration)

    def _without_stale(self, wanted: Mapping[str, ContainerSpec]) -> dict[str, Container]:
        """The containers that may stay; the others are removed."""
        present = containers.containers(self.api, self.lab)
        stay = {
            name: container
            for name, container in present.items()
            if name in wanted and container.digest == wanted[name].digest and container.state in _SOUND
        }
        stale = [name for name in present if name not in stay]
        containers.remove(self.api, [present[name].id for name in stale])
        for name in stale:
            containers.programs_too(self.api, self.lab, name, "kill")
        return stay

    def _container(self, spec: ContainerSpec) -> str:
        """The container of a node, created when there is none."""
        if spec.node.name not in self.ids:
            self.ids[spec.node.name] = containers.create(self.api, self.lab, spec, self.marks)
        return self.ids[spec.node.name]

    def _write_files(self, topology: Topology, missing: Sequence[ContainerSpec], writer: str, *, fresh: bool) -> None:
        """Put the files of what is missing into the volume, through the container `writer`, and what each clock says.

        Nodes that join a running lab join at its time, those that are there keep theirs. Faults of zone data and of
        clocks that are active stay so, for a node that is made anew too.
        """
        files = {f"{spec.node.name}/{path}": text.encode() for spec in missing for path, text in spec.files.items()}
        joining = [spec.node.name for spec in missing if spec.node.on_lab_clock]
        ledger = Ledger(self.api, self.lab)
        with ledger.held():
            entries = ledger.entries()
            for spec in missing:
                edited = zonedata.files(topology, spec.node, entries)
                files |= {f"{spec.node.name}/{path}": text.encode() for path, text in edited.items()}
            skewed = {node: round(skew.total_seconds() * 1e9) for node, skew in skews(entries).items()}
            ahead = 0 if fresh else containers.clock_of(self.api, writer, joining, skewed)
            clocks = {node: ahead + skewed.get(node, 0) for node in joining}
            files |= {f"{containers.CLOCKS}/{node}": struct.pack("=q", offset) for node, offset in clocks.items()}
            containers.put_files(self.api, writer, files)

    def _go_on_unless_interrupted(self) -> None:
        if self.interrupted.is_set():
            raise _Interrupted

    def _start(self, spec: ContainerSpec) -> None:
        self._go_on_unless_interrupted()
        node = spec.node
        port = containers.start(self.api, self.lab, spec, self._container(spec), self.marks)
        self._count(node.name)
        if port != node.port:
            self.report(Event(node.name, f"port {node.port} is in use; listening on {port} instead"))
        # What takes a moment to get ready does so while the others start.
        if node.name in self.links:
            links.prepare(self.api, self.lab, node.name)
        if node.name == self.writer:
            self._prober()
        elif node.caches:
            handle = NodeHandle(self.api, self.lab, node, lambda _node: None)
            self.caches.append(handle)
            with suppress(EnvironmentProblem):  # it ended right after its start: the wait for answers says why
                handle.run("true")

    def _prober(self) -> Prober:
        if self.prober is None:
            self.prober = Prober(self.api, labels.container_name(self.lab, self.writer), self.writer)
        return self.prober

    def _count(self, node: str) -> None:
        self.started += 1
        self.report(Event(self.lab, f"{node} started", self.started, self.missing))

    def _go_on(self, container: Container) -> None:
        containers.go_on(self.api, self.lab, container)
        self.report(Event(container.node, "started again"))

    def _wait(self, topology: Topology, wanted: Mapping[str, ContainerSpec], prober: Prober) -> None:
        nodes = list(topology.nodes.values())
        self.report(Event(self.lab, "waiting for answers", self.started, max(1, self.missing)))
        look = self._watch(wanted)
        # Resolvers last: asked while the hierarchy is still coming up, they would remember servers as dead.
        servers = [node for node in nodes if node.role.is_server]
        wait_ready(prober, checks(topology, servers, resolution=True), look)
        wait_ready(prober, checks(topology, [node for node in nodes if node not in servers], resolution=True), look)

    def _watch(self, wanted: Mapping[str, ContainerSpec]) -> Callable[[], None]:
        def look() -> None:
            self._go_on_unless_interrupted()
            for name, container in containers.containers(self.api, self.lab).items():
                if container.state in ("exited", "dead") and name in wanted:
                    raise node_failed(self.api, wanted[name], container.id, "ended right after its start")

        return look


def _urgency(spec: ContainerSpec) -> int:
    """What takes longest to start goes first: the host, in which the prober boots, then the gateway with its ports."""
    return {Role.HOST: 0, Role.GATEWAY: 1}.get(spec.node.role, 2)


_SOUND = ("running", "paused", "exited")  # states of a container that can go on
