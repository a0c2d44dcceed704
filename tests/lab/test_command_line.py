"""dnslab as a person uses it: a process of its own, on a minimal lab of its own, which has no gateway."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from labtools import Ended, Run, eventually, in_process

from lab import Lab, labs
from lab.runtime import gc, labels, memory, network
from lab.runtime.engine import connect

DNSLAB = [sys.executable, "-m", "lab.cli.main"]
PATIENCE = 60.0  # seconds for one command on a busy machine
OWNER = """
import sys
from lab import Lab

with Lab.temporary("minimal", name=sys.argv[1]):
    print("up", flush=True)
    input()
"""  # a program that has a lab for as long as it lives
SILENCE = "3600"  # seconds: a time-out that a test does not live to see


@pytest.fixture(scope="module")
def name(instance: Callable[[str], str]) -> Iterator[str]:
    """A minimal lab, up by `dnslab up`, for all tests here; each leaves it whole."""
    name = instance("cli")
    try:
        done = subprocess.run([*DNSLAB, "up", "minimal", "--name", name], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        yield name
    finally:
        Lab.down(name)


def environment(name: str) -> dict[str, str]:
    plain = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR", "DNSLAB_DEBUG")}
    return {**plain, "DNSLAB_LAB": name}


@pytest.fixture
def dnslab(name: str) -> Run:
    def run(*arguments: str, code: int = 0, **variables: str) -> Ended:
        done = subprocess.run(
            [*DNSLAB, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
            stdin=subprocess.DEVNULL,
            env={**environment(name), **variables},
        )
        assert done.returncode == code, (done.stdout, done.stderr)
        assert "\x1b" not in done.stdout + done.stderr, "escape codes in a pipe"
        assert "Traceback" not in done.stderr
        return Ended(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def quick(name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """As `dnslab`, in this process: for many small commands."""
    monkeypatch.setenv("DNSLAB_LAB", name)
    return in_process(capsys)


@pytest.fixture
def started(name: str) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a command and go on; what still runs at the end of the test is killed."""
    running: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **variables: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*DNSLAB, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**environment(name), **variables},
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def finish(process: subprocess.Popen[str]) -> Ended:
    out, err = process.communicate(timeout=PATIENCE)
    return Ended(process.returncode, out, err)


def objects(name: str) -> int:
    """Containers, networks and volumes of a lab."""
    api, filters = connect().api, labels.of_lab(name)
    volumes = api.volumes(filters=filters)["Volumes"] or []
    return len(api.containers(all=True, filters=filters)) + len(api.networks(filters=filters)) + len(volumes)


# A lab's life.


def test_up_again_changes_nothing_and_says_what_to_type_next(dnslab: Run, name: str) -> None:
    again = dnslab("up", "minimal", "--name", name)
    assert f"Lab {name} is up: 5 nodes, nothing had to change" in again.out
    assert " query " in again.out
    assert "www.example.com" in again.out
    assert again.err == "", "no progress in a pipe"
    told = dnslab("up", "minimal", "-l", name, "--json").json
    assert told["lab"] == name
    assert told["changed"] == []
    assert told["gateway"] is None
    assert told["nodes"] == ["root", "tld", "authority", "resolver", "host"]


def test_status(dnslab: Run, name: str) -> None:
    told = dnslab("status", "--json").json
    assert told["lab"] == name
    nodes = {node["node"]: node for node in told["nodes"]}
    assert [node["role"] for node in told["nodes"]] == ["root", "tld", "authority", "resolver", "host"]
    assert {node["health"] for node in nodes.values()} == {"ok"}
    assert nodes["tld"]["zones"] == ["com"]
    assert nodes["authority"]["program"] == "bind"
    assert nodes["authority"]["version"]
    assert all(node["uptime"] >= 0 and node["memory"] > 2**18 for node in nodes.values())
    assert nodes["resolver"]["clock"] == "lab"
    lines = dnslab("status").out.splitlines()
    assert lines[0].split() == ["node", "role", "program", "name", "ipv4", "ipv6", "health", "up", "memory", "zones"]
    assert [line.split()[0] for line in lines[1:6]] == list(nodes)
    assert not any("dig @" in line for line in lines), "there is no gateway"


def test_labs_lists_what_comes_with_dnslab_and_what_is_up(dnslab: Run, name: str) -> None:
    told = dnslab("labs", "--json").json
    assert [lab["name"] for lab in told["labs"]] == labs.names()
    assert all(lab["about"] for lab in told["labs"])
    assert name in told["up"]


def test_down_of_what_is_not_up_is_no_error(quick: Run, name: str) -> None:
    assert f"did you mean '{name}'?" in quick("down", f"{name}x").out
    assert quick("down", "-l", f"{name}x", "--json").json == {"down": {}}


def test_a_lab_that_is_not_up_is_bad_input(dnslab: Run) -> None:
    ended = dnslab("status", "--lab", "nowhere", code=4)
    assert ended.err.startswith("dnslab: lab nowhere is not up")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=lambda how: how.name)
