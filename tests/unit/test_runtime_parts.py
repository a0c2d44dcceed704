"""Parts of the runtime that need no Docker: what a fault was, what a container is made of, threads, locks, memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any, cast

import pytest
from docker.errors import APIError

from lab import labs
from lab.agent import seal as agent_seal
from lab.errors import BadInput, EnvironmentProblem
from lab.runtime import containers, gc, labels, memory, readiness
from lab.runtime.diagnosis import fault_line
from lab.runtime.doctor import Finding, _unreachable
from lab.runtime.events import Event, silent
from lab.runtime.lock import locked
from lab.runtime.owner import owner_mark, process_start
from lab.runtime.parallel import WORKERS, each, uninterrupted
from lab.runtime.sealing import seal
from lab.runtime.spec import ContainerSpec, specs
from lab.software import program as software
from lab.topology.declaration import Resolver
from lab.topology.derive import derive
from lab.topology.model import Topology


@pytest.fixture(scope="module")
def textbook() -> Topology:
    return derive(labs.load("textbook"))


def made(topology: Topology) -> dict[str, ContainerSpec]:
    return specs(topology, {name: f"{name}:1" for name in map(software.image, topology.nodes.values())})


# Which line of the configuration a program complains about, in the words each program really uses.

TEN_LINES = "".join(f"line {number}\n" for number in range(1, 11))


@pytest.mark.parametrize(
    ("file", "log", "number"),
    [
        ("knot.conf", "error: config, file '/lab/root/knot.conf', line 3, item 'bogus', value '1' (invalid item)", 3),
        ("nsd.conf", "/lab/root/nsd.conf:4: at 'bogus:': error: syntax error", 4),
        ("named.conf", "22-Nov-2026 01:01:06.025 /lab/root/named.conf:3: unknown option 'recurson'", 3),
        ("unbound.conf", "/lab/root/unbound.conf:9: error: unknown keyword 'bogus'", 9),
        ("zones/x.zone", "dns_rdata_fromtext: /lab/root/zones/x.zone:5: near '1.2.3': bad dotted quad", 5),
        ("zones/x.zone", "nsd[7]: error: /lab/root/zones/x.zone:4: invalid IPv4 address '1.2.3'", 4),
    ],
    ids=["knot", "nsd", "bind", "unbound", "zone in bind", "zone in nsd"],
)
def test_the_line_at_fault(file: str, log: str, number: int) -> None:
    files = {"other.conf": "x\n", file: TEN_LINES}
    assert fault_line("root", files, ["started", log, "exiting"]) == (f"/lab/root/{file}", number, f"line {number}")


@pytest.mark.parametrize(
    "log",
    [
        "info: loaded configuration file '/lab/root/knot.conf', mapsize 500 MiB",
        "/lab/root/knot.conf:99: beyond its end",
        "other.conf:3: error",
        "",
    ],
)
def test_no_line_at_fault(log: str) -> None:
    assert fault_line("root", {"knot.conf": TEN_LINES}, [log]) is None


def test_the_first_complaint_is_the_cause() -> None:
    log = ["knot.conf:4: the cause", "knot.conf:8: a consequence"]
    assert fault_line("root", {"knot.conf": TEN_LINES}, log) == ("/lab/root/knot.conf", 4, "line 4")


# Labels and specs.


def test_containers_of_two_labs_never_share_a_name() -> None:
    assert labels.container_name("a-b", "c") != labels.container_name("a", "b-c")
    assert labels.of_lab("x") == {"label": ["dnslab.lab=x"]}


def test_equal_specs_have_equal_digests(textbook: Topology) -> None:
    again = derive(labs.load("textbook"))
    assert {name: spec.digest for name, spec in made(textbook).items()} == {
        name: spec.digest for name, spec in made(again).items()
    }


@pytest.mark.parametrize(
    "change",
    [
        lambda spec: replace(spec, image="knot:2"),
        lambda spec: replace(spec, command=(*spec.command, "-v")),
        lambda spec: replace(spec, files={**spec.files, "more": ""}),
        lambda spec: replace(spec, files=dict.fromkeys(spec.files, "other")),
        lambda spec: replace(spec, stop_signal="SIGQUIT"),
        lambda spec: replace(spec, node=replace(spec.node, ipv4=spec.node.ipv4 + 1)),
        lambda spec: replace(spec, node=replace(spec.node, ipv6=spec.node.ipv6 + 1)),
        lambda spec: replace(spec, node=replace(spec.node, port=5353)),
    ],
    ids=["image", "command", "more files", "other files", "signal", "IPv4", "IPv6", "port"],
)
def test_a_digest_changes_with_everything_a_container_depends_on(
    change: Callable[[ContainerSpec], ContainerSpec], textbook: Topology
) -> None:
    spec = made(textbook)["root-a"]
    assert change(spec).digest != spec.digest


def test_only_hosts_may_write(textbook: Topology) -> None:
    for spec in made(textbook).values():
        assert spec.limits["cap_drop"] == ["ALL"]
        assert spec.limits["read_only"] is not spec.is_machine
        assert (spec.user == "0:0") is spec.is_machine


def test_the_forwarder_of_docker_leads_back_into_the_container(textbook: Topology) -> None:
    assert {tuple(spec.limits["dns"]) for spec in made(textbook).values()} == {("127.0.0.1",)}


def test_another_resolver_concerns_only_the_nodes_that_name_it(textbook: Topology) -> None:
    declaration = labs.load("textbook")
    third = Resolver(program="unbound")
    more = declaration.model_copy(update={"resolvers": {**declaration.resolvers, "resolver-3": third}})
    before, after = made(textbook), made(derive(more))
    changed = {name for name, spec in after.items() if name not in before or spec.digest != before[name].digest}
    assert changed == {"resolver-3", "gateway"}  # the gateway asks all resolvers unless told otherwise


# Readiness.


def test_an_authority_is_asked_for_each_zone_over_both_transports(textbook: Topology) -> None:
    node = textbook.node("gtld-1")
    asked = {(check.query.name, check.query.transport) for check in readiness.checks(textbook, [node], resolution=True)}
    assert asked == {(zone.to_text(), transport) for zone in node.zones for transport in ("udp", "tcp")}


def test_a_resolver_has_to_resolve_the_deepest_zone_only_when_told_to(textbook: Topology) -> None:
    node = textbook.node("resolver-1")
    [full] = readiness.checks(textbook, [node], resolution=True)
    assert isinstance(full, readiness.Resolution)
    assert full.query.name.count(".") == max(len(zone.labels) - 1 for zone in textbook.zones if "arpa" not in str(zone))
    [any_answer] = readiness.checks(textbook, [node], resolution=False)
    assert not any_answer.query.recurse


def test_a_host_is_asked_nothing(textbook: Topology) -> None:
    assert readiness.checks(textbook, [textbook.node("host")], resolution=True) == []


# Threads, locks, interruption.


def test_each_keeps_the_order() -> None:
    assert each(lambda number: number * 2, range(50)) == list(range(0, 100, 2))
    assert each(str, []) == []


def test_each_runs_at_once() -> None:
    together = threading.Barrier(WORKERS, timeout=5)
    assert len(each(lambda _: together.wait(), range(WORKERS))) == WORKERS


def test_after_an_error_nothing_goes_on_behind_the_callers_back() -> None:
    begun: list[int] = []

    def act(number: int) -> None:
        begun.append(number)
        time.sleep(0.01)  # what there is to do
        if number == 0:
            raise ValueError("the first")

    with pytest.raises(ValueError, match="the first"):
        each(act, range(500))
    assert len(begun) < 500
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("dnslab")]


@pytest.mark.parametrize(
    "leave",
    [
        lambda api, container: containers.remove(api, [container]),
        lambda api, container: containers.end(api, container, 1),
        containers.kill,
    ],
    ids=["remove", "end", "kill"],
)
def test_no_more_than_two_leave_their_network_at_a_time(leave: Callable[[Any, str], None]) -> None:
    """Docker loses count of a network's endpoints when three do, and then keeps the network."""
    lock, leaving = threading.Lock(), [0, 0]  # now, and at the most
    crowd = threading.Event()  # a third has come

    class Api:
        def stop(self, _container: str, **_how: object) -> None:
            with lock:
                leaving[0] += 1
                leaving[1] = max(leaving)
                if leaving[0] > 2:
                    crowd.set()
            crowd.wait(0.1)
            with lock:
                leaving[0] -= 1

        remove_container = kill = stop

        def wait(self, _container: str) -> None:
            return

    api = Api()
    each(lambda number: leave(api, f"c{number}"), range(8))
    assert leaving == [0, 2]


