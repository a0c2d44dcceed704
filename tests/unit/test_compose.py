"""The Compose rendering of the labs: committed, equal to a fresh one, and readable by Compose."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from lab import paths
from lab.labs import load, names
from lab.runtime.compose import FILE, render, write


@pytest.mark.parametrize("lab", names())
def test_the_committed_rendering_is_fresh(lab: str) -> None:
    folder = paths.compose() / lab
    committed = {
        str(path.relative_to(folder)): path.read_text(encoding="utf-8")
        for path in (folder / FILE, *(folder / "nodes").rglob("*"))
        if path.is_file()
    }
    assert committed == render(load(lab)), f"run: dnslab render {lab}"


@pytest.mark.parametrize("lab", names())
def test_every_node_is_a_service_without_rights(lab: str) -> None:
    declaration = load(lab)
    file = YAML(typ="safe").load(render(declaration)[FILE])
    assert set(file["services"]) == set(declaration.members)
    assert file["networks"]["lab"]["internal"] is True
    for name, service in file["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges"], name
        assert service["read_only"] is (name not in declaration.hosts), name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name


@pytest.mark.parametrize("lab", names())
def test_every_file_of_a_service_is_rendered(lab: str) -> None:
    files = render(load(lab))
    services = YAML(typ="safe").load(files[FILE])["services"]
    mounted = {volume.split(":")[0] for service in services.values() for volume in service.get("volumes", ())}
    rendered = {f"./{Path(*Path(path).parts[:2])}" for path in files if path != FILE}
    assert mounted == rendered


def test_writing_again_changes_nothing_and_removes_what_is_old(tmp_path: Path) -> None:
    declaration = load("minimal")
    assert {str(path.relative_to(tmp_path)) for path in write(declaration, tmp_path)} == set(render(declaration))
    assert write(declaration, tmp_path) == []

    old = tmp_path / "nodes" / "gone" / "old.conf"
    old.parent.mkdir()
    old.touch()
    assert write(declaration, tmp_path) == [old]
    assert not old.parent.exists()


def test_equal_declarations_give_equal_texts() -> None:
    assert render(load("textbook")) == render(load("textbook"))
