"""A whole DNS for tests: one textbook lab for the session, as new for each test that asks for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from labtools import LOG_LINES

from lab import Lab
from lab.errors import LabError
from lab.runtime.engine import connect
from lab.runtime.node import NodeHandle

RESOLVERS = {"unbound": "resolver-1", "bind": "resolver-2"}  # of the textbook lab, by program


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.lab)


@pytest.fixture(scope="session", autouse=True)
def docker_is_there() -> None:
    """Without Docker every test here fails, and says what dnslab says."""
    problem = ""
    try:
        connect().close()
    except LabError as error:
        problem = str(error)
    if problem:  # outside the handler: no trace of how it was found out
        pytest.fail(problem, pytrace=False)


@pytest.fixture(scope="session")
def instance(worker: str) -> Callable[[str], str]:
    """A name for a lab that no other process has: neither a person's lab nor another test worker's."""
    return lambda name: f"{name}-test-{worker}-{os.getpid()}"


@pytest.fixture(scope="session")
def worker() -> str:
    """The process of pytest-xdist, or `main`."""
    return os.environ.get("PYTEST_XDIST_WORKER", "main")


@pytest.fixture(scope="session")
def textbook(instance: Callable[[str], str]) -> Iterator[Lab]:
    """The textbook lab of the session, in whatever state the last test left it; tests ask for `lab` instead."""
    with Lab.temporary("textbook", name=instance("textbook")) as lab:
        yield lab


@pytest.fixture
def lab(textbook: Lab) -> Lab:
    """The textbook lab, all of it running, every cache empty, all clocks equal.

    It is mended before a test and not after: a test that broke something and failed must not poison the next one.
    """
    textbook.reset()
    if len(set(textbook.clock.offsets().values())) > 1:
        textbook.reset_clock()
    return textbook


@pytest.fixture(params=RESOLVERS.values(), ids=RESOLVERS.keys())
def resolver(request: pytest.FixtureRequest, lab: Lab) -> NodeHandle:
    """Each of the two resolver programs in turn."""
    return lab.node(request.param)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    outcome: Any = yield
    report = outcome.get_result()
    if not report.failed or call.excinfo is None:
        return
    labs = {id(value): value for value in getattr(item, "funcargs", {}).values() if isinstance(value, Lab)}
    for lab in labs.values():
        report.sections.append((f"nodes of lab {lab.name}", _nodes(lab)))


def _nodes(lab: Lab) -> str:
    """State and last log lines of every node, for the report of a failed test."""
    lines = []
    for node in lab.nodes.values():
        try:
            lines.append(f"{node.name}: {node.state}")
            lines += [f"    {line}" for line in node.logs(tail=LOG_LINES)]
        except (LabError, OSError) as error:
            lines.append(f"    no log: {error}")
    return "\n".join(lines)