def test_up_interrupted_leaves_nothing(
    how: signal.Signals, started: Callable[..., subprocess.Popen[str]], instance: Callable[[str], str]
) -> None:
    name = instance("cli-half")
    process = started("up", "minimal", "--name", name)
    try:
        eventually(lambda: _assert(objects(name) > 0 or process.poll() is not None))
        process.send_signal(how)
        ended = finish(process)
        assert ended.code == 130
        assert ended.err.endswith("dnslab: interrupted\n")
        assert objects(name) == 0
    finally:
        Lab.down(name)


# Asking.


def test_query(dnslab: Run) -> None:
    told = dnslab("query", "ftp.example.com", "--json").json
    assert (told["status"], told["server"], told["from"], told["transport"]) == ("NOERROR", "resolver", "host", "udp")
    assert [(record["type"], record["data"]) for record in told["answer"]] == [
        ("CNAME", "www.example.com."),
        ("A", "192.0.2.80"),
    ]
    assert told["latency_ms"] > 0
    assert dnslab("query", "ftp.example.com").out.startswith("ftp.example.com → www.example.com\nAnswer\n")


def test_query_step_by_step(quick: Run) -> None:
    for server, below in (("root", "com"), ("tld.com", "example.com")):
        ended = quick("query", "www.example.com", "--at", server, "--no-recurse")
        assert ended.out.startswith(f"Referral to the servers of {below}\n")
    told = quick("query", "www.example.com", "aaaa", "--at", "authority", "--no-recurse", "--tcp", "-6", "--json").json
    assert "aa" in told["flags"]
    assert told["transport"] == "tcp"
    assert ":" in told["address"]


def test_query_of_an_address_is_its_reverse_name(quick: Run) -> None:
    address = quick("status", "--json").json["nodes"][0]["ipv4"]
    assert quick("query", address, "--json").json["answer"][0]["data"] == "root.root-servers.net."


@pytest.mark.parametrize(
    ("question", "code", "status"),
    [
        (["."], 0, "NOERROR"),
        ([".", "ns"], 0, "NOERROR"),
        (["www.example.com", "TYPE65280"], 0, "NOERROR"),
        (["bücher.example.com"], 1, "NXDOMAIN"),
        ([r"a\.b.example.com"], 1, "NXDOMAIN"),
        (["a b.example.com"], 1, "NXDOMAIN"),
        (["[red]x[/].example.com"], 1, "NXDOMAIN"),
        (["www.example.com", "--at", "authority", "--repeat", "3"], 0, "NOERROR"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_query_of_unusual_questions(question: list[str], code: int, status: str, quick: Run) -> None:
    told = quick("query", *question, "--json", code=code).json
    assert {answer["status"] for answer in (told if isinstance(told, list) else [told])} == {status}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["query", "a..b"], "empty label"),
        (["query", "www.example.com", "FOO"], "unknown type 'FOO'"),
        (["query", "www.example.com", "--at", "resolvr"], "did you mean 'resolver'?"),
        (["query", "www.example.com", "--from", "root"], "queries are sent from a host"),
        (["stop", "athority"], "did you mean 'authority'?"),
        (["flush", "root"], "root is no resolver"),
        (["time", "+1h", "--node", "root"], "root is on the clock of the machine"),
        (["logs", "nix"], "no node 'nix'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input(arguments: list[str], said: str, quick: Run) -> None:
    ended = quick(*arguments, "--json", code=4)
    assert said in ended.json["error"]
    assert said in ended.err


def test_flush(quick: Run) -> None:
    quick("query", "www.example.com")
    assert quick("flush", "--json").json == {"flushed": ["resolver"], "name": None}
    assert quick("query", "www.example.com", "--json").json["answer"][0]["ttl"] == 3600
    assert quick("flush", "resolver", "--name", "www.example.com").out == "resolver forgot www.example.com.\n"


# Breaking and mending.


def test_break_and_mend(quick: Run, name: str) -> None:
    try:
        assert quick("pause", "authority").out == "authority is paused.\n"
        quick("flush")
        ended = quick("query", "www.example.com", "--timeout", "0.2", code=1)
        assert "resolver over UDP: no answer" in ended.out
        assert "TIMEOUT: no answer from resolver" in ended.out
        health = {node["node"]: node["health"] for node in quick("status", "--json").json["nodes"]}
        assert health["authority"] == "paused"
        assert "`dnslab unpause authority` mends it" in quick("shell", "authority", "true", code=3).err
        assert quick("unpause", "authority", "--json").json == {"states": {"authority": "running"}}
        assert quick("stop", "root", "tld").out == "root is stopped.\ntld is stopped.\n"
        assert quick("start", "tld", "root").out == "tld is running.\nroot is running.\n"
        quick("restart", "resolver")
        quick("query", "www.example.com")
    finally:
        with Lab.attach(name) as lab:
            lab.reset()


def test_time(quick: Run) -> None:
    try:
        assert quick("time", "+1h30m", "--json").json["ahead_seconds"] == {"resolver": 5400}
        assert quick("time").out.rstrip().endswith("UTC  1h 30m ahead")
        assert quick("time", "+30m", "--node", "resolver").out.rstrip().endswith("2h ahead")
    finally:
        assert quick("time", "reset").out.rstrip().endswith("real time")


# Looking inside.


def test_logs(quick: Run) -> None:
    lines = quick("logs", "resolver", "--json").json["lines"]
    assert any("start of service" in line for line in lines)
    assert quick("logs", "resolver", "-n", "1").out == f"{lines[-1]}\n"


def test_logs_go_on_until_interrupted(started: Callable[..., subprocess.Popen[str]]) -> None:
    process = started("logs", "resolver", "-n", "1", "-f", "--json")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["node"] == "resolver"
    process.send_signal(signal.SIGINT)
    assert finish(process).code == 130


def test_shell_runs_a_command_with_all_its_options_and_ends_as_it_ends(dnslab: Run) -> None:
    assert dnslab("shell", "host", "dig", "-t", "MX", "example.com", "+short").out == "10 mail.example.com.\n"
    assert "root" in dnslab("shell", "host", "ls", "-l", "/lab").out
    dnslab("shell", "host", "sh", "-c", "exit 7", code=7)


def test_shell_on_a_terminal(name: str) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen([*DNSLAB, "shell", "host"], stdin=theirs, stdout=theirs, env=environment(name))
    os.close(theirs)
    os.write(ours, b"test -t 1 && getent hosts www.example.com; exit 5\n")
    seen = b""
    try:
        while piece := os.read(ours, 4096):
            seen += piece
    except OSError:
        pass  # the other side has closed it: so ends a terminal on Linux
    finally:
        os.close(ours)
    assert process.wait(PATIENCE) == 5
    assert b"2001:db8::80" in seen


# How runs end.


def is_asking(name: str) -> None:
    """A prober runs in the host."""
    top = subprocess.run(["docker", "top", f"dnslab.{name}.host"], capture_output=True, text=True, check=True)
    assert "agent.prober" in top.stdout


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=lambda how: how.name)
def test_a_long_query_can_be_interrupted(
    how: signal.Signals, name: str, started: Callable[..., subprocess.Popen[str]], quick: Run
) -> None:
    quick("pause", "authority")
    try:
        quick("flush")
        process = started("query", "www.example.com", "--timeout", SILENCE, "--json")
        eventually(partial(is_asking, name))
        process.send_signal(how)
        ended = finish(process)
        assert ended.code == 130
        assert ended.json == {"error": "interrupted", "exit_code": 130}
    finally:
        quick("unpause", "authority")


def test_a_reader_that_has_had_enough_is_no_error(name: str) -> None:
    command = " ".join(DNSLAB)
    script = f"{command} query www.example.com --repeat 2000 --json | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=True, env=environment(name), timeout=PATIENCE
    )
    assert (done.stdout, done.stderr) == ("[\n0\n", "")


def test_without_docker_it_is_the_environment_and_doctor_knows_the_remedy(dnslab: Run) -> None:
    nowhere = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}
    assert "does not answer" in dnslab("status", code=3, **nowhere).err
    told = dnslab("doctor", "--json", code=3, **nowhere).json
    assert not told["able"]
    [missing] = [finding for finding in told["findings"] if finding["verdict"] == "missing"]
    assert (missing["subject"], missing["mend"]) == ("Docker", "unset DOCKER_HOST")


