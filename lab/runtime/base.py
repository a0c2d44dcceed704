"""Where the Debian under every image comes from: this machine, a registry, or a Debian mirror."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from lab.errors import EnvironmentProblem
from lab.runtime.events import Event, Report

if TYPE_CHECKING:
    from docker import DockerClient

SUITE = "bookworm"
PUBLISHED = f"debian:{SUITE}-slim"
HOME_MADE = f"dnslab/debian:{SUITE}"
SUBJECT = "Debian"  # of the events

REGISTRY_PATIENCE = (5, 15)  # seconds to reach the daemon; and without a word from it, when its registry is silent

#: As root, mmdebstrap mounts /proc, /sys and /dev into what it makes, and an interruption leaves them there (it was
#: tried). In namespaces of its own all of that ends with it, as it does by itself for other users.
CONFINED = ("unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc")

MIRROR = "http://deb.debian.org/debian"
SECURITY_MIRROR = "http://deb.debian.org/debian-security"
APT_SOURCES = Path("/etc/apt")
BOOTSTRAP_PACKAGES = ("mmdebstrap", "debian-archive-keyring")  # the second is on Debian anyway, on Ubuntu it is not


def debian(client: DockerClient, report: Report) -> str:
    """Reference of a Debian image to build on; which way it was got is told in an event.

    An image that is there is taken (debian:bookworm-slim, or one made here before), else debian:bookworm-slim is
    pulled, else one is made with mmdebstrap.

    Raises EnvironmentProblem if none of these is possible.
    """
    here = {tag for image in client.api.images() for tag in image["RepoTags"] or ()}
    for reference in (PUBLISHED, HOME_MADE):
        if reference in here:
            report(Event(SUBJECT, f"{reference} is on this machine"))
            return reference
    report(Event(SUBJECT, f"pulling {PUBLISHED}"))
    refusal = _pull(client, PUBLISHED)
    if refusal is None:
        report(Event(SUBJECT, f"{PUBLISHED} was pulled"))
        return PUBLISHED
    report(Event(SUBJECT, f"no registry to pull {PUBLISHED} from ({refusal})"))
    _bootstrap(client, report)
    return HOME_MADE


def _pull(client: DockerClient, reference: str) -> str | None:
    """Pull an image; None, or in a line why it could not be.

    Past client.images.pull(), which waits without limit: where packets to the registry are dropped, that is long.
    """
    from requests import RequestException

    name, tag = reference.split(":")
    api = client.api
    url = f"{api.base_url}/v{api.api_version}/images/create"
    try:
        with api.post(url, params={"fromImage": name, "tag": tag}, stream=True, timeout=REGISTRY_PATIENCE) as answer:
            if not answer.ok:
                return str(answer.json().get("message", answer.reason)).strip()
            for line in answer.iter_lines():
                if line and (error := json.loads(line).get("error")):
                    return str(error).strip()
    except (RequestException, ValueError) as error:
        return f"it does not answer: {error}"
    return None


def _bootstrap(client: DockerClient, report: Report) -> None:
    """Make a Debian with mmdebstrap and import it as HOME_MADE, straight from its output: no file is left, nor half an
    image, whatever ends this.
    """
    program = _mmdebstrap(report)
    report(Event(SUBJECT, f"making {HOME_MADE} from a Debian mirror with mmdebstrap (about 20 s)"))
    with (
        tempfile.TemporaryDirectory(prefix="dnslab-debian-") as folder,
        tempfile.TemporaryFile() as log,
    ):
        Path(folder).chmod(0o755)  # apt downloads as a user of its own
        process = subprocess.Popen(
            _command(program),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, "TMPDIR": folder, "LC_ALL": "C.UTF-8"},
            start_new_session=True,  # Ctrl-C reaches us, and we end it in order
        )
        try:
            assert process.stdout is not None
            repository, tag = HOME_MADE.split(":")
            archive = _whole(process, process.stdout, log)
            answer = client.api.import_image_from_stream(archive, repository=repository, tag=tag)
        finally:
            _end(process)
        if '"error"' in answer:  # with status 200: it is told at the end of a stream
            raise EnvironmentProblem(f"Docker did not take the base image that mmdebstrap made: {answer.strip()}")
    report(Event(SUBJECT, f"{HOME_MADE} was made with mmdebstrap"))


def _command(program: str) -> list[str]:
    """A Debian with apt and nothing that a node does not need, 69 MB. usr-is-merged stands in for usrmerge, which would
    bring all of Perl (54 MB).
    """
    mirror, security = mirrors(APT_SOURCES)
    unwanted = "share/doc share/info share/lintian share/locale share/man"
    clean = " ".join(f'"$1"/usr/{name}/*' for name in unwanted.split())
    return [
        *(CONFINED if os.geteuid() == 0 else ()),
        program,
        "--quiet",
        "--format=tar",
        "--variant=apt",
        "--include=usr-is-merged",
        "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
        "--dpkgopt=force-unsafe-io",
        # Not --dpkgopt=path-exclude: mmdebstrap filters in Perl then, and takes ten seconds more.
        f'--customize-hook=rm -rf {clean} "$1"/var/log/* "$1"/var/cache/debconf/*-old',
        SUITE,
        "-",
        f"deb {mirror} {SUITE} main",
        f"deb {mirror} {SUITE}-updates main",
        f"deb {security} {SUITE}-security main",
    ]


def _whole(process: subprocess.Popen[bytes], output: IO[bytes], log: IO[bytes]) -> Iterator[bytes]:
    """The archive piece by piece. If the program fails the upload breaks off, so that Docker discards it."""
    while piece := output.read(1 << 20):
        yield piece
    if process.wait() != 0:
        log.seek(0)
        last = "\n".join(log.read().decode(errors="replace").splitlines()[-15:])
        raise EnvironmentProblem(
            f"mmdebstrap could not make the base image (exit code {process.returncode}). Its last words:\n{last}\n"
            f"Is the Debian mirror {mirrors(APT_SOURCES)[0]} reachable? Or bring the image: docker load < {SUITE}.tar"
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    """Stop the program and all it started, if it still runs. Its mounts end with its namespace."""
    if process.stdout is not None:
        process.stdout.close()
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _mmdebstrap(report: Report) -> str:
    """Path of mmdebstrap, installed first if it is missing and we may."""
    if found := shutil.which("mmdebstrap"):
        return found
    install = ["apt-get", "install", "-y", "--no-install-recommends", *BOOTSTRAP_PACKAGES]
    advice = (
        f"There is no {PUBLISHED} on this machine, no registry to pull it from, and no mmdebstrap to make one.\n"
        f"On Debian or Ubuntu: sudo {' '.join(install)}\n"
        f"Or, on a machine with a registry: docker save {PUBLISHED} > debian.tar, and here: docker load < debian.tar"
    )
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise EnvironmentProblem(advice)
    report(Event(SUBJECT, f"installing mmdebstrap on this machine: {' '.join(install)}"))
    for command in (["apt-get", "update"], install):
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"},
        )
        # One unreachable source of many makes an update fail; what counts is whether the packages can be had.
        if done.returncode != 0 and command is install:
            last = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
            raise EnvironmentProblem(f"{advice}\nThe installation was tried and failed:\n{last}")
    found = shutil.which("mmdebstrap")
    if found is None:
        raise EnvironmentProblem(advice)
    return found


def mirrors(apt: Path) -> tuple[str, str]:
    """The Debian mirror and its mirror of security updates that a machine uses; the public ones if it uses none.

    `apt` is its /etc/apt. Only addresses that end in /debian or /debian-security count: the sources of other
    distributions, and of single programs, carry no Debian.
    """
    found = [address for file in _source_files(apt) for address in _addresses(file.read_text(errors="replace"))]
    mirror = next((address for address in found if address.endswith("/debian")), MIRROR)
    security = next((address for address in found if address.endswith("/debian-security")), SECURITY_MIRROR)
    return mirror, security


def _source_files(apt: Path) -> list[Path]:
    folder = apt / "sources.list.d"
    files = [apt / "sources.list", *sorted(folder.glob("*.list")), *sorted(folder.glob("*.sources"))]
    return [file for file in files if file.is_file()]


def _addresses(sources: str) -> Iterator[str]:
    """Addresses of binary packages in either notation of apt (one line each, or `URIs:` in a paragraph)."""
    for line in sources.splitlines():
        if match := re.match(r"\s*deb\s+(?:\[[^]]*\]\s*)?(https?://\S+)", line):
            yield match[1].rstrip("/")
        elif match := re.match(r"URIs:\s*(.+)", line):
            yield from (word.rstrip("/") for word in match[1].split() if word.startswith("http"))
