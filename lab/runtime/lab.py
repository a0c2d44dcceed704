"""A lab that is up, as an object: its nodes, its links, its clock, and questions asked from inside it."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, TypedDict

from lab import labs
from lab.agent.protocol import ProtocolError, Query, Transport
from lab.errors import BadInput, EnvironmentProblem, LabError
from lab.runtime import containers, labels, links, memory, network, programs, raising
from lab.runtime.answer import Answer
from lab.runtime.clock import SKEW, Clock
from lab.runtime.conditioners import Conditioners
from lab.runtime.engine import connect
from lab.runtime.events import Report, silent
from lab.runtime.ledger import Ledger
from lab.runtime.lock import locked
from lab.runtime.lowering import lower
from lab.runtime.node import NodeHandle
from lab.runtime.owner import owner_mark
from lab.runtime.parallel import each, uninterrupted
from lab.runtime.prober import Prober
from lab.runtime.program import Program
from lab.runtime.readiness import DEADLINE, checks, wait_ready
from lab.runtime.reaper import reaping
from lab.topology.declaration import LABEL, Declaration
from lab.topology.derive import derive
from lab.topology.model import Node, Role, Topology

if TYPE_CHECKING:
    from docker import APIClient, DockerClient
    from typing_extensions import Self, Unpack

    from lab.runtime.programs import Options

STUB_TIMEOUT = 5.0  # seconds an attempt, and rounds over the servers: the defaults of resolv.conf(5)
STUB_ATTEMPTS = 2


class How(TypedDict, total=False):
    """How a question is asked.

    Without `at` it is asked as the host's programs would: the resolvers of its resolv.conf in turn, 5 s and two rounds,
    and again over TCP when truncated.
    """

    host: str | None  # node that asks; default: the first host
    at: str | None  # one node to ask instead of the host's resolvers, in one round
    transport: Transport
    ipv6: bool  # ask at the IPv6 address
    recurse: bool  # RD
    dnssec_ok: bool  # DO (RFC 3225)
    tcp_fallback: bool  # ask again over TCP when TC is set; default: yes
    timeout: float | None  # seconds an attempt
    attempts: int | None  # rounds over the servers


class RunningLab:
    """A lab that is up, as the modules see it that break and watch it; people use `lab.Lab`, which adds those.

    Get one by `up`, which makes it, `attach`, which finds it, or `temporary`, which also removes it.
    As a context manager it closes its connections at the end; the lab stays up.
    """

    def __init__(self, client: DockerClient, name: str, topology: Topology, prober: Prober | None = None) -> None:
        self._client, self.name, self.topology = client, name, replace(topology, lab=name)
        self.changed: tuple[str, ...] = ()
        self._marks: Mapping[str, str] = {}
        self.clock = Clock(self.prober, name)
        self.ledger = Ledger(client.api, name)
        self._probers: dict[str, Prober] = {}
        self._opening = threading.Lock()
        if prober is not None:
            self._probers[topology.hosts[0].name] = prober
        self.links = Conditioners(
            client.api, name, lambda node: self._wait_answers(topology.nodes[node]), links.rules(topology)
        )
        self.watching: list[Callable[[str], None]] = []  # each is called with a node that was started, when it answers
        self.closing: list[Callable[[], None]] = []  # what is open on this lab, to be ended before it
        self.nodes: Mapping[str, NodeHandle] = {node.name: self._handle(node) for node in topology.nodes.values()}

    @classmethod
    def up(
        cls,
        source: str | Declaration = labs.DEFAULT,
        *,
        name: str | None = None,
        report: Report = silent,
        marks: Mapping[str, str] | None = None,
    ) -> Self:
        """Bring a lab up and wait until every node answers; changes only what is not yet as declared.

        `source` is the name of a lab that comes with dnslab, the path of a lab file, or a declaration; `name` lets
        several labs be up from one declaration. Raises `BadInput`, `EnvironmentProblem` and `NodeFailed`.
        """
        declaration = labs.load(source) if isinstance(source, str) else source
        name = checked_name(name or declaration.lab)
        client = connect()
        with locked(name):
            raised = raising.bring_up(client, name, declaration, report, marks or {})
        lab = cls(client, name, raised.topology, raised.prober)
        lab.changed, lab._marks = raised.changed, marks or {}
        return lab

    @classmethod
    def attach(cls, name: str | None = None) -> Self:
        """The lab called `name`, or the only one there is. Raises `BadInput` when it is not up."""
        client = connect()
        name = memory.choose(client.api, name)
        declaration, subnets = memory.recall(client.api, name), network.find(client.api, name)
        if declaration is None or subnets is None:
            raise EnvironmentProblem(
                f"lab {name} is half there: its `up` was killed; `dnslab up` completes it, `dnslab down` removes it"
            )
        return cls(client, name, derive(declaration, subnets))

    @classmethod
    @contextmanager
    def temporary(
        cls, source: str | Declaration = labs.DEFAULT, *, name: str | None = None, report: Report = silent
    ) -> Iterator[Self]:
        """A lab that lives as long as the block; if this process dies before its end, another one removes the lab."""
        declaration = labs.load(source) if isinstance(source, str) else source
        name = name or f"{declaration.lab[:24]}-{os.getpid()}"
        with reaping():
            try:
                with cls.up(declaration, name=name, report=report, marks={labels.OWNER: owner_mark()}) as lab:
                    yield lab
            finally:
                with uninterrupted():
                    cls.down(name)

    def wait_ready(self, patience: float = DEADLINE) -> None:
        """Wait until every node answers, each authority for all its zones; milliseconds when they do.

        Raises `EnvironmentProblem` after `patience` seconds, with what was not answered.
        """
        wait_ready(
            self.prober(), checks(self.topology, self.topology.nodes.values(), resolution=False), lambda: None, patience
        )

    def mend(self) -> tuple[str, ...]:
        """Make it whole, in place, as `up` does: what has stopped goes on, what is gone is made; the nodes made.

        Faults are left alone. Raises `EnvironmentProblem`, also when the whole lab is gone: there is nothing to mend.
        """
        with locked(self.name):
            declaration = memory.recall(self.api, self.name)
            if declaration is None or self.gone:
                raise self.gone_problem()
            raised = raising.bring_up(self._client, self.name, declaration, silent, self._marks)
        raised.prober.close()
        return raised.changed

    @classmethod
    def down(cls, name: str) -> int:
        """Remove all of a lab, whatever state it is in; how many containers there were. Nothing there is fine."""
        client = connect()
        with locked(name):
            return lower(client.api, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close what this process holds open, observations too, and heal the links it disturbs; the lab stays up."""
        for end in list(self.closing):
            with suppress(LabError):  # it has ended with its node
                end()
        self.links.close()
        for prober in self._probers.values():
            prober.close()
        self._probers.clear()
        for node in self.nodes.values():
            node.close()
        self._client.close()

    def node(self, name: str) -> NodeHandle:
        """The node called `name`, by node name, DNS name or address. Raises `BadInput`."""
        return self.nodes[self.topology.node(name).name]

    @property
    def gone(self) -> bool:
        """Whether it was taken down."""
        return network.find(self.api, self.name) is None

    def gone_problem(self) -> EnvironmentProblem:
        """What to tell who cannot go on because of that."""
        return EnvironmentProblem(f"lab {self.name} is gone: somebody took it down")

    @property
    def api(self) -> APIClient:
        """The Docker API the lab is on, for the modules of this package."""
        return self._client.api

    @property
    def resolvers(self) -> Sequence[NodeHandle]:
        """The local resolvers."""
        return [self.nodes[node.name] for node in self.topology.resolvers]

    @property
    def gateway_port(self) -> int | None:
        """The port on the loopback of the machine that leads to the gateway; None without one."""
        found = containers.containers(self._client.api, self.name)
        return next((container.port for container in found.values() if container.port is not None), None)

    @property
    def gateway(self) -> tuple[str, int]:
        """Address and port of the lab's resolvers for a process on this machine, over UDP and TCP.

        Raises `BadInput` where the lab has no gateway, `EnvironmentProblem` where it does not run.
        """
        if not (gateways := self.topology.of_role(Role.GATEWAY)):
            raise BadInput(f"lab {self.name} has no gateway; `gateway: {{port: 5300}}` in its lab file makes one")
        if (port := self.gateway_port) is None:
            name = gateways[0].name
            raise EnvironmentProblem(f"{name} is {self.nodes[name].state}; `dnslab up` mends it")
        return containers.LOOPBACK, port

    def containers(self) -> dict[str, containers.Container]:
        """What Docker has of this lab, by node."""
        return containers.containers(self._client.api, self.name)

    def prober(self, host: str | None = None) -> Prober:
        """The prober in a host (default: the first), started when first needed."""
        node = self.host(host)
        with self._opening:
            if node.name not in self._probers or self._probers[node.name].ended:
                state = self.nodes[node.name].state
                if state != "running":
                    raise EnvironmentProblem(f"{node.name} is {state}: queries are sent from it; `dnslab up` mends it")
                container = labels.container_name(self.name, node.name)
                self._probers[node.name] = Prober(self._client.api, container, node.name)
            return self._probers[node.name]

    def query(self, name: str, type: str = "A", **how: Unpack[How]) -> Answer:
        """Ask one question from inside the lab, in the way that `How` describes.

        Raises `BadInput` for what cannot be asked.
        """
        [answer] = self.ask([self.question(name, type, **how)], host=how.get("host"))
        return answer

    def question(self, name: str, type: str = "A", *, when: float | None = None, **how: Unpack[How]) -> Query:
        """The question that `query` asks, for `ask` to ask many at once; `when`: seconds after the batch's start."""
        at, host, ipv6 = how.get("at"), how.get("host"), how.get("ipv6", False)
        timeout, attempts = how.get("timeout"), how.get("attempts")
        if at is not None:
            asked = [self.topology.node(at)]
        else:
            asked = [self.topology.nodes[resolver] for resolver in self.host(host).resolvers]
        try:
            return Query(
                name if name.endswith(".") else f"{name}.",
                type.upper(),
                tuple(str(node.ipv6 if ipv6 else node.ipv4) for node in asked),
                transport=how.get("transport", "udp"),
                recurse=how.get("recurse", True),
                dnssec_ok=how.get("dnssec_ok", False),
                tcp_fallback=how.get("tcp_fallback", True),
                timeout=STUB_TIMEOUT if timeout is None else timeout,
                attempts=(STUB_ATTEMPTS if at is None else 1) if attempts is None else attempts,
                at=when,
            )
        except ProtocolError as error:
            raise BadInput(str(error)) from None

    def ask(self, queries: Sequence[Query], *, host: str | None = None, window: int = 64) -> list[Answer]:
        """Ask many questions from one host, at most `window` at once; answers in the order of the questions.

        Raises `BadInput` for a question that cannot be asked.
        """
        asker = self.host(host).name
        names = {address: node.name for node in self.topology.nodes.values() for address in node.addresses}
        answers = []
        for query, result in zip(queries, self.prober(asker).ask(queries, window), strict=True):
            if result.outcome == "error":
                raise BadInput(f"cannot ask {query.name} {query.type}: {result.reason}")
            answers.append(Answer(query, result, asker, names.get(result.server, result.server)))
        return answers

    def run(self, command: Sequence[str] | None = None, *, at: str | None = None, **how: Unpack[Options]) -> Program:
        """Run a program in the lab, at the host `at` (default: the first): with its addresses and its resolvers.

        `command`: the program and its arguments (default: what the image is for). With `how`: its image, name,
        environment, files, user and limits; see `lab.runtime.programs.Options`. It has no capability but those it is
        given, and may listen on any port.

        Returns as soon as it was started. It runs until it ends, is removed, or the lab is taken down; what is done to
        the host is done to it, so a stopped host ends it. Raises `BadInput` for an image, a command or a user that is
        not there, `EnvironmentProblem`, for one when the host does not run.
        """
        return programs.run(self._client.api, self.name, self.host(at, "programs run at").name, command, how)

    @property
    def programs(self) -> list[Program]:
        """The programs that were run and not removed, first ones first, whoever ran them; some may have ended."""
        return programs.programs(self._client.api, self.name)

    def flush(self, resolver: str | None = None, *, name: str | None = None) -> None:
        """Empty the caches of all nodes that have one or of one node, or have them forget one owner name."""
        caches = [handle for handle in self.nodes.values() if handle.node.caches]
        chosen = caches if resolver is None else [self.node(resolver)]
        each(lambda handle: handle.flush(name), chosen)

    def reset_clock(self) -> None:
        """Put the lab's clock back to real time, restarting the nodes that are on it: time never goes back on them.

        Skews end with that: all nodes have one time again.
        """
        riding = [node for node in self.nodes.values() if node.node.on_lab_clock]
        with self.ledger.held():
            each(lambda handle: handle.stop(), riding)
            self.clock.zero()
            for entry in self.ledger.entries():
                if SKEW in entry.data:
                    self.ledger.strike(entry.id)
        each(lambda handle: handle.start(), riding)

    def host(self, name: str | None = None, what: str = "queries are sent from") -> Node:
        """The host called `name`, by default the first one. Raises `BadInput` for a node that is none."""
        node = self.topology.hosts[0] if name is None else self.topology.node(name)
        if node.role is not Role.HOST:
            hosts = ", ".join(host.name for host in self.topology.hosts)
            raise BadInput(f"{what} a host, and {node.name} is a {node.role.value} (hosts: {hosts})")
        return node

    def _handle(self, node: Node) -> NodeHandle:
        return NodeHandle(self.api, self.name, node, self._wait_node)

    def _wait_node(self, node: Node) -> None:
        if node.role is Role.HOST:
            with self._opening:
                if (old := self._probers.pop(node.name, None)) is not None:
                    old.close()
        if not self.links.resume(node.name):
            self._wait_answers(node)
        for resume in list(self.watching):
            resume(node.name)

    def _wait_answers(self, node: Node) -> None:
        if node.role is Role.HOST:
            return
        wanted = checks(self.topology, [node], resolution=False)
        wait_ready(self.prober(), wanted, lambda: self._still_running(node))

    def _still_running(self, node: Node) -> None:
        state = self.nodes[node.name].state
        if state != "running":
            log = "\n".join(f"  {line}" for line in self.nodes[node.name].logs(tail=12))
            raise EnvironmentProblem(f"{node.name} is {state} instead of running; its last log lines:\n{log}")


def checked_name(name: str) -> str:
    """`name`, if a lab can be called so; else `BadInput` is raised."""
    if not re.fullmatch(LABEL, name):
        raise BadInput(f"{name!r} cannot be the name of a lab: lower-case letters, digits and hyphens, at most 42")
    return name