def test_doctor(dnslab: Run, tmp_path: Path) -> None:
    told = dnslab("doctor", "--json", PATH=str(tmp_path)).json
    assert told["able"]
    notes = {finding["subject"]: finding["mend"] for finding in told["findings"] if finding["verdict"] == "note"}
    for subject in ("docker command", "Compose", "dig"):  # there may be others: images left, labs half made
        assert "apt-get install" in notes[subject]
    assert not [lab for lab in dnslab("labs", "--json").json["up"] if lab.startswith("doctor-")], "it cleans up"


def test_gc_removes_the_lab_of_a_killed_process_and_half_made_ones(
    instance: Callable[[str], str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    orphan, living, half = instance("orphan"), instance("living"), instance("half")
    client = connect()
    # Nothing of others: neither their labs nor images that they may be about to use.
    known = memory.labs
    monkeypatch.setattr(memory, "labs", lambda api: [lab for lab in known(api) if lab in {orphan, living, half, name}])
    monkeypatch.setattr(gc.images, "prune", lambda _client: [])
    owners = [
        subprocess.Popen([sys.executable, "-c", OWNER, lab], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for lab in (orphan, living)
    ]
    try:
        for owner in owners:
            assert owner.stdout is not None
            assert owner.stdout.readline() == "up\n"
        network.create(client.api, half, labs.load("minimal"))
        owners[0].kill()
        owners[0].wait()
        assert set(gc.collect(client).labs) == {orphan, half}
        assert [objects(lab) for lab in (orphan, half)] == [0, 0]
        assert objects(living) > 0
        assert objects(name) > 0
        owners[1].communicate("\n", timeout=PATIENCE)
        assert objects(living) == 0, "it went with its owner"
    finally:
        for owner in owners:
            owner.kill()
            owner.communicate()
        for lab in (orphan, living, half):
            Lab.down(lab)


def _assert(condition: bool) -> None:
    assert condition
