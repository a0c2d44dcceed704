"""A wheel of dnslab, installed where the repository is not: everything that it needs is in it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from plugintools import Project

from lab.runtime.images import image_reference, known

ROOT = Path(__file__).parents[2]
DATA = {"compose": "lab/_data/compose", "images": "lab/_data/images", "lab": "lab"}  # in the checkout, in the wheel

Command = Callable[..., str]


def _run(folder: Path, *command: object) -> str:
    """What a command prints that is to end well, in a folder of its own."""
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PYTEST", "DNSLAB"))
    }
    ended = subprocess.run(
        [str(word) for word in command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, f"{command}\n{ended.stdout}{ended.stderr}"
    return ended.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    _run(folder, sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT)
    [file] = folder.glob("dnslab-*.whl")
    return file


@pytest.fixture(scope="module")
def programs(wheel: Path) -> Path:
    """The folder with `python` and `dnslab` of an environment that has nothing but the wheel."""
    folder = wheel.parent / "environment"
    _run(wheel.parent, sys.executable, "-m", "venv", folder)
    _run(wheel.parent, folder / "bin" / "pip", "install", "--quiet", f"{wheel}[pytest]")
    return folder / "bin"


@pytest.fixture
def dnslab(programs: Path, tmp_path: Path) -> Command:
    return lambda *words: _run(tmp_path, programs / "dnslab", *words)


def test_every_file_is_in_the_wheel(wheel: Path) -> None:
    tracked = _run(ROOT, "git", "ls-files", "--", *DATA).splitlines()
    wanted = {f"{DATA[top]}/{rest}" for top, _, rest in (file.partition("/") for file in tracked)}
    assert len(wanted) > 300
    assert wanted - set(zipfile.ZipFile(wheel).namelist()) == set()


def test_what_comes_with_it(dnslab: Command) -> None:
    assert "minimal" in dnslab("labs")
    assert "tld-outage" in dnslab("experiment", "list")
    assert "servfail" in dnslab("fault", "list")
    assert "dnslab/knot:" in dnslab("images")


def test_its_images_are_those_of_the_checkout(programs: Path, tmp_path: Path) -> None:
    code = "from lab.runtime.images import *; print(*map(image_reference, known()))"
    assert _run(tmp_path, programs / "python", "-c", code).split() == [*map(image_reference, known())]


def test_a_lab(dnslab: Command) -> None:
    name = f"wheel-{os.getpid()}"
    try:
        dnslab("up", "minimal", "--name", name)
        assert "192.0.2.80" in dnslab("query", "www.example.com", "--lab", name)
    finally:
        dnslab("down", name)


def test_the_plugin(programs: Path, project: Project) -> None:
    project.write(
        test_one="""
            import pytest

            from lab.testing import assert_answer

            @pytest.mark.dnslab("minimal")
            def test_one(resolver):
                assert_answer(resolver, "www.example.com", "192.0.2.80")
        """
    )
    assert "1 passed" in _run(project.folder, programs / "python", "-m", "pytest")
