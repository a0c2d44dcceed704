"""The images that nodes are made of: built once, found by their content afterwards.

An image's tag is a digest of everything it is built from, its base included, so that "is it there?" is one list call
and a changed Dockerfile can't be answered by an old image. `latest` is set beside it, for Compose files and people.
What Debian's mirrors hold on the day is no part of the digest: the package's version is recorded in a label instead.
"""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab import paths
from lab.errors import BadInput, EnvironmentProblem
from lab.runtime import base
from lab.runtime.events import Event, Report, silent

if TYPE_CHECKING:
    from docker import DockerClient

REPOSITORY = "dnslab"
BASE = "base"

OURS = "dnslab=image"  # the label that every image of ours carries, from its Dockerfile
PACKAGE = "dnslab.package"  # label, from its Dockerfile: the package whose version is the image's
VERSION = "dnslab.version"  # label, set here: package and version, as in "knot 3.2.6-1"
DEBIAN = "dnslab.debian"  # label, set here: the Debian underneath

DIGITS = 12  # of the digest in a tag
LAST_LINES = 15  # of the output, when a build fails
SILENCE = 600  # seconds a build may go on without a line: a slow mirror, a slow disk


def known() -> list[str]:
    """Names of all images that can be built, the base apart: the folders of images/."""
    return sorted(file.parent.name for file in paths.images().glob("*/Dockerfile") if file.parent.name != BASE)


@dataclass(frozen=True)
class Source:
    """What an image is built from, read once: files that change during a build must not end up under a wrong tag."""

    name: str
    files: Mapping[str, bytes]  # path in the context -> content, in the order of the paths
    below: Source | None  # the base; None for the base itself

    @property
    def digest(self) -> str:
        """Changes with any byte or path of what the image is built from."""
        digest = hashlib.sha256(self.below.digest.encode() if self.below else b"")
        for path, content in self.files.items():
            digest.update(f"{path}\0{len(content)}\0".encode() + content)
        return digest.hexdigest()[:DIGITS]

    @property
    def reference(self) -> str:
        """Repository and tag of the image."""
        return f"{REPOSITORY}/{self.name}:{self.digest}"


def source(name: str) -> Source:
    """What an image is built from, as it is on this disk now.

    Raises BadInput for a name without a folder in images/, or a Dockerfile that copies what is not there.
    """
    return Source(name, context_files(name), None if name == BASE else source(BASE))


def image_reference(name: str) -> str:
    """Reference of the image as it is described on this disk now, whether or not it has been built.

    Raises BadInput as `source` does.
    """
    return source(name).reference


def ensure_images(client: DockerClient, names: Iterable[str], report: Report = silent) -> dict[str, str]:
    """Name of an image -> its reference, for each of `names`; what is missing has been built when this returns.

    Images are built in parallel, on the base. `report` is called from several threads; nothing is reported if nothing
    has to be built.

    Raises EnvironmentProblem, with the end of the output, if a build fails; then, and on Ctrl-C, the others are
    broken off, and no image has a tag that it does not deserve.
    """
    sources = {name: source(name) for name in names}
    wanted = {name: wish.reference for name, wish in sources.items()}
    images = client.api.images(filters={"label": OURS})
    there = {tag: image["Id"] for image in images for tag in image["RepoTags"] or ()}
    missing = [wish for wish in sources.values() if wish.reference not in there]
    for name, reference in wanted.items():
        latest = f"{REPOSITORY}/{name}:latest"
        if reference in there and there.get(latest) != there[reference]:
            client.api.tag(there[reference], f"{REPOSITORY}/{name}", "latest")
    if missing:
        below = missing[0].below or missing[0]
        if below.reference not in there:
            debian = base.debian(client, report)
            _build(client, below, {"DEBIAN": debian}, {DEBIAN: debian}, report, threading.Event())
        _build_all(client, [wish for wish in missing if wish.below], below.reference, report)
    return wanted


