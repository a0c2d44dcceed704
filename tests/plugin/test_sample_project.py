"""The project that is there to be copied: copied, and run."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from plugintools import Project

from lab import testing

SAMPLE = Path(__file__).parents[1] / "sample_project"
FIXTURES = ("dns_lab", "resolver", "host", "dns_fault", "dns_seen", "dns_zone")


def test_it_passes_anywhere(tmp_path: Path) -> None:
    shutil.copytree(SAMPLE, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    with Project(tmp_path).running("--require=nfqueue,packet") as run:
        result = run.wait()
        assert set(result.parseoutcomes()) == {"passed"}
        assert not run.left()


@pytest.mark.parametrize("name", [*FIXTURES, *testing.__all__])
def test_it_shows_all_there_is(name: str) -> None:
    text = "\n".join(file.read_text() for file in (SAMPLE / "tests").glob("*.py"))
    assert re.search(rf"^    .*\b{name}\b", text, re.MULTILINE) or re.search(rf"^def .*\b{name}\b", text, re.MULTILINE)
