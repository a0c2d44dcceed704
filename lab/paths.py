"""Where the files lie that come with the program: labs, experiments, and what images are built from."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def images() -> Path:
    """Folder with one subfolder an image (Dockerfile and its files)."""
    return _data("images")


def compose() -> Path:
    """Folder with one subfolder a lab (lab.yaml and the Compose file rendered from it)."""
    return _data("compose")


def agent() -> Path:
    """Folder of the program that runs inside the lab's own helper containers; a part of the package itself."""
    return _PACKAGE / "agent"


def experiments() -> Path:
    """Folder with the experiments that come with the program, one file each; a part of the package itself."""
    return _PACKAGE / "experiments" / "library"


def _data(name: str) -> Path:
    """`lab/_data/NAME` where an installed wheel has it, else NAME at the root of the checkout."""
    installed = _PACKAGE / "_data" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name