def prune(client: DockerClient) -> list[str]:
    """Remove dnslab's images that are not current, and what is left of their builds; return what was removed.

    Recognised by their label: no other image is touched, nor one that a container is made of, nor one that somebody
    has made on top of ours, which has the label too, and a name of its own.
    """
    from docker.errors import APIError

    current = {image_reference(name) for name in (BASE, *known())}
    removed: list[str] = []
    for image in client.api.images(filters={"label": OURS}):
        # Without a tag it is listed as <none>:<none>, and goes by its number.
        tags = [tag for tag in image["RepoTags"] or [] if tag != "<none>:<none>"]
        if current.intersection(tags) or not all(tag.startswith(f"{REPOSITORY}/") for tag in tags):
            continue
        for reference in tags or [image["Id"]]:
            try:
                client.api.remove_image(reference)
            except APIError as error:
                if error.status_code not in (404, 409):  # gone meanwhile; in use
                    raise
            else:
                removed.append(reference)
    return removed


def _dockerfile(name: str) -> str:
    """Where it lies in a context."""
    return f"images/{name}/Dockerfile"


def context_files(name: str) -> dict[str, bytes]:
    """Path -> content of all that an image is built from: its Dockerfile, and what that copies.

    Paths are those of the repository (images/..., lab/agent/...), wherever the files lie in an installation.

    Raises BadInput for a name without a folder in images/, or a Dockerfile that copies what is not there.
    """
    dockerfile = paths.images() / name / "Dockerfile"
    if not re.fullmatch(r"[a-z0-9_-]+", name) or not dockerfile.is_file():
        raise BadInput(f"There is no image {name!r} (no {dockerfile}). Known are: {', '.join(known())}.")
    content = dockerfile.read_bytes()
    files = {_dockerfile(name): content}
    for copied in _copied(content.decode()):
        found = dict(_tree(copied))
        if not found:
            raise BadInput(f"{dockerfile} copies {copied}, which is not there.")
        files.update(found)
    return dict(sorted(files.items()))


def _copied(dockerfile: str) -> Iterator[str]:
    """Sources of the COPY instructions that copy from the context."""
    for line in dockerfile.splitlines():
        words = line.split()
        if words[:1] == ["COPY"] and not any(word.startswith("--from") for word in words):
            yield from (word.rstrip("/") for word in words[1:-1] if not word.startswith("--"))


def _tree(path: str) -> Iterator[tuple[str, bytes]]:
    """Path in the context and content of a file, or of all files under a folder."""
    roots = {"images": paths.images(), "lab/agent": paths.agent()}
    prefix = next((prefix for prefix in roots if f"{path}/".startswith(f"{prefix}/")), None)
    if prefix is None:
        raise BadInput(f"An image can only copy from {' and '.join(roots)} (see .dockerignore), not {path}.")
    start = roots[prefix] / path[len(prefix) :].lstrip("/")
    for file in [start] if start.is_file() else sorted(start.rglob("*")):
        inside = file.relative_to(roots[prefix])
        if file.is_file() and "__pycache__" not in inside.parts and file.suffix != ".pyc":
            yield f"{prefix}/{inside.as_posix()}", file.read_bytes()


def context_archive(files: Mapping[str, bytes]) -> bytes:
    """The files as a tar archive for Docker: the same bytes for the same files, so that its cache works."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, content in sorted(files.items()):
            entry = tarfile.TarInfo(path)  # of 1970, root's, 0644
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


class _BrokenOff(Exception):
    """A build was given up because of what happened elsewhere."""


def _build_all(client: DockerClient, wanted: list[Source], below: str, report: Report) -> None:
    """Build on the base `below`, all at once; on the first error, or Ctrl-C, the others are broken off."""
    if not wanted:
        return
    stop = threading.Event()
    debian = client.images.get(below).labels.get(DEBIAN, "")
    pool = ThreadPoolExecutor(len(wanted), thread_name_prefix="dnslab-build")
    try:
        arguments = {"BASE": below}
        builds = [pool.submit(_build, client, wish, arguments, {DEBIAN: debian}, report, stop) for wish in wanted]
        for build in as_completed(builds):
            build.result()
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)


def _build(
    client: DockerClient,
    wish: Source,
    arguments: Mapping[str, str],
    labels: Mapping[str, str],
    report: Report,
    stop: threading.Event,
) -> None:
    """Build one image, record its package's version, then give it its tags."""
    built = _run_build(client, wish.name, wish.files, arguments, report, stop)
    version = _package_version(client, built)
    more = " ".join(f'{key}="{value}"' for key, value in {**labels, VERSION: version}.items())
    labelled = {_dockerfile(wish.name): f"FROM {built}\nLABEL {more}\n".encode()}
    final = _run_build(client, wish.name, labelled, {}, silent, stop)
    repository, tag = wish.reference.split(":")
    for each in (tag, "latest"):
        client.api.tag(final, repository, each)
    report(Event(f"image {wish.name}", f"{version} built"))


