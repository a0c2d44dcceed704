"""A lab as a Compose file and a folder of readable files: the same lab without Python."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from lab.runtime.network import nobody
from lab.runtime.spec import FORWARD_TO, MEMORY, PIDS, TMPFS, TMPFS_OF_MACHINE, UNPRIVILEGED, specs
from lab.software import program as software
from lab.topology.declaration import Declaration
from lab.topology.derive import derive
from lab.topology.model import Node, Topology, spoken

FILE = "docker-compose.yaml"
_NODES = "nodes"


def render(declaration: Declaration) -> dict[str, str]:
    """All files of the rendering: path relative to the lab's folder -> text. Equal declarations give equal texts."""
    # A Compose file has nobody to move the lab's clock.
    topology = derive(declaration.model_copy(update={"clock": "host"}))
    made = list(specs(topology, {name: name for name in map(software.image, topology.nodes.values())}).values())
    files = {f"{_NODES}/{spec.node.name}/{path}": text for spec in made for path, text in spec.files.items()}
    files[FILE] = _template(
        lab=declaration.lab,
        topology=topology,
        specs=made,
        host=topology.hosts[0].name,
        gateway=declaration.gateway is not None,
        user=UNPRIVILEGED,
        memory=MEMORY,
        pids=PIDS,
        tmpfs=_mounts(TMPFS),
        tmpfs_of_machine=_mounts(TMPFS_OF_MACHINE),
        dns=FORWARD_TO,
        nobody=nobody(topology.ipv6),
        describe=lambda node: _describe(node, topology),
    )
    return files


def stale(declaration: Declaration, folder: Path) -> list[Path]:
    """The files in `folder` that are missing, other than rendered, or left from an earlier rendering."""
    files = {folder / path: text for path, text in render(declaration).items()}
    wrong = [path for path, text in files.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    return wrong + [path for path in sorted((folder / _NODES).rglob("*")) if path.is_file() and path not in files]


def write(declaration: Declaration, folder: Path) -> list[Path]:
    """Write the rendering into `folder` and remove files of an earlier one; the paths that changed."""
    changed = stale(declaration, folder)
    files = {folder / path: text for path, text in render(declaration).items()}
    for path in changed:
        if path in files:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(files[path], encoding="utf-8")
        else:
            path.unlink()
    for path in sorted((folder / _NODES).rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    return changed


def _mounts(tmpfs: Mapping[str, str]) -> list[str]:
    return [f"{path}:{options}" for path, options in tmpfs.items()]


def _describe(node: Node, topology: Topology) -> str:
    known = f", {spoken(node.hostname)}" if node.hostname else ""
    if node.role.is_server:
        return f"{node.role.value}{known}: {', '.join(zone.label for zone in topology.zones_of(node))}"
    return f"{node.role.value}{known}" + (f": asks {', '.join(node.resolvers)}" if node.resolvers else "")


def _template(**values: object) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # not at import: it costs 40 ms

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=StrictUndefined,
        autoescape=False,  # YAML, not HTML
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["flow"] = json.dumps  # JSON is YAML in its flow style; Jinja's own filter escapes for HTML
    return environment.get_template(f"{FILE}.j2").render(**values)
