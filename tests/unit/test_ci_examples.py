"""The jobs in docs/ci: sound YAML, and no command or option in them that there is not."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from ruamel.yaml import YAML

from lab.cli.app import app
from lab.testing.needs import NEEDS

JOBS = Path(__file__).parents[2] / "docs" / "ci"


def _read(name: str) -> Any:
    return YAML(typ="safe").load((JOBS / name).read_text(encoding="utf-8"))


def _steps() -> list[dict[str, Any]]:
    return list(_read("github-actions.yml")["jobs"]["dns"]["steps"])


def _commands() -> Iterator[list[str]]:
    """Every command of both jobs, as words."""
    scripts = [step["run"] for step in _steps() if "run" in step] + _read("gitlab-ci.yml")["dns"]["script"]
    for line in (line for script in scripts for line in script.splitlines()):
        for command in re.split(r"[|;]+|&&", re.sub(r"\$\((.*?)\)", "", line)):
            yield shlex.split(command, comments=True)


def _of(program: str) -> list[list[str]]:
    found = [words[1:] for words in _commands() if words[:1] == [program]]
    assert found
    return found


def test_verbs_of_dnslab() -> None:
    verbs = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for verb, *rest in _of("dnslab"):
        known = {name for parameter in verbs[verb].params for name in parameter.opts}
        assert known >= {word for word in rest if word.startswith("-")}


def test_options_of_pytest() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "pytest", "--help"], capture_output=True, text=True, check=True
    ).stdout
    for words in _of("pytest"):
        for option in (word.partition("=")[0] for word in words if word.startswith("-")):
            assert re.search(rf"(^|[ ,]){re.escape(option)}[ =,]", shown, re.MULTILINE), option
        [required] = [word.partition("=")[2] for word in words if word.startswith("--require=")]
        assert set(required.split(",")) <= set(NEEDS)


def test_both_jobs_keep_what_failed_tests_leave() -> None:
    folders = {words[words.index("--dnslab-artifacts") + 1] for words in _of("pytest")}
    assert folders == {"dns-artifacts"}
    [upload] = [step for step in _steps() if step.get("uses", "").startswith("actions/upload-artifact@")]
    assert upload["if"] == "failure()"
    assert folders < set(upload["with"]["path"].split())
    assert folders == set(_read("gitlab-ci.yml")["dns"]["artifacts"]["paths"])


@pytest.mark.parametrize("name", ["github-actions.yml", "gitlab-ci.yml"])
def test_the_images_are_there_before_the_tests_begin(name: str) -> None:
    text = (JOBS / name).read_text(encoding="utf-8")
    assert text.index("dnslab images --build") < text.index("dnslab doctor") < text.index("pytest --require")
