"""What a lab costs a test suite: the reset between two tests against a fresh lab for each, and a suite of fifty."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median, quantiles

from lab import Lab
from lab.testing.undertest import LabUnderTest
from tests.bench.figures import Figure, timed

_RESETS = 50
_FRESH = 3
_TESTS = 50
_SUITE = """
import pytest
from lab.testing import assert_answer, assert_cached

pytestmark = pytest.mark.dnslab("minimal")

@pytest.mark.parametrize("number", range({tests}))
def test_cache(number, resolver):
    assert_answer(resolver, "www.example.com", "192.0.2.80")
    assert_cached(resolver, "www.example.com")
"""


def figures() -> Iterator[Figure]:
    """Resets and fresh labs in one run; then pytest as people run it."""
    for name in ("minimal", "textbook"):
        yield from _reset(name)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "test_suite.py").write_text(_SUITE.format(tests=_TESTS), encoding="utf-8")
        for workers in ("0", "2"):
            command = [sys.executable, "-m", "pytest", "-q", "-n", workers, "-p", "no:cacheprovider", folder]
            took = timed(lambda: subprocess.run(command, check=True, capture_output=True))  # noqa: B023
            yield Figure(
                f"pytest, {_TESTS} tests on minimal, {workers} workers", f"{took:.1f} s", "labs up and down included"
            )


def _reset(name: str) -> Iterator[Figure]:
    own = f"bench-testing-{os.getpid()}"
    fresh = [timed(lambda: _fresh(name, own)) for _ in range(_FRESH)]
    with LabUnderTest.temporary(name, name=own) as lab:
        for _ in range(_RESETS):
            lab.begin()
            lab.query("www.example.com")
            lab.finish()
        broken = []
        for _ in range(_FRESH):
            lab.begin()
            lab.node(lab.topology.servers[-1].name).stop()
            broken.append(timed(lab.finish))
        p95 = quantiles(lab.resets[:_RESETS], n=20)[-1]
        usual = median(lab.resets[:_RESETS])
    yield Figure(
        f"{name}: reset after a test",
        f"{usual * 1000:.0f} ms, p95 {p95 * 1000:.0f} ms ({_RESETS} resets)",
        f"a fresh lab: {median(fresh):.2f} s, {median(fresh) / usual:.0f} x as long",
    )
    yield Figure(f"{name}: the same after a node was stopped", f"{median(broken) * 1000:.0f} ms (median of {_FRESH})")


def _fresh(name: str, own: str) -> None:
    with Lab.temporary(name, name=own) as lab:
        lab.query("www.example.com")
