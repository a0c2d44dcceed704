"""What this machine lacks for a lab, and the command that mends it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lab import labs
from lab.errors import EnvironmentProblem, LabError
from lab.runtime import base, images, network
from lab.runtime.engine import connect
from lab.topology.declaration import Declaration

if TYPE_CHECKING:
    from docker import DockerClient

_LEAST_PYTHON = (3, 10)
_LEAST_API = (1, 41)  # Docker Engine 20.10: one-shot statistics
_PROBE = "doctor"  # name of the lab whose network is tried


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `mend` is a command, when there is something to mend."""

    verdict: Literal["ok", "note", "missing"]
    subject: str
    text: str
    mend: str = ""


def examine() -> list[Finding]:
    """Look at everything a lab needs; what depends on Docker is left out when Docker does not answer."""
    return list(_examine())


def _examine() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info >= _LEAST_PYTHON:
        yield Finding("ok", "Python", version)
    else:
        yield Finding("missing", "Python", f"{version} is too old; 3.10 or later is needed", "apt-get install python3")
    try:
        client = connect()
    except EnvironmentProblem as error:
        yield Finding("missing", "Docker", str(error).replace("\n", " "), "docker version")
        return
    try:
        yield _docker(client)
        yield _network(client)
        yield _images(client)
        yield from _extras()
    finally:
        client.close()


def _docker(client: DockerClient) -> Finding:
    version = client.version()
    text = f"Engine {version['Version']}, API {version['ApiVersion']}, kernel {version['KernelVersion']}"
    if tuple(map(int, version["ApiVersion"].split("."))) < _LEAST_API:
        return Finding("missing", "Docker", f"{text}: too old, 20.10 or later is needed", "apt-get install docker.io")
    return Finding("ok", "Docker", text)


def _network(client: DockerClient) -> Finding:
    """Make a lab's network for real: IPv6 can be off in the kernel or refused by the daemon."""
    from lab.runtime.lowering import lower

    declaration = Declaration.model_validate(
        {"lab": _PROBE, "zones": {".": {"servers": ["a"]}}, "servers": {"a": "a"}, "hosts": {"h": {"resolvers": ["r"]}}}
    )
    name = f"{_PROBE}-{os.getpid()}"
    try:
        subnets = network.create(client.api, name, declaration)
    except LabError as error:
        return Finding(
            "missing",
            "network",
            f"no internal IPv4 and IPv6 network: {error}",
            "sysctl net.ipv6.conf.all.disable_ipv6=0",
        )
    finally:
        lower(client.api, name)
    return Finding("ok", "network", f"internal, IPv4 and IPv6 (tried {subnets.ipv4} and {subnets.ipv6})")


def _images(client: DockerClient) -> Finding:
    there = {tag for image in client.api.images(filters={"label": images.OURS}) for tag in image["RepoTags"] or ()}
    missing = [name for name in images.known() if images.image_reference(name) not in there]
    if not missing:
        return Finding("ok", "images", "all are built")
    text = f"{', '.join(missing)} will be built at the first `up`"
    if images.image_reference(images.BASE) in there or _debian_there(client) or shutil.which("mmdebstrap"):
        return Finding("ok", "images", text)
    mend = "sudo apt-get install mmdebstrap" if shutil.which("apt-get") else f"docker pull {base.PUBLISHED}"
    return Finding("note", "images", f"{text}; that needs {base.PUBLISHED} from a registry, or mmdebstrap", mend)


def _debian_there(client: DockerClient) -> bool:
    there = {tag for image in client.api.images() for tag in image["RepoTags"] or ()}
    return not there.isdisjoint((base.PUBLISHED, base.HOME_MADE))


def _extras() -> Iterator[Finding]:
    if shutil.which("docker"):
        yield Finding("ok", "docker command", "there, for `dnslab shell`")
    else:
        yield Finding(
            "note", "docker command", "not on the PATH; only `dnslab shell` needs it", "apt-get install docker.io"
        )
    for command in (["docker", "compose", "version", "--short"], ["docker-compose", "version", "--short"]):
        if shutil.which(command[0]):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                yield Finding(
                    "ok", "Compose", f"{' '.join(command[:-2])} {done.stdout.strip()}, for the renderings in compose/"
                )
                break
    else:
        yield Finding(
            "note", "Compose", "not there; only the renderings in compose/ need it", "apt-get install docker-compose"
        )
    if shutil.which("dig"):
        yield Finding("ok", "dig", "there, to ask through the gateway")
    else:
        mend = "apt-get install bind9-dnsutils"
        yield Finding("note", "dig", "not on the PATH; it is in the lab's hosts: dnslab shell host", mend)
    yield Finding("ok", "labs", ", ".join(labs.names()))