def test_an_interruption_waits_for_the_end_of_the_block() -> None:
    done = False
    with pytest.raises(KeyboardInterrupt), uninterrupted():  # noqa: PT012 - the interruption comes at its end
        signal.raise_signal(signal.SIGINT)
        done = True
    assert done
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_lock_is_for_one_at_a_time_and_names_its_holder() -> None:
    name = f"cli-test-{os.getpid()}"
    with locked(name):
        with locked(f"{name}-other", patience=0):
            pass
        held = pytest.raises(EnvironmentProblem, match=f"process {os.getpid()}.* is working on {name}")
        with held, locked(name, patience=0.1):
            pytest.fail("two hold the lock")
    with locked(name, patience=0):
        pass


def test_a_lock_ends_with_its_process() -> None:
    name = f"cli-test-{os.getpid()}"
    program = f"from lab.runtime.lock import locked\nwith locked({name!r}): print('held', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        holder.kill()
        holder.wait()
        with locked(name, patience=2):
            pass


# What Docker remembers for us.


class FakeDocker:
    """As much of the Docker API as the memory and gc use: volumes, networks and containers with labels."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, str]] = {}
        self.nets: list[dict[str, str]] = []
        self.boxes: list[dict[str, str]] = []

    def create_volume(self, name: str, labels: dict[str, str]) -> None:
        self.kept[name] = labels

    def remove_volume(self, name: str) -> None:
        from docker.errors import NotFound

        if self.kept.pop(name, None) is None:
            raise NotFound("no such volume")

    def remove_network(self, number: int) -> None:
        self.nets[number] = {}

    def remove_container(self, number: int, **_: Any) -> None:
        self.boxes[number] = {}

    def volumes(self, filters: Any) -> dict[str, Any]:
        found = [{"Name": name, "Labels": marks} for name, marks in self.kept.items() if _wanted(marks, filters)]
        return {"Volumes": found or None}

    def networks(self, filters: Any) -> list[dict[str, Any]]:
        return [{"Id": n, "Labels": marks} for n, marks in enumerate(self.nets) if _wanted(marks, filters)]

    def containers(self, all: bool, filters: Any) -> list[dict[str, Any]]:
        assert all
        return [{"Id": n, "Labels": marks} for n, marks in enumerate(self.boxes) if _wanted(marks, filters)]


def _wanted(marks: dict[str, str], filters: dict[str, list[str]]) -> bool:
    [label] = filters["label"]
    key, _, value = label.partition("=")
    return key in marks and (not value or marks[key] == value)


@pytest.fixture
def api() -> Any:
    return FakeDocker()


@pytest.mark.parametrize("name", labs.names())
def test_a_declaration_is_recalled_as_it_was(name: str, api: Any) -> None:
    declaration = labs.load(name)
    memory.remember(api, "mine", declaration)
    memory.remember(api, "mine", declaration)
    assert memory.recall(api, "mine") == declaration
    assert memory.recall(api, "other") is None
    memory.forget(api, "mine")
    memory.forget(api, "mine")
    assert memory.recall(api, "mine") is None


def test_a_lab_of_which_anything_is_left_is_known(api: Any) -> None:
    api.nets.append({labels.LAB: "network"})
    api.boxes.append({labels.LAB: "container"})
    api.create_volume("v", {labels.LAB: "volume"})
    api.create_volume("w", {"of": "others"})
    assert memory.labs(api) == ["container", "network", "volume"]


def test_the_lab_a_person_means(api: Any) -> None:
    with pytest.raises(BadInput, match="no lab is up; `dnslab up`"):
        memory.choose(api, None)
    api.nets.append({labels.LAB: "textbook"})
    assert memory.choose(api, None) == "textbook"
    with pytest.raises(BadInput, match="did you mean 'textbook'"):
        memory.choose(api, "textbok")
    api.nets.append({labels.LAB: "minimal"})
    assert memory.choose(api, "minimal") == "minimal"
    with pytest.raises(BadInput, match=r"several labs are up \(minimal, textbook\); say which with --lab"):
        memory.choose(api, None)


# What gc takes.


class Client:
    def __init__(self, api: FakeDocker) -> None:
        self.api = api


@pytest.fixture
def collected(api: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[str, ...]]:
    monkeypatch.setattr(gc.images, "prune", lambda _client: [])
    client: Any = Client(api)
    return lambda **how: gc.collect(client, **how).labs


@pytest.fixture
def dead() -> str:
    """The mark of a process that has ended."""
    program = "from lab.runtime.owner import owner_mark; print(owner_mark())"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()


def up(api: Any, lab: str, owner: str | None = None) -> None:
    api.nets.append({labels.LAB: lab})
    memory.remember(api, lab, labs.load("minimal"))
    api.boxes.append({labels.LAB: lab, **({labels.OWNER: owner} if owner else {})})


def test_gc_takes_what_dead_owners_left_and_what_was_never_finished(
    api: Any, collected: Callable[..., tuple[str, ...]], dead: str
) -> None:
    up(api, "person")
    up(api, "living", owner_mark())
    up(api, "elsewhere", dead.replace(dead.split()[0], "another-machine"))
    up(api, "dead", dead)
    up(api, "reused-process-id", owner_mark().rsplit(" ", 1)[0] + " 1")
    api.nets.append({labels.LAB: "network-only"})
    api.nets.append({labels.LAB: "no-containers"})
    memory.remember(api, "no-containers", labs.load("minimal"))
    api.boxes.append({labels.LAB: "no-network"})
    assert collected() == ("dead", "network-only", "no-containers", "no-network", "reused-process-id")
    assert memory.labs(api) == ["elsewhere", "living", "person"]
    assert collected() == ()
    assert collected(everything=True) == ("elsewhere", "living", "person")
    assert memory.labs(api) == []


def test_gc_leaves_alone_what_is_just_being_made(api: Any, collected: Callable[..., tuple[str, ...]]) -> None:
    lab = f"being-made-{os.getpid()}"
    api.nets.append({labels.LAB: lab})
    with locked(lab):
        assert collected() == ()
    assert collected() == (lab,)


def test_a_process_is_told_apart_by_when_it_began() -> None:
    assert process_start(os.getpid()) == process_start(os.getpid()) != ""
    assert process_start(2**22 + 1) == ""


def test_a_process_that_ended_and_was_not_asked_how_is_dead() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        began = process_start(child.pid)
        assert began
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert process_start(child.pid) == ""


# doctor, where Docker does not answer.


@pytest.fixture
def no_programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for variable in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    return tmp_path


def test_doctor_knows_the_likeliest_remedy(no_programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    silence = "Docker at the default socket does not answer: no daemon listens there.\nStart it"
    assert _unreachable(silence) == Finding(
        "missing", "Docker", "it is not installed", "sudo apt-get install docker.io"
    )
    (no_programs / "docker").touch(mode=0o755)
    assert _unreachable(silence).mend == "sudo systemctl start docker"
    assert _unreachable("Docker may not be used by this user: permission denied on its socket.\nJoin").mend == (
        "sudo usermod -aG docker $USER && newgrp docker"
    )
    assert _unreachable("There is no such Docker context: x.\nSee").mend == "docker context use default"
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere")
    assert _unreachable(silence).mend == "unset DOCKER_HOST"


def test_an_event_is_a_value() -> None:
    event = Event("lab", "started", 1, 5)
    assert event == Event("lab", "started", 1, 5)
    with pytest.raises(FrozenInstanceError):
        event.step = 2  # type: ignore[misc]
    silent(event)


# The bridge.


class _NoHostNetwork:
    """A Docker that gives no container the machine's network."""

    def networks(self, **_: object) -> list[dict[str, str]]:
        return [{"Id": "0123456789abcdef"}]

    def create_host_config(self, **limits: object) -> dict[str, object]:
        assert (limits["cap_drop"], limits["cap_add"]) == (["ALL"], ["NET_ADMIN"])
        return limits

    def create_container(self, *_: object, **__: object) -> dict[str, str]:
        raise APIError("refused", explanation="no host network here")


def test_a_bridge_that_cannot_be_sealed_is_reported_and_no_obstacle() -> None:
    told: list[Event] = []
    seal(cast(Any, _NoHostNetwork()), "x", "host:1", told.append)
    [event] = told
    assert event.text.endswith("within reach of the lab: no host network here")


def test_rtnetlink_messages_are_read_back_as_they_were_written() -> None:
    attributes = agent_seal._attribute(1, b"abc") + agent_seal._attribute(2, b"defg")
    message = agent_seal._message(20, 0, attributes)
    assert [
        (kind, list(agent_seal._attributes(payload))) for kind, payload in agent_seal._messages(message + message)
    ] == [(20, [(1, b"abc"), (2, b"defg")])] * 2


def test_an_interface_that_does_not_exist_is_an_error_of_the_system() -> None:
    with pytest.raises(OSError, match=r"No such device|no interface"):
        agent_seal.seal("br-nobody")
