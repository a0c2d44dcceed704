"""Programs that join the lab: people's own, to be tested against it, each in a container that stands at a host.

Such a container shares the network namespace of the host, and Docker gives it the host's resolv.conf with that. So the
program has the addresses of the host, asks the resolvers of the lab, and meets the faults on the links of the host.
"""

from __future__ import annotations

import io
import itertools
import re
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from lab.errors import BadInput, EnvironmentProblem
from lab.runtime import containers, labels
from lab.runtime.parallel import uninterrupted
from lab.runtime.program import Program
from lab.runtime.spec import MEMORY

if TYPE_CHECKING:
    from docker import APIClient

PIDS = 512  # runtimes of some languages begin with dozens of threads
# Of those that Docker gives by default: what servers need that give each of their parts a user of its own, and those
# whose file demands to bind low ports, which is free to all here.
CAPABILITIES = frozenset(
    {"CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "NET_BIND_SERVICE", "NET_RAW", "SETGID", "SETUID", "SYS_CHROOT"}
)
# Python holds back what it prints where that is no terminal, and whoever waits for a line waits for ever.
ENVIRONMENT = {"PYTHONUNBUFFERED": "1"}

_NAME = r"[a-zA-Z0-9][a-zA-Z0-9_.-]*"
_CANNOT = re.compile(r'exec: "(?P<what>[^"]*)": (?P<why>.*?)(?:: unknown)?$')
_NOBODY = re.compile(r"unable to find (user|group) .*")


class Options(TypedDict, total=False):
    """How a program is run."""

    image: str | None  # any on this machine; default: that of the host, which has Python
    name: str | None  # to be told by; default: as its file, with a number from the second on
    environment: Mapping[str, str] | None
    files: Mapping[str, Path | str | bytes] | None  # absolute path -> file or folder of this machine, text, octets
    user: str | None  # as of `docker run --user`; default: that of the image
    memory: int  # octets at the most; default: 256 MiB
    pids: int  # processes and threads at the most; default: 512
    capabilities: Sequence[str]  # some of CAPABILITIES, as "SETUID"; default: none


def run(api: APIClient, lab: str, host: str, command: Sequence[str] | None, how: Options) -> Program:
    """Run a program at a host; see `RunningLab.run`. Raises `BadInput`, `EnvironmentProblem`."""
    from docker.errors import APIError

    _check(command, how)
    archive = _archive(how.get("files") or {})
    container, marks = _create(api, lab, host, command, how)
    try:
        if archive:
            api.put_archive(container, "/", archive)
        api.start(container)
    except BaseException as error:
        with uninterrupted():
            containers.remove(api, [container])
        if isinstance(error, APIError):
            raise _not_started(f"{marks[labels.NAME]} at {host}", str(error.explanation), how) from None
        raise
    return Program(api, container, marks)


def programs(api: APIClient, lab: str) -> list[Program]:
    """The programs that were run in a lab and not removed, first ones first, whoever ran them."""
    found = api.containers(all=True, filters=labels.of_programs(lab))  # the newest first, of those of one second too
    return [Program(api, entry["Id"], entry["Labels"]) for entry in reversed(found)]


def _check(command: Sequence[str] | None, how: Options) -> None:
    """Raises `BadInput` for what Docker would not understand, or understand in another way."""
    if isinstance(command, str):
        raise BadInput(f'a command is a list of words: {command.split()}, or ["sh", "-c", {command!r}]')
    if not command and how.get("image") is None:
        raise BadInput("run what? Say a command for the host's own image, or an image of yours")
    if (name := how.get("name")) is not None and not re.fullmatch(_NAME, name):
        raise BadInput(f"{name!r} cannot be the name of a program: letters, digits, `_`, `.` and `-`")
    for capability in how.get("capabilities", ()):
        if capability not in CAPABILITIES:
            raise BadInput(
                f"no program can have the capability {capability} (there are: {', '.join(sorted(CAPABILITIES))})"
            )


def _create(
    api: APIClient, lab: str, host: str, command: Sequence[str] | None, how: Options
) -> tuple[str, dict[str, str]]:
    """Create its container, not started; its id and labels."""
    from docker.errors import APIError, ImageNotFound

    place, image = _running(api, lab, host), how.get("image")
    marks = {labels.LAB: lab, labels.HELPER: host, labels.KIND: labels.JOINED, labels.LIFE: place["State"]["StartedAt"]}
    for name in _names(command, how):
        marks[labels.NAME] = name
        try:
            created = api.create_container(
                image or place["Image"],
                None if command is None else list(command),
                name=f"{labels.container_name(lab, host)}.{labels.JOINED}.{name}",
                user=how.get("user"),
                environment={**ENVIRONMENT, **(how.get("environment") or {})},
                labels=marks,
                host_config=_limits(api, lab, host, how),
            )
        except ImageNotFound:
            raise BadInput(
                f"there is no image {image} on this machine; `docker build -t {image} .` makes one,"
                f" `docker pull {image}` fetches one"
            ) from None
        except APIError as error:
            if error.status_code == 409:  # there is one of that name
                continue
            kind = BadInput if error.status_code == 400 else EnvironmentProblem
            raise kind(f"Docker did not create {name} at {host}: {error.explanation}") from None
        return created["Id"], marks
    raise BadInput(f"{host} has a program {how.get('name')} already; remove it, or take another name")


def _running(api: APIClient, lab: str, host: str) -> dict[str, Any]:
    """What Docker knows of the container of a host. Raises `EnvironmentProblem` when it does not run."""
    from docker.errors import NotFound

    try:
        found: dict[str, Any] = api.inspect_container(labels.container_name(lab, host))
    except NotFound:
        raise EnvironmentProblem(f"{host} has no container; `dnslab up` makes it") from None
    if (state := found["State"]["Status"]) != "running":
        state = "stopped" if state == "exited" else state
        raise EnvironmentProblem(f"{host} is {state}, and no program runs at it; `dnslab up` mends it")
    return found


def _names(command: Sequence[str] | None, how: Options) -> Iterator[str]:
    """What it may be called, one after the other."""
    if (name := how.get("name")) is not None:
        yield name
        return
    path = command[0] if command else re.sub(r"[:@][^/]*$", "", how.get("image") or "")  # without tag and digest
    found = re.findall(_NAME, path.rpartition("/")[2])
    first = found[0] if found else labels.JOINED
    yield first
    yield from (f"{first}-{number}" for number in itertools.count(2))


def _limits(api: APIClient, lab: str, host: str, how: Options) -> dict[str, Any]:
    """What its container may and may not do, in the words of Docker's host configuration."""
    from docker.types import LogConfig

    return api.create_host_config(
        network_mode=f"container:{labels.container_name(lab, host)}",
        cap_drop=["ALL"],
        cap_add=list(how.get("capabilities", ())),
        security_opt=["no-new-privileges"],
        pids_limit=how.get("pids", PIDS),
        mem_limit=how.get("memory", MEMORY),
        log_config=LogConfig(type="json-file"),  # what this Docker does by default may not be readable
    )


def _not_started(what: str, reason: str, how: Options) -> BadInput | EnvironmentProblem:
    if found := _CANNOT.search(reason):
        return BadInput(f"{how.get('image') or 'the image of hosts'} cannot run {found['what']!r}: {found['why']}")
    kind = BadInput if _NOBODY.search(reason) else EnvironmentProblem
    return kind(f"Docker did not start {what}: {reason}")


def _archive(files: Mapping[str, Path | str | bytes]) -> bytes:
    """The files as a tar archive of the root of a container; empty when there are none."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, content, mode in _entries(files):
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode, entry.mtime = len(content), mode, time.time()
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue() if files else b""


def _entries(files: Mapping[str, Path | str | bytes]) -> Iterator[tuple[str, bytes, int]]:
    """Path, content and mode of each file; one of this machine that is executable stays so. Raises `BadInput`."""
    for path, content in files.items():
        if not path.startswith("/") or path.endswith("/"):
            raise BadInput(f"files: where to? {path!r} is no absolute path of a file in the container")
        if isinstance(content, Path):
            yield from _read(path, content)
        else:
            yield path, content.encode() if isinstance(content, str) else content, 0o644


def _read(path: str, source: Path) -> Iterator[tuple[str, bytes, int]]:
    """A file of this machine, or all files below a folder, as entries at `path`."""
    try:
        for file in sorted(source.rglob("*")) if source.is_dir() else [source]:
            if not file.is_dir():
                mode = 0o755 if file.stat().st_mode & 0o111 else 0o644
                yield f"{path}/{file.relative_to(source).as_posix()}".removesuffix("/."), file.read_bytes(), mode
    except OSError as error:
        raise BadInput(f"files: cannot read {error.filename} for {path}: {error.strerror}") from None
