"""The Compose rendering of each lab is the same lab: started by whichever Compose is installed, and asked."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path

import pytest
from labtools import WITHIN, eventually

from lab.labs import load, names
from lab.runtime.compose import FILE, write
from lab.runtime.engine import connect
from lab.runtime.images import ensure_images, known
from lab.topology.addressing import Subnets, candidate_subnets
from lab.topology.declaration import Declaration, Network

LEAVING = {"COMPOSE_PARALLEL_LIMIT": "2"}  # of more that leave a network at a time Docker 20.10 loses count
ASKED = {
    "textbook": {
        "www.example.com A": {"192.0.2.80"},
        "gaia.cs.umass.edu A": {"203.0.113.119"},
        "www.example.org AAAA": {"2001:db8:20::20"},
    },
    "recursive": {
        "www.example.com A": {"192.0.2.80"},
        "gaia.cs.umass.edu A": {"203.0.113.119"},
    },
    "central": {
        "www.example.com A": {"192.0.2.80"},
        "gaia.cs.umass.edu A": {"203.0.113.119"},
    },
    "wide-area": {
        "www.example.com A": {"192.0.2.80"},
        "www.example.kr A": {"198.51.100.80"},
    },
    "minimal": {
        "www.example.com AAAA": {"2001:db8::80"},
        "example.com MX": {"10 mail.example.com."},
    },
}


@pytest.fixture(scope="module")
def compose() -> list[str]:
    """The command of Compose: v2 as part of `docker`, else 1.29."""
    plugin = ["docker", "compose"]
    if subprocess.run([*plugin, "version"], capture_output=True, check=False).returncode == 0:
        return plugin
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    pytest.fail("no Compose here: neither `docker compose` nor docker-compose; apt-get install docker-compose")


@pytest.fixture(scope="module", autouse=True)
def images() -> None:
    """The rendering names images by `latest`, as people would build them."""
    client = connect()
    ensure_images(client, known())
    client.close()


def test_every_lab_is_started() -> None:
    assert set(ASKED) == set(names())


@pytest.mark.parametrize("lab", ASKED)
def test_the_rendering_is_the_lab(lab: str, compose: list[str], tmp_path: Path, instance: Callable[[str], str]) -> None:
    declaration = elsewhere(load(lab))
    write(declaration, tmp_path)
    with started(compose, tmp_path / FILE, instance(f"compose{lab}")) as run:
        for asked, data in ASKED[lab].items():
            eventually(lambda asked=asked, data=data: answers(run, next(iter(declaration.hosts)), asked, data))
        stopped = [line for line in run("ps").splitlines() if "Exit" in line or "exited" in line]
        assert not stopped


def answers(run: Callable[..., str], host: str, asked: str, data: set[str]) -> None:
    said = run("exec", "-T", host, "dig", "+short", "+time=2", "+tries=1", *asked.split())
    assert set(said.split("\n")) - {""} == data


def elsewhere(declaration: Declaration) -> Declaration:
    """The lab on subnets and a port that nobody has: a Compose file cannot choose."""
    client = connect()
    taken = [
        ip_network(pool["Subnet"], strict=False)
        for network in client.api.networks()
        for pool in (network.get("IPAM") or {}).get("Config") or []
        if pool.get("Subnet")
    ]
    client.close()

    def is_free(subnets: Subnets) -> bool:
        return not any(
            net.version == mine.version and net.overlaps(mine) for net in taken for mine in (subnets.ipv4, subnets.ipv6)
        )

    # From the far end: labs that are brought up meanwhile take the first ones.
    free = next(subnets for subnets in reversed(list(candidate_subnets(declaration))) if is_free(subnets))
    changes: dict[str, object] = {"network": Network(ipv4=free.ipv4, ipv6=free.ipv6)}
    if declaration.gateway is not None:
        changes["gateway"] = declaration.gateway.model_copy(update={"port": free_port()})
    return declaration.model_copy(update=changes)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def started(compose: list[str], file: Path, project: str) -> Iterator[Callable[..., str]]:
    """A Compose project that is up; yields what runs a Compose command on it."""

    def run(*arguments: str, **variables: str) -> str:
        command = [*compose, "-f", str(file), "-p", project, *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=10 * WITHIN, env={**os.environ, **variables}
        )
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
        return done.stdout

    try:
        run("up", "-d", "--no-build")
        yield run
    finally:
        run("down", "-v", "-t", "0", **LEAVING)
