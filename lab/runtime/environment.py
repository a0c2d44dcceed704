"""Where something was measured: this machine, Docker, the images and the programs in them."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from lab.runtime.images import VERSION
from lab.runtime.lab import RunningLab
from lab.software.program import image

_PATIENCE = 5.0  # seconds for git


def environment(lab: RunningLab) -> dict[str, Any]:
    """What a measurement on `lab` depends on, as plain data."""
    docker, info = lab.api.version(), lab.api.info()
    return {
        "dnslab": _version(),
        "commit": _commit(),
        "python": platform.python_version(),
        "kernel": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "memory": info.get("MemTotal"),
        "docker": docker.get("Version"),
        "docker_api": docker.get("ApiVersion"),
        "storage": info.get("Driver"),
        "programs": dict(sorted(_programs(lab).items())),
        "images": _images(lab),
    }


def versions(lab: RunningLab) -> dict[str, str]:
    """The version of each node's program, as its image says; empty where it has none."""
    return {name: container.labels.get(VERSION, "").partition(" ")[2] for name, container in lab.containers().items()}


def _programs(lab: RunningLab) -> dict[str, str]:
    found = versions(lab)
    return {node.program: found.get(node.name, "") for node in lab.topology.nodes.values() if node.program}


def _images(lab: RunningLab) -> dict[str, str]:
    """Image -> its content id."""
    found = {}
    for node in lab.topology.nodes.values():
        container = lab.containers().get(node.name) if image(node) not in found else None
        if container is not None:
            found[image(node)] = str(lab.api.inspect_container(container.id)["Image"])
    return dict(sorted(found.items()))


def _version() -> str:
    try:
        return version("dnslab")
    except PackageNotFoundError:
        return ""


def _commit() -> str:
    """The commit of a checkout, with a mark when it was changed; empty of an installed package."""
    folder = Path(__file__).resolve().parent
    try:
        found = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout.strip() if found.returncode == 0 else ""
