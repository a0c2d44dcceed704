"""Projects of somebody else, whose tests use the plugin."""

from __future__ import annotations

from pathlib import Path

import pytest
from plugintools import Project


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.lab)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)
