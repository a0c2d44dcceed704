"""What is asked of Docker for a program that joins the lab, and what is refused before it is asked."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest
from docker.errors import APIError, NotFound

from lab.errors import BadInput, EnvironmentProblem
from lab.runtime import labels, programs
from lab.runtime.programs import Options


class Response:
    """Of a request that failed, as docker-py looks at it."""

    def __init__(self, status: int) -> None:
        self.status_code, self.reason = status, ""


def refusal(status: int, reason: str) -> APIError:
    kind = NotFound if status == 404 else APIError
    return kind(reason, response=Response(status), explanation=reason)  # type: ignore[arg-type]


class FakeDocker:
    """A Docker with one host; keeps what it is asked for."""

    def __init__(self, state: str = "running", taken: tuple[str, ...] = (), start: APIError | None = None) -> None:
        self.state, self.taken, self.error = state, taken, start
        self.created: list[dict[str, Any]] = []
        self.archives: list[bytes] = []
        self.removed: list[str] = []

    def inspect_container(self, container: str) -> dict[str, Any]:
        if container != "dnslab.mine.host":
            raise refusal(404, "No such container")
        return {"State": {"Status": self.state, "StartedAt": "then"}, "Image": "sha256:host"}

    def create_host_config(self, **limits: Any) -> dict[str, Any]:
        return limits

    def create_container(self, image: str, command: list[str] | None, **more: Any) -> dict[str, str]:
        if more["name"].rpartition("program.")[2] in self.taken:
            raise refusal(409, "already in use")
        self.created.append({"image": image, "command": command, **more})
        return {"Id": "container"}

    def put_archive(self, _container: str, path: str, data: bytes) -> None:
        assert path == "/"
        self.archives.append(data)

    def start(self, _container: str) -> None:
        if self.error is not None:
            raise self.error

    def remove_container(self, container: str, **_how: Any) -> None:
        self.removed.append(container)


def run(api: Any, command: Any = ("true",), *, host: str = "host", **how: Any) -> programs.Program:
    options: Options = how  # type: ignore[assignment]
    return programs.run(api, "mine", host, command, options)


def test_it_shares_the_network_of_its_host_and_may_do_nothing() -> None:
    api = FakeDocker()
    run(api, ["python3", "-V"], environment={"LANG": "C"}, capabilities=["SETUID"], memory=2**26)
    [created] = api.created
    assert (created["image"], created["command"]) == ("sha256:host", ["python3", "-V"])
    assert created["name"] == "dnslab.mine.host.program.python3"
    assert created["environment"] == {"PYTHONUNBUFFERED": "1", "LANG": "C"}
    assert created["labels"] == {
        labels.LAB: "mine",
        labels.HELPER: "host",
        labels.KIND: "program",
        labels.NAME: "python3",
        labels.LIFE: "then",
    }
    limits = created["host_config"]
    assert limits["network_mode"] == "container:dnslab.mine.host"
    assert (limits["cap_drop"], limits["cap_add"]) == (["ALL"], ["SETUID"])
    assert limits["security_opt"] == ["no-new-privileges"]
    assert (limits["mem_limit"], limits["pids_limit"]) == (2**26, 512)


@pytest.mark.parametrize(
    ("command", "how", "taken", "name"),
    [
        (["/usr/bin/dig", "+short"], {}, (), "dig"),
        (["dig"], {}, ("dig", "dig-2"), "dig-3"),
        (None, {"image": "registry.example.com:5000/mail/my-server:test"}, (), "my-server"),
        (None, {"image": "my-server"}, (), "my-server"),
        (None, {"image": "my-server@sha256:0123"}, (), "my-server"),
        (["-"], {"image": "x"}, (), "program"),
        (["dig"], {"name": "asker"}, ("dig",), "asker"),
    ],
)
def test_it_is_called_as_its_file(
    command: list[str] | None, how: dict[str, Any], taken: tuple[str, ...], name: str
) -> None:
    assert run(FakeDocker(taken=taken), command, **how).name == name


def test_files_are_texts_octets_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "app" / "inner").mkdir(parents=True)
    (tmp_path / "app" / "start.sh").write_text("#!/bin/sh\n")
    (tmp_path / "app" / "start.sh").chmod(0o700)
    (tmp_path / "app" / "inner" / "data").write_bytes(b"\0")
    api = FakeDocker()
    run(api, files={"/a": "text", "/b/c": b"\xff", "/app": tmp_path / "app", "/d": tmp_path / "app" / "inner" / "data"})
    [archive] = api.archives
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        found = {entry.name: (entry.mode, opened.extractfile(entry).read()) for entry in opened}  # type: ignore[union-attr]
    assert found == {
        "a": (0o644, b"text"),
        "b/c": (0o644, b"\xff"),
        "app/inner/data": (0o644, b"\0"),
        "app/start.sh": (0o755, b"#!/bin/sh\n"),
        "d": (0o644, b"\0"),
    }


@pytest.mark.parametrize(
    ("command", "how", "said"),
    [
        ("ls -l", {}, r"""a command is a list of words: \['ls', '-l'\], or \["sh", "-c", 'ls -l'\]"""),
        (None, {}, "run what\\? Say a command"),
        ([], {}, "run what\\?"),
        (["ls"], {"name": "a b"}, "'a b' cannot be the name of a program"),
        (["ls"], {"capabilities": ["SYS_ADMIN"]}, "no program can have the capability SYS_ADMIN \\(there are: CHOWN, "),
        (["ls"], {"files": {"a": ""}}, "where to\\? 'a' is no absolute path"),
        (["ls"], {"files": {"/a/": ""}}, "where to\\? '/a/' is no absolute path"),
        (["ls"], {"files": {"/a": Path("/nowhere/file")}}, "cannot read /nowhere/file for /a: No such file"),
        (["ls"], {"name": "taken"}, "host has a program taken already"),
    ],
)
def test_what_cannot_be_is_refused(command: Any, how: dict[str, Any], said: str) -> None:
    api = FakeDocker(taken=("taken",))
    with pytest.raises(BadInput, match=said):
        run(api, command, **how)
    assert api.created == []


@pytest.mark.parametrize(
    ("api", "host", "said"),
    [
        (FakeDocker("exited"), "host", "host is stopped, and no program runs at it; `dnslab up` mends it"),
        (FakeDocker("paused"), "host", "host is paused, and no program runs at it"),
        (FakeDocker(), "gone", "gone has no container; `dnslab up` makes it"),
    ],
)
def test_a_host_that_does_not_run_has_no_programs(api: FakeDocker, host: str, said: str) -> None:
    with pytest.raises(EnvironmentProblem, match=said):
        run(api, host=host)


@pytest.mark.parametrize(
    ("reason", "kind", "said"),
    [
        (
            'OCI runtime create failed: exec: "nope": executable file not found in $PATH: unknown',
            BadInput,
            "the image of hosts cannot run 'nope': executable file not found in $PATH",
        ),
        (
            "unable to find user me: no matching entries in passwd file",
            BadInput,
            "Docker did not start true at host: unable to find user me: no matching entries in passwd file",
        ),
        ("no space left on device", EnvironmentProblem, "Docker did not start true at host: no space left on device"),
    ],
)
def test_what_does_not_start_leaves_no_container(reason: str, kind: type[Exception], said: str) -> None:
    api = FakeDocker(start=refusal(400, reason))
    with pytest.raises(kind) as failed:
        run(api)
    assert (type(failed.value), str(failed.value)) == (kind, said)
    assert api.removed == ["container"]
