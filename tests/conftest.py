"""What every test run needs: the marker of tests that use Docker, and an orderly end."""

from __future__ import annotations

import signal
from types import FrameType

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "lab: needs Docker; runs servers in containers")
    # What a script runs in its background ignores Ctrl-C, and what it starts does too; tests send it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # By default SIGTERM ends Python at once, and no fixture takes its lab down. As Ctrl-C does it lets them all finish.
    signal.signal(signal.SIGTERM, _as_interrupt)


def _as_interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt("SIGTERM")
