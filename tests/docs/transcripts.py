"""Transcripts in docs: commands with what they really printed; `python -m tests.docs.transcripts FILE...` renews them.

A transcript is a fenced block marked `console`: lines that begin with `$ ` are typed, what stands below each of them is
what it printed. All commands of a file are run in order on one fresh lab.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_PROMPT = "$ "
_PATIENCE = 300  # seconds a command may take


@dataclass(frozen=True)
class Typed:
    """One command as it ran."""

    command: str
    output: str
    status: int


def blocks(text: str) -> Iterator[str]:
    """The transcripts of a document."""
    for block in _BLOCK.finditer(text):
        yield block[1]


def commands(block: str) -> list[str]:
    """What is typed in a transcript."""
    return [line.removeprefix(_PROMPT) for line in block.splitlines() if line.startswith(_PROMPT)]


def typed(command: str, environment: Mapping[str, str]) -> Typed:
    """Run a command as a person would, with the `dnslab` of this Python first on the PATH."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    done = subprocess.run(
        ["bash", "-c", command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=_PATIENCE,
        env={**os.environ, "PATH": path, "NO_COLOR": "1", "COLUMNS": "110", **environment},
    )
    return Typed(command, done.stdout, done.returncode)


def renewed(text: str, environment: Mapping[str, str]) -> str:
    """The document with what its commands print now."""

    def run(block: re.Match[str]) -> str:
        parts = []
        for command in commands(block[1]):
            print(f"$ {command}", flush=True)
            done = typed(command, environment)
            parts.append(f"{_PROMPT}{command}\n" + "\n".join(line.rstrip() for line in done.output.splitlines()))
        return "```console\n" + "\n".join(part.rstrip("\n") for part in parts) + "\n```"

    return _BLOCK.sub(run, text)


def main() -> None:
    """Renew the transcripts of some documents, each on a textbook lab of its own."""
    from lab import Lab

    for file in map(Path, sys.argv[1:]):
        with Lab.temporary("textbook", name=f"docs-{os.getpid()}") as lab:
            text = file.read_text(encoding="utf-8")
            file.write_text(renewed(text, {"DNSLAB_LAB": lab.name}), encoding="utf-8")


if __name__ == "__main__":
    main()
