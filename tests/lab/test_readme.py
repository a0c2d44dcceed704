"""What the README shows can be pasted and runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def test_the_python_example_runs() -> None:
    [example] = [block for block in blocks() if "pytest" not in block]
    done = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


def test_the_test_file_does_what_is_said(tmp_path: Path) -> None:
    [example] = [block for block in blocks() if "pytest" in block]
    (tmp_path / "test_names.py").write_text(example, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert "1 failed, 3 passed" in done.stdout, done.stdout
    # What the README shows of it, but for times and TTLs.
    for line in (
        "E       expected: 192.0.2.99",
        "E       got:      NOERROR 192.0.2.80",
        "E         1  host → resolver  www.example.com A",
        "E       Cache                 resolver had the answer for www.example.com, 3,",
    ):
        assert line in done.stdout
        assert line in README.read_text(encoding="utf-8")
