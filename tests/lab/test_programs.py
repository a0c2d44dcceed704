"""Programs of other people in the lab: name, address, connection, and what becomes of them when something breaks."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from labtools import WITHIN, eventually, in_process, tiny

from lab import BadInput, EnvironmentProblem, Lab, Program, ProgramFailed
from lab.runtime import containers, labels
from lab.runtime.engine import connect
from lab.topology.derive import derive

HERE = Path(__file__).parent
FILES = {f"/srv/{kind}.py": HERE.parent / "sample_project" / f"echo_{kind}.py" for kind in ("tcp", "udp")}
SERVICE, PORT = "echo.example.com", "7"
UNLUCKY = 40.0  # seconds: glibc asks twice for 5 s, and the client tries each address


class Ended(NamedTuple):
    code: int
    output: str


@pytest.fixture(scope="module")
def echo_lab(instance: Callable[[str], str]) -> Iterator[Lab]:
    with Lab.temporary(str(HERE / "echo.yaml"), name=instance("echo")) as lab:
        yield lab


@pytest.fixture
def lab(echo_lab: Lab) -> Lab:
    """The lab with a client, a server and a spare host, as new: here the programs of a failed test go too."""
    for program in echo_lab.programs:
        program.remove()
    echo_lab.reset()
    return echo_lab


@contextmanager
def serving(lab: Lab, kind: str, at: str = "server") -> Iterator[Program]:
    """An echo service that listens."""
    with lab.run(["python3", f"/srv/{kind}.py", "serve", PORT], at=at, files=FILES, name=f"{kind}-echo") as server:
        server.wait_for("listening", timeout=WITHIN)
        yield server


def ended(lab: Lab, command: list[str], **how: Any) -> Ended:
    """What a program at the client said, and how it ended."""
    with lab.run(command, at="client", **how) as program:
        return Ended(program.wait(UNLUCKY), program.output)


def ask(lab: Lab, kind: str, family: str = "", name: str = SERVICE) -> Ended:
    return ended(lab, ["python3", f"/srv/{kind}.py", "ask", name, PORT, "hello", family], files=FILES)


# Name, address, connection


@pytest.mark.parametrize("family", ["4", "6", ""])
@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_a_name_leads_to_a_connection(lab: Lab, kind: str, family: str) -> None:
    client = lab.topology.node("client")
    with serving(lab, kind) as server:
        assert ask(lab, kind, family, "www.example.com") == (0, "hello\n")
        line = server.wait_for("hello from")
    seen = line.rpartition(" ")[2].removeprefix("::ffff:")  # IPv4 on a socket of IPv6
    assert seen in {"4": client.addresses[:1], "6": client.addresses[1:], "": client.addresses}[family]


def test_questions_are_asked_from_the_first_host(lab: Lab) -> None:
    with lab.observe("client", "server", "spare") as seen:
        lab.query("www.example.com")
    assert {query.sender for query in seen.queries()} == {"client"}


def test_whoever_reads_resolv_conf_asks_the_resolvers_of_the_lab(lab: Lab) -> None:
    """As musl, Go and c-ares do; dig is one of them. getaddrinfo is what the echo client goes by."""
    resolver, server = lab.topology.node("resolver"), lab.topology.node("server")
    code, output = ended(lab, ["dig", SERVICE, "AAAA"])
    assert code == 0
    assert re.findall(r"^echo.example.com\..*\sAAAA\s(.*)$", output, re.MULTILINE) == [str(server.ipv6)]
    assert f"SERVER: {resolver.ipv4}#53" in output
    assert ended(lab, ["hostname"]) == (0, "client\n")


def test_a_service_moves_to_another_host(lab: Lab) -> None:
    ipv4, ipv6 = lab.topology.node("spare").addresses
    with serving(lab, "tcp") as server, serving(lab, "tcp", at="spare") as spare:
        with (
            lab.fault("change-record", "authority", record=f"echo A {ipv4}"),
            lab.fault("change-record", "authority", record=f"echo AAAA {ipv6}"),
        ):
            lab.flush()
            for family in "46":
                assert ask(lab, "tcp", family) == (0, "hello\n")
            assert spare.output.count("hello from") == 2
            assert "hello" not in server.output
        lab.flush()
        assert ask(lab, "tcp") == (0, "hello\n")
        assert server.output.count("hello from") == 1


# What a client is told: the name is not known, its resolver does not know, or there is no connection


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_a_name_that_does_not_exist(lab: Lab, kind: str) -> None:
    with serving(lab, kind), lab.fault("remove-delegation", "tld", child="example.com"):
        lab.flush()
        assert ask(lab, kind) == (1, "name: Name or service not known\n")


def test_a_dead_authority_is_no_connection_error(lab: Lab) -> None:
    with serving(lab, "tcp") as server:
        assert ask(lab, "tcp").code == 0
        with lab.fault("stop", "authority"):
            assert ask(lab, "tcp") == (0, "hello\n"), "the cache is warm"
            lab.flush()
            assert ask(lab, "tcp") == (1, "name: Temporary failure in name resolution\n")
        assert server.output.count("hello from") == 2


def test_a_service_that_is_not_there(lab: Lab) -> None:
    assert ask(lab, "tcp") == (1, "connection: Connection refused\n")
    assert ask(lab, "udp") == (1, "connection: Connection refused\n")


@pytest.mark.parametrize(("fault", "said"), [("blackhole", "timed out"), ("reject", "Connection refused")])
@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_faults_of_a_link_meet_programs(lab: Lab, kind: str, fault: str, said: str) -> None:
    """Measured between the two hosts, of which neither is a server."""
    with serving(lab, kind):
        with lab.fault(fault, "server", to="client") as injected:
            print(injected.got)
            assert ask(lab, kind) == (1, f"connection: {said}\n"), "the name is found, its address is not reached"
        assert ask(lab, kind) == (0, "hello\n")


@pytest.mark.parametrize("fault", ["partition", "latency"])
def test_a_distance_between_two_hosts_only(lab: Lab, fault: str) -> None:
    how = {"delay": "1s"} if fault == "latency" else {}
    script = (
        "import socket, sys, time\n"
        "for name in sys.argv[1:]:\n"
        "    begun = time.monotonic()\n"
        "    try: socket.create_connection((name, 7), 4).close()\n"
        "    except TimeoutError: print(name, 'silent')\n"
        "    else: print(name, 'far' if time.monotonic() - begun > 0.9 else 'near')\n"
    )
    # An address each, so that it is the connection alone that takes time.
    near, far = (str(lab.topology.node(name).ipv4) for name in ("spare", "server"))
    with serving(lab, "tcp"), serving(lab, "tcp", at="spare"), lab.fault(fault, "server", to="client", **how) as made:
        print(made.got)
        said = ended(lab, ["python3", "-c", script, near, far]).output
    assert said == f"{near} near\n{far} {'far' if fault == 'latency' else 'silent'}\n"


# Programs and their host


def test_a_frozen_host_freezes_its_programs(lab: Lab) -> None:
    with serving(lab, "tcp") as server:
        with lab.fault("pause", "server"):
            assert server.running
            assert ask(lab, "tcp") == (1, "connection: timed out\n"), "the kernel connects, nobody answers"
        assert ask(lab, "tcp") == (0, "hello\n")


@pytest.mark.parametrize("verb", ["stop", "kill"])
@pytest.mark.parametrize("frozen", [False, True])
def test_a_host_that_ends_takes_its_programs_with_it(lab: Lab, verb: str, frozen: bool) -> None:
    with serving(lab, "udp") as server, serving(lab, "udp", at="spare") as spare:
        if frozen:
            lab.node("server").pause()
        getattr(lab.node("server"), verb)()
        assert (server.running, server.exit_code) == (False, 137)
        with pytest.raises(ProgramFailed, match=r"udp-echo at server ended with exit code 137 and had not said 'x'"):
            server.wait_for("x")
        with pytest.raises(EnvironmentProblem, match="server is stopped, and no program runs at it"):
            lab.run(["true"], at="server")
        assert spare.running
        lab.node("server").start()
    with serving(lab, "udp"):
        assert ask(lab, "udp") == (0, "hello\n"), "run anew it is in the new network"


def test_a_crash_takes_them_too(lab: Lab) -> None:
    with serving(lab, "tcp") as server:
        assert containers.crash(lab.api, lab.name, "server")
        assert server.exit_code == 137


def test_a_host_restarted_behind_our_back(lab: Lab) -> None:
    with serving(lab, "tcp") as server:
        lab.api.restart(lab.node("server").container, timeout=1)
        with pytest.raises(ProgramFailed, match=r"has not ended within 0.1 s \(server was restarted since it began"):
            server.wait(0.1)


# What it is like


def test_it_may_do_nothing(lab: Lab) -> None:
    code, output = ended(lab, ["sh", "-c", "id -u; grep -E '^(Cap(Eff|Bnd)|NoNewPrivs)' /proc/self/status"])
    assert code == 0
    assert output.split() == ["5300", "CapEff:", "0" * 16, "CapBnd:", "0" * 16, "NoNewPrivs:", "1"]
    # The files of the nodes and the clock of the lab are not within its reach.
    assert ended(lab, ["ls", "/lab"], user="0").code == 2


def test_it_has_what_it_is_given(lab: Lab) -> None:
    script = 'echo "$GREETING"; id -u; cat /srv/deep/er; echo complaint >&2; exit 7'
    how = {"environment": {"GREETING": "good day"}, "files": {"/srv/deep/er": "a text\n"}, "user": "0"}
    code, output = ended(lab, ["sh", "-c", script], **how)
    assert code == 7
    assert sorted(output.splitlines()) == ["0", "a text", "complaint", "good day"]  # of two streams, in any order


def test_it_gets_no_more_memory_than_it_may(lab: Lab) -> None:
    with lab.run(["python3", "-c", "print('begun'); b'x' * 2**28"], at="client", memory=2**25) as program:
        program.wait_for("begun", timeout=WITHIN)
        with pytest.raises(ProgramFailed, match=r"ended with exit code 137 \(it had taken all its memory\)"):
            program.wait_for("never", timeout=WITHIN)


@pytest.fixture
def image(lab: Lab) -> Iterator[str]:
    """An image of somebody: it says what it is for by itself."""
    tag = f"dnslab-test-answering-{os.getpid()}:test"
    host = lab.api.inspect_container(lab.node("client").container)["Image"]
    dockerfile = (
        f'FROM {host}\nENV TEXT=mine\nENTRYPOINT ["sh", "-c", "echo $TEXT; getent hosts $0"]\nCMD ["{SERVICE}"]\n'
    )
    for _ in lab.api.build(fileobj=io.BytesIO(dockerfile.encode()), tag=tag, rm=True):
        continue
    try:
        yield tag
    finally:
        lab.api.remove_image(tag)


def test_an_image_of_ones_own(lab: Lab, image: str) -> None:
    server, client = lab.topology.node("server"), lab.topology.node("client")
    with lab.run(image=image, at="client") as program:
        assert program.name == image.partition(":")[0]
        assert program.wait(WITHIN) == 0
        assert program.output.split() == ["mine", str(server.ipv6), SERVICE]
    with lab.run(["client.example.com"], image=image, environment={"TEXT": "yours"}) as program:  # at the first host
        assert program.wait(WITHIN) == 0
        assert program.output.split()[:2] == ["yours", str(client.ipv6)]


# What it says, and how it ends


def test_wait_for_gives_the_line(lab: Lab) -> None:
    with lab.run(["sh", "-c", "echo one 1; sleep 0.3; echo two 22; sleep 60"]) as program:
        assert program.wait_for("two", timeout=WITHIN) == "two 22"
        assert program.wait_for(re.compile(r"\d+$")) == "one 1"
        with pytest.raises(ProgramFailed) as failed:
            program.wait_for("three", timeout=0.2)
        assert str(failed.value) == "sh at client has not said 'three' within 0.2 s; its last lines:\n  one 1\n  two 22"
        with pytest.raises(ProgramFailed, match=r"sh at client has not ended within 0.2 s; its last lines"):
            program.wait(timeout=0.2)
        assert (program.running, program.exit_code) == (True, None)
    assert (program.running, program.exit_code, program.output) == (False, 137, "one 1\ntwo 22\n")
    program.remove()


def test_a_program_that_has_ended_says_how(lab: Lab) -> None:
    with lab.run(["sh", "-c", "exit 3"]) as program, pytest.raises(ProgramFailed) as failed:
        program.wait_for("listening", timeout=WITHIN)
    assert str(failed.value) == (
        "sh at client ended with exit code 3 and had not said 'listening'; it has printed nothing"
    )
    with lab.run(["echo", "listening"]) as program:
        assert program.wait() == 0
        assert program.wait_for("listening") == "listening", "it said it, and ended"


def test_stop_lets_it_end_in_order(lab: Lab) -> None:
    with lab.run(["sh", "-c", "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done"]) as program:
        program.wait_for("ready", timeout=WITHIN)
        program.stop()
        assert (program.exit_code, program.output) == (0, "ready\nbye\n")
        program.stop()


@pytest.mark.parametrize(
    ("command", "how", "said"),
    [
        (["nope"], {}, r"the image of hosts cannot run 'nope': executable file not found in \$PATH"),
        (["/etc/passwd"], {}, "the image of hosts cannot run '/etc/passwd': permission denied"),
        (["true"], {"image": "nope:1"}, "there is no image nope:1 on this machine; `docker build -t nope:1 .` makes"),
        (["true"], {"image": "No Image"}, "Docker did not create true at client: invalid reference format"),
        (["true"], {"user": "nobody-there"}, "unable to find user nobody-there"),
        (["true"], {"memory": 5}, "Docker did not create true at client: .*memory"),
        (["true"], {"at": "resolver"}, r"programs run at a host, and resolver is a resolver \(hosts: client, server, "),
        (["true"], {"at": "sever"}, "no node 'sever' in lab .*; did you mean 'server'?"),
    ],
)
def test_what_cannot_run_is_told_and_leaves_nothing(
    lab: Lab, command: list[str], how: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        lab.run(command, **how)
    assert lab.programs == []


# Who is there


def test_programs_are_found_by_every_process(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    ours = lab.run(["sleep", "60"], at="server")
    lab.run(["sh", "-c", "echo done"], at="client").wait(WITHIN)
    with Lab.attach(lab.name) as other, Lab.up(str(HERE / "echo.yaml"), name=lab.name) as again:
        assert again.changed == ()
        sleeper, done = other.programs
        assert [str(sleeper), str(done)] == ["sleep at server", "sh at client"]
        assert (sleeper.running, done.exit_code, done.output) == (True, 0, "done\n")
        dnslab = in_process(capsys)
        assert "Programs: sleep at server, sh at client (ended, exit code 0)\n" in dnslab("status", "-l", lab.name).out
        told = dnslab("status", "--json", "-l", lab.name).json
        assert told["programs"][0] == {"name": "sleep", "at": "server", "exit_code": None}
        assert [node["node"] for node in told["nodes"]] == list(lab.nodes), "programs are no nodes"
        assert dnslab("faults", "--json", "-l", lab.name).json == []
        for program in other.programs:
            program.remove()
    assert lab.programs == []
    with pytest.raises(EnvironmentProblem, match="sleep at server is gone"):
        print(ours.output)
    ours.remove()  # it is fine that there is nothing left to remove


def test_a_host_made_anew_ends_its_programs_and_down_takes_them(instance: Callable[[str], str]) -> None:
    name, small = instance("joined"), tiny()
    client = connect()
    try:
        with Lab.up(small, name=name) as lab:
            program = lab.run(["sleep", "60"])
            moved = small.hosts["host"].model_copy(update={"name": "pc.example.com"})
            address = derive(small).ipv4[200]  # as in a lab file, whatever subnet the lab has got
            changed = small.model_copy(update={"hosts": {"host": moved.model_copy(update={"ipv4": address})}})
            with Lab.up(changed, name=name) as again:
                assert "host" in again.changed
                assert program.exit_code == 137
                again.run(["sleep", "60"])
                assert len(again.programs) == 2
        assert Lab.down(name) == 5
        eventually(lambda: nothing_left(client.api, name))
        assert not program.running
        program.remove()
    finally:
        client.close()
        Lab.down(name)


def nothing_left(api: Any, name: str) -> None:
    assert api.containers(all=True, filters=labels.of_lab(name)) == []


def test_the_gateway_is_for_processes_on_this_machine(lab: Lab, textbook: Lab) -> None:
    address, port = textbook.gateway
    assert (address, port) == ("127.0.0.1", textbook.gateway_port)
    with pytest.raises(BadInput, match=r"lab .* has no gateway; `gateway: \{port: 5300\}` in its lab file makes one"):
        print(lab.gateway)
    textbook.node("gateway").stop()
    with pytest.raises(EnvironmentProblem, match="gateway is stopped; `dnslab up` mends it"):
        print(textbook.gateway)
    textbook.reset()


def test_the_document_shows_what_happens(tmp_path: Path) -> None:
    """Its lab file, its program and its output, as they stand there."""
    text = (HERE.parents[1] / "docs" / "programs.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    lab_file, program, output = (next(body for kind, body in blocks if kind == what) for what in ("yaml", "python", ""))
    (tmp_path / "echo.yaml").write_text(lab_file)
    (tmp_path / "echo_tcp.py").write_bytes(FILES["/srv/tcp.py"].read_bytes())
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=180
    )
    assert (done.stdout, done.stderr) == (output, "")
