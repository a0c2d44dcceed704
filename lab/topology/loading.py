"""From a lab file to a checked declaration, with the line of everything that is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lab.errors import BadInput
from lab.topology import yamlfile
from lab.topology.checks import Programs, check
from lab.topology.declaration import Declaration
from lab.topology.derive import zone_names
from lab.topology.model import Record
from lab.topology.problems import DeclarationError, Problem
from lab.topology.problems import Path as Place
from lab.topology.records import Written, read_records

WHAT = "lab file"


def load(file: Path, programs: Programs) -> Declaration:
    """The declaration in `file`.

    `programs` says which server programs there are and what each can be. Raises `BadInput` when the file cannot be
    read and `DeclarationError` with every problem found in it.
    """
    return _load(file, programs, ())


def loads(text: str, programs: Programs, source: str = "<text>", folder: Path | None = None) -> Declaration:
    """As `load`, from text; `records_from` is looked up relative to `folder`."""
    return _loads(text, programs, source, folder or Path(), ())


def _load(file: Path, programs: Programs, above: tuple[Path, ...]) -> Declaration:
    """As `load`; `above` are the files that led here by `records_from`."""
    text = yamlfile.read(file, WHAT)
    return _loads(text, programs, str(file), file.parent, (*above, file.resolve()))


def _loads(text: str, programs: Programs, source: str, folder: Path, above: tuple[Path, ...]) -> Declaration:
    tree = yamlfile.parse(text, source, WHAT, "`lab`, `zones`, `servers` ...")
    declaration = yamlfile.validate(tree, Declaration, source, WHAT)
    problems = check(declaration, programs)
    if not problems:
        declaration, problems = _with_included(declaration, programs, folder, above)
    if problems:
        raise DeclarationError(source, yamlfile.located(tree, problems), WHAT)
    return declaration


def _with_included(
    declaration: Declaration, programs: Programs, folder: Path, above: tuple[Path, ...]
) -> tuple[Declaration, list[Problem]]:
    """The declaration with the records of other labs in place of each `records_from`."""
    problems: list[Problem] = []
    zones = dict(declaration.zones)
    for key, zone in declaration.zones.items():
        if zone.records_from is None:
            continue
        where: Place = ("zones", key, "records_from")
        try:
            other = _load(_unread(folder / zone.records_from, above), programs, above)
        except BadInput as error:
            problems.append(Problem(where, str(error).replace("\n", "; ")))
            continue
        text = "\n".join([zone.records.rstrip("\n"), *map(_entry, _written_in(other))])
        zones[key] = zone.model_copy(update={"records": text, "records_from": None})
    if zones != declaration.zones and not problems:
        declaration = declaration.model_copy(update={"zones": zones})
        problems = [Problem((*p.path[:-1], "records_from"), p.text) for p in check(declaration, programs)]
    return declaration, problems


def _unread(file: Path, above: tuple[Path, ...]) -> Path:
    try:
        again = file.resolve() in above
    except (OSError, RuntimeError, ValueError):  # reading it will say what is wrong
        again = False
    if again:
        raise BadInput(f"the lab file {file} takes its records from itself in the end; write them in one of the files")
    return file


def _written_in(declaration: Declaration) -> Iterator[Record]:
    for key, name in zone_names(declaration).items():
        zone = declaration.zones[key]
        for entry in read_records(zone.records, name, declaration.ttl if zone.ttl is None else zone.ttl):
            if isinstance(entry, Written):
                yield entry.record


def _entry(record: Record) -> str:
    return f"{record.owner.to_text()} {record.ttl} IN {record.type} {record.data}"
