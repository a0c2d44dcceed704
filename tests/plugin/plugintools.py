"""Runs of pytest inside tests: on a folder of somebody else, in a process of their own, with what they left counted."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from lab.runtime import labels
from lab.runtime.engine import connect
from lab.testing import eventually

PATIENCE = 240.0  # seconds for a run of pytest, on a busy machine
GONE = 20.0  # seconds after the death of its owner until nothing is left of a lab: twice what is promised

_TINY = """lab: tiny
zones:
  .: {servers: [root], records: "www.example.com. A 192.0.2.80"}
servers: {root: knot}
resolvers: {resolver: unbound}
hosts: {host: {resolvers: [resolver]}}
"""

_MARK = "DNSLAB_TEST_RUN"  # in the environment of all processes of a run, whoever started them
_OF_OUTER = ("PYTEST_", "DNSLAB_", "COV_")  # what the outer run has in its environment is not for the inner one


class Run:
    """A run of pytest that is under way."""

    def __init__(self, folder: Path, arguments: tuple[str, ...], environment: Mapping[str, str]) -> None:
        self._token = secrets.token_hex(8)
        self._began = time.monotonic()
        self._files = [folder / f"{self._token}.{stream}" for stream in ("out", "err")]
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(_OF_OUTER)}
        with self._files[0].open("wb") as out, self._files[1].open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
                cwd=folder,
                env={**inherited, **environment, _MARK: self._token},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,  # a process group of its own, as a shell gives it
            )

    @property
    def id(self) -> str:
        """How the plugin calls it: a part of the names of all its labs."""
        found = re.search(r"^dnslab: run (\w+)$", self._files[0].read_text(), re.MULTILINE)
        assert found, self.said()
        return found[1]

    def wait(self) -> pytest.RunResult:
        """How it ended; all that it printed is in the report of a test that fails."""
        code = self.process.wait(PATIENCE)
        print(self.said())
        out, err = (file.read_text().splitlines() for file in self._files)
        return pytest.RunResult(code, out, err, time.monotonic() - self._began)

    def said(self) -> str:
        """All that it printed."""
        return "\n".join(file.read_text() for file in self._files)

    def alive(self) -> None:
        """Fail when it has ended: then nothing more is to be waited for."""
        if self.process.poll() is not None:
            pytest.fail(self.said(), pytrace=False)

    def processes(self) -> dict[int, str]:
        """All processes of it that live, those it has orphaned included: process id -> command line."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if f"{_MARK}={self._token}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        return found

    def labs(self) -> set[str]:
        """Names of its labs that have a container, a network or a volume."""
        return {of.split()[1] for of in self.left() if not of.startswith("process")}

    def left(self) -> list[str]:
        """All that there is of it now: containers, networks, volumes and processes."""
        client = connect()
        try:
            api = client.api
            kinds = {
                "container": api.containers(all=True, filters=labels.of_any_lab()),
                "network": api.networks(filters=labels.of_any_lab()),
                "volume": api.volumes(filters=labels.of_any_lab())["Volumes"] or [],
            }
        finally:
            client.close()
        found = [
            f"{kind} {entry['Labels'][labels.LAB]} {entry.get('Name') or entry['Names'][0]}"
            for kind, entries in kinds.items()
            for entry in entries
            if self.id in entry["Labels"][labels.LAB].split("-")
        ]
        return found + [f"process {number} {command}" for number, command in self.processes().items()]

    def leaves_nothing(self) -> None:
        """Wait until nothing is left of it, at most `GONE` seconds."""

        def check() -> None:
            left = self.left()
            assert not left, "\n".join(left)

        began = time.monotonic()
        eventually(check, within=GONE)
        print(f"nothing was left after {time.monotonic() - began:.1f} s")

    def end(self) -> None:
        """End it if it is still there: its owner's death is what its reapers wait for."""
        with suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()


class Project:
    """A folder with tests, and with tiny.yaml: the smallest lab there can be, quickly up and down."""

    def __init__(self, folder: Path, **files: str) -> None:
        self.folder = folder
        (folder / "tiny.yaml").write_text(_TINY, encoding="utf-8")
        self.write(**files)

    def write(self, **files: str) -> None:
        """Write modules, by their names without `.py`."""
        for name, text in files.items():
            (self.folder / f"{name}.py").write_text(textwrap.dedent(text), encoding="utf-8")

    def run(self, *arguments: str, **environment: str) -> pytest.RunResult:
        """Run its tests to the end."""
        with self.running(*arguments, **environment) as run:
            return run.wait()

    @contextmanager
    def running(self, *arguments: str, **environment: str) -> Iterator[Run]:
        """Run its tests beside what the block does."""
        run = Run(self.folder, arguments, environment)
        try:
            yield run
        finally:
            run.end()

    def wait_for(self, run: Run, file: str) -> str:
        """Wait until a test of the run has written a line into a file; the line."""
        path = self.folder / file

        def look() -> str:
            run.alive()
            text = path.read_text() if path.is_file() else ""
            assert text.endswith("\n"), f"{file} is not written; {run.said()}"
            return text.strip()

        return eventually(look, within=PATIENCE)
