"""What this machine lacks for a lab, and the command that mends it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lab import labs
from lab.errors import EnvironmentProblem, LabError
from lab.runtime import base, images, network
from lab.runtime.engine import connect
from lab.runtime.lock import locked
from lab.topology.declaration import Declaration

if TYPE_CHECKING:
    from docker import DockerClient

_LEAST_PYTHON = (3, 10)
_LEAST_API = (1, 41)  # Docker Engine 20.10: one-shot statistics
_LEAST_MEMORY = 512 * 2**20  # octets; the textbook lab needs about 150 MiB beside what Docker needs
_PROBE = "doctor"  # name of the lab whose network is tried
_IPV6_OFF = Path("/proc/sys/net/ipv6/conf/all/disable_ipv6")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `mend` is a command, when there is something to mend."""

    verdict: Literal["ok", "note", "missing"]
    subject: str
    text: str
    mend: str = ""


def examine() -> list[Finding]:
    """Look at everything a lab needs; what depends on Docker is left out when Docker does not answer."""
    return [_python(), *_docker(), *_extras()]


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info >= _LEAST_PYTHON:
        return Finding("ok", "Python", version)
    return Finding("missing", "Python", f"{version} is too old; 3.10 or later is needed", _install("python3"))


def _docker() -> Iterator[Finding]:
    try:
        client = connect()
    except EnvironmentProblem as error:
        yield _unreachable(str(error))
        return
    try:
        yield _engine(client)
        yield _memory(client)
        yield _network(client)
        yield _images(client)
        yield from _kernel(client)
    finally:
        client.close()


def _unreachable(why: str) -> Finding:
    """Docker is elsewhere, not installed, not to be used by this user, or not running: the likeliest remedy."""
    what = why.partition("\n")[0]
    if chosen := next((name for name in ("DOCKER_HOST", "DOCKER_CONTEXT") if os.environ.get(name)), None):
        mend = f"unset {chosen}"
    elif "context" in what:
        mend = "docker context use default"
    elif "permission denied" in what:
        mend = "sudo usermod -aG docker $USER && newgrp docker"
    elif not shutil.which("docker") and not shutil.which("dockerd"):
        return Finding("missing", "Docker", "it is not installed", _install("docker.io"))
    else:
        mend = _as_root("systemctl start docker")
    return Finding("missing", "Docker", what, mend)


def _engine(client: DockerClient) -> Finding:
    version = client.version()
    kernel = f", kernel {version['KernelVersion']}" if version.get("KernelVersion") else ""
    text = f"Engine {version['Version']}, API {version['ApiVersion']}{kernel}"
    if tuple(map(int, version["ApiVersion"].split("."))) < _LEAST_API:
        return Finding("missing", "Docker", f"{text}: too old, 20.10 or later is needed", _install("docker.io"))
    return Finding("ok", "Docker", text)


def _memory(client: DockerClient) -> Finding:
    total = int(client.info().get("MemTotal", 0))
    text = f"{total / 2**30:.1f} GiB where Docker runs"
    if 0 < total < _LEAST_MEMORY:
        return Finding("note", "memory", f"{text}: little for the larger labs; `dnslab up minimal` needs 50 MiB")
    return Finding("ok", "memory", text)


def _network(client: DockerClient) -> Finding:
    """Make a lab's network for real: IPv6 can be off in the kernel or refused by the daemon."""
    from lab.runtime.lowering import lower

    declaration = Declaration.model_validate(
        {"lab": _PROBE, "zones": {".": {"servers": ["a"]}}, "servers": {"a": "a"}, "hosts": {"h": {"resolvers": ["r"]}}}
    )
    name = f"{_PROBE}-{os.getpid()}"
    with locked(name):  # or a `gc` of another process takes it for something half made
        try:
            subnets = network.create(client.api, name, declaration)
        except LabError as error:
            return Finding("missing", "network", f"no internal IPv4 and IPv6 network: {error}", _network_mend())
        finally:
            lower(client.api, name)
    return Finding("ok", "network", f"internal, IPv4 and IPv6 (tried {subnets.ipv4} and {subnets.ipv6})")


def _network_mend() -> str:
    if _IPV6_OFF.is_file() and _IPV6_OFF.read_text(encoding="ascii").strip() == "1":
        return _as_root("sysctl net.ipv6.conf.all.disable_ipv6=0")
    return "dnslab gc; docker network prune"


def _images(client: DockerClient) -> Finding:
    there = {tag for image in client.api.images() for tag in image["RepoTags"] or ()}
    missing = [name for name in images.known() if images.image_reference(name) not in there]
    if not missing:
        return Finding("ok", "images", "all are built")
    text = f"{', '.join(missing)} will be built when first needed"
    sources = {images.image_reference(images.BASE), base.PUBLISHED, base.HOME_MADE}
    may_install = os.geteuid() == 0 and shutil.which("apt-get")
    if there & sources or shutil.which("mmdebstrap") or may_install:
        return Finding("ok", "images", text)
    mend = _install("mmdebstrap") if shutil.which("apt-get") else f"docker pull {base.PUBLISHED}"
    return Finding("note", "images", f"{text}; that needs {base.PUBLISHED} from a registry, or mmdebstrap", mend)


_USES = {
    "nfqueue": ("link faults", "packets can be held, lost and changed (NFQUEUE)"),
    "redirect": ("TCP faults", "connections can be led through a proxy (nat REDIRECT)"),
    "packet": ("taps", "packets can be watched (AF_PACKET)"),
}


def _kernel(client: DockerClient) -> Iterator[Finding]:
    """What a lab can do without, but not all that is done to it: tried in a container without a network."""
    from lab.runtime import kernel

    try:
        found = kernel.examine(client.api)
    except EnvironmentProblem as error:
        yield Finding("note", "kernel", f"what it can do for faults is not known: {error}")
        return
    for trial, (subject, able) in _USES.items():
        if found is None:
            yield Finding("note", subject, "not tried: the image `conditioner` is built when first needed")
        elif why := found[trial]:
            mend = _as_root("modprobe -a nfnetlink_queue xt_NFQUEUE") if trial == "nfqueue" else ""
            yield Finding("note", subject, f"not here: {why}", mend)
        else:
            yield Finding("ok", subject, able)


def _extras() -> Iterator[Finding]:
    """What a lab can do without."""
    if shutil.which("docker"):
        yield Finding("ok", "docker command", "there, for `dnslab shell`")
    else:
        lack = "not on the PATH; only `dnslab shell` needs it"
        yield Finding("note", "docker command", lack, _install("docker.io"))
    if compose := _compose():
        yield Finding("ok", "Compose", f"{compose}, for the renderings in compose/")
    else:
        lack = "not there; only the renderings in compose/ need it"
        yield Finding("note", "Compose", lack, _install("docker-compose"))
    if shutil.which("dig"):
        yield Finding("ok", "dig", "there, to ask through the gateway")
    else:
        lack = "not on the PATH; the lab's hosts have it: dnslab shell host"
        yield Finding("note", "dig", lack, _install("bind9-dnsutils"))
    yield Finding("ok", "labs", ", ".join(labs.names()))


def _compose() -> str:
    """The Compose that works here, with its version; empty when none does."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]):
            done = subprocess.run([*command, "version", "--short"], capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return f"{' '.join(command)} {done.stdout.strip()}"
    return ""


def _install(package: str) -> str:
    return _as_root(f"apt-get install {package}")


def _as_root(command: str) -> str:
    return command if os.geteuid() == 0 else f"sudo {command}"