def _run_build(
    client: DockerClient,
    name: str,
    files: Mapping[str, bytes],
    arguments: Mapping[str, str],
    report: Report,
    stop: threading.Event,
) -> str:
    """`docker build`; the new image's id. Raises EnvironmentProblem with the end of the output if it fails."""
    output: list[str] = []
    lines = client.api.build(
        fileobj=io.BytesIO(context_archive(files)),
        custom_context=True,
        dockerfile=_dockerfile(name),
        buildargs=dict(arguments),
        rm=True,
        forcerm=True,
        decode=True,
        timeout=SILENCE,
    )
    built = ""
    try:
        for line in lines:
            if stop.is_set():
                raise _BrokenOff(name)
            if error := line.get("error"):
                raise EnvironmentProblem(_failure(name, error, output))
            built = (line.get("aux") or {}).get("ID", built)
            if text := line.get("stream", "").rstrip():
                output += text.splitlines()
                if step := re.match(r"Step (\d+)/(\d+) : (.*)", text):
                    report(Event(f"image {name}", _summary(step[3]), int(step[1]), int(step[2])))
    finally:
        lines.close()  # Docker ends a build that nobody listens to
    if not built:
        raise EnvironmentProblem(_failure(name, "Docker named no image at the end of the build", output))
    return str(built)


def _summary(instruction: str) -> str:
    """An instruction of a Dockerfile, short enough for a line of progress."""
    words = " ".join(instruction.replace("\\", " ").split())
    return words if len(words) <= 70 else f"{words[:69]}…"


def _failure(name: str, error: str, output: list[str]) -> str:
    last = "\n".join(f"    {line}" for line in output[-LAST_LINES:])
    return (
        f"The image {name} could not be built: {error.strip()}\n"
        f"The last lines of its build:\n{last}\n"
        f"Its Dockerfile: {paths.images() / name / 'Dockerfile'}\n"
        "If a package could not be fetched: is the Debian mirror reachable from containers (docker run)?"
    )


def _package_version(client: DockerClient, image: str) -> str:
    """Package that the image declares in its label, and its version: read from dpkg's own file, nothing is run."""
    package = client.images.get(image).labels[PACKAGE]
    container = client.api.create_container(image, command=["true"], labels={"dnslab": "build"})
    try:
        pieces, _ = client.api.get_archive(container["Id"], "/var/lib/dpkg/status")
        status = _only_file(pieces)
    finally:
        client.api.remove_container(container["Id"], force=True)
    return f"{package} {installed_version(status, package)}"


def _only_file(archive: Iterable[bytes]) -> str:
    with tarfile.open(fileobj=io.BytesIO(b"".join(archive))) as opened:
        member: Any = opened.extractfile(opened.getmembers()[0])
        return str(member.read().decode())


def installed_version(status: str, package: str) -> str:
    """Version of a package by dpkg's status file; "unknown" if it is not in it."""
    for paragraph in status.split("\n\n"):
        if paragraph.startswith(f"Package: {package}\n") and (found := re.search(r"^Version: (.+)$", paragraph, re.M)):
            return found[1]
    return "unknown"
