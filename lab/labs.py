"""The labs that come with dnslab, and lab files of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lab import paths
from lab.errors import BadInput
from lab.topology.suggest import did_you_mean

if TYPE_CHECKING:
    from lab.topology.declaration import Declaration
    from lab.topology.problems import Problem

DEFAULT = "textbook"


def names() -> list[str]:
    """The labs that come with dnslab."""
    return sorted(file.parent.name for file in paths.compose().glob("*/lab.yaml"))


def find(source: str) -> Path:
    """The lab file that a person means: a path, or the name of a lab that comes with dnslab.

    Raises `BadInput` when there is neither.
    """
    path = Path(source)
    if path.is_dir() and (path / "lab.yaml").is_file():
        return path / "lab.yaml"
    if path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        if not path.is_file():
            raise BadInput(f"there is no lab file {source}")
        return path
    if source not in names():
        raise BadInput(f"no lab is called {source!r}{did_you_mean(source, names())} (labs: {', '.join(names())})")
    return paths.compose() / source / "lab.yaml"


def load(source: str = DEFAULT) -> Declaration:
    """The checked declaration of a lab, by name or by the path of its file.

    Raises `BadInput`, and `DeclarationError` with every problem of the file.
    """
    from lab.topology.loading import load as load_file

    return load_file(find(source), _programs())


def read(text: str, source: str = "<text>") -> Declaration:
    """The checked declaration in the text of a lab file; errors name `source`. Raises as `load` does."""
    from lab.topology.loading import loads

    return loads(text, _programs(), source)


def problems(declaration: Declaration) -> list[Problem]:
    """What is wrong with a declaration that was changed after it had been loaded."""
    from lab.topology.checks import check

    return check(declaration, _programs())


def _programs() -> dict[str, tuple[str, ...]]:
    from lab.software.program import programs

    return {program.name: tuple(program.roles) for program in programs().values()}
