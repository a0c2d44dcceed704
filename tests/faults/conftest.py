"""One small lab for all fault tests of a session; nothing is broken when a test begins."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from faulttools import DECLARATION

from lab import Lab
from lab.faults.active import heal


@pytest.fixture(scope="session")
def session_lab() -> Iterator[Lab]:
    with Lab.temporary(DECLARATION, name=f"flt-{os.getpid()}") as lab:
        yield lab


@pytest.fixture
def lab(session_lab: Lab) -> Lab:
    heal(session_lab)
    return session_lab
