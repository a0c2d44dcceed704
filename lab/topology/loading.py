"""From a lab file to a checked declaration, with the line of everything that is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedBase
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from lab.errors import BadInput
from lab.topology.checks import Programs, check
from lab.topology.declaration import Declaration
from lab.topology.derive import zone_names
from lab.topology.model import Record
from lab.topology.problems import DeclarationError, Problem
from lab.topology.problems import Path as Place
from lab.topology.records import Written, read_records
from lab.topology.suggest import did_you_mean


def load(file: Path, programs: Programs) -> Declaration:
    """The declaration in `file`.

    `programs` says which server programs there are and what each can be. Raises `BadInput` when the file cannot be
    read and `DeclarationError` with every problem found in it.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInput(f"cannot read the lab file {file}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise BadInput(f"cannot read the lab file {file}: not UTF-8 text (byte {error.start})") from None
    return loads(text, programs, source=str(file), folder=file.parent)


def loads(text: str, programs: Programs, source: str = "<text>", folder: Path | None = None) -> Declaration:
    """As `load`, from text; `records_from` is looked up relative to `folder`."""
    tree = _parse(text, source)
    try:
        declaration = Declaration.model_validate(tree)
    except ValidationError as error:
        raise DeclarationError(source, _located(tree, _schema_problems(error))) from None
    problems = check(declaration, programs)
    if not problems:
        declaration, problems = _with_included(declaration, programs, folder or Path())
    if problems:
        raise DeclarationError(source, _located(tree, problems))
    return declaration


def _parse(text: str, source: str) -> Any:
    yaml = YAML()  # the round-trip loader: the only one that remembers lines
    try:
        tree = yaml.load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = (error.problem or "not YAML").split("\n")[0].strip()
        raise DeclarationError(source, [(mark.line + 1 if mark else 1, Problem((), f"not YAML: {problem}"))]) from None
    except YAMLError as error:
        raise DeclarationError(source, [(1, Problem((), f"not YAML: {error}"))]) from None
    if not isinstance(tree, dict):
        raise DeclarationError(source, [(1, Problem((), "a lab file is a mapping with `lab`, `zones`, `servers` ..."))])
    return tree


def _schema_problems(error: ValidationError) -> Iterator[Problem]:
    for found in error.errors():
        path = tuple(part for part in found["loc"] if part != "[key]")
        if found["type"] == "extra_forbidden":
            *where, key = path
            known = _keys(tuple(where))
            hint = did_you_mean(str(key), known) or f"; known: {', '.join(known)}"
            yield Problem(path, f"unknown key {key!r}{hint}")
        elif found["type"] == "missing":
            yield Problem(path[:-1], f"{path[-1]!r} is missing")
        elif found["type"] == "string_pattern_mismatch":
            yield Problem(path, f"{found['input']!r} is not a name here: lower-case letters, digits and hyphens")
        else:
            yield Problem(path, found["msg"].removeprefix("Value error, ") + _given(found["input"]))


def _given(value: Any) -> str:
    text = repr(value)
    return f" (got {text})" if isinstance(value, (str, int, float, bool)) and len(text) < 60 else ""


def _keys(path: Place) -> list[str]:
    """The keys the language has at `path`: found by walking the models along it."""
    model: Any = Declaration
    for part in path:
        if isinstance(model, type) and issubclass(model, BaseModel):
            model = model.model_fields[str(part)].annotation if str(part) in model.model_fields else None
            arguments = [argument for argument in getattr(model, "__args__", ()) if argument is not type(None)]
            if getattr(model, "__origin__", None) is not dict and arguments:
                model = arguments[0]
        else:
            model = model.__args__[1] if getattr(model, "__origin__", None) is dict else None
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def _located(tree: Any, problems: Iterator[Problem] | list[Problem]) -> list[tuple[int, Problem]]:
    return [(_line(tree, problem), problem) for problem in problems]


def _line(tree: Any, problem: Problem) -> int:
    """The line (from 1) of the value at the problem's path, or of the nearest thing around it that has one."""
    line, here = 1, tree
    for part in problem.path:
        if not isinstance(here, CommentedBase):
            break
        try:
            find = here.lc.key if isinstance(here, dict) else here.lc.item
            line = find(part)[0] + 1
            here = here[part]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            break
    else:
        if problem.path and problem.path[-1] == "records":
            line += 1 + problem.below  # a block begins on the line after its `|`
    return line


def _with_included(declaration: Declaration, programs: Programs, folder: Path) -> tuple[Declaration, list[Problem]]:
    """The declaration with the records of other labs in place of each `records_from`."""
    problems: list[Problem] = []
    zones = dict(declaration.zones)
    for key, zone in declaration.zones.items():
        if zone.records_from is None:
            continue
        where: Place = ("zones", key, "records_from")
        try:
            other = load(folder / zone.records_from, programs)
        except BadInput as error:
            problems.append(Problem(where, str(error).replace("\n", "; ")))
            continue
        text = "\n".join([zone.records.rstrip("\n"), *map(_entry, _written_in(other))])
        zones[key] = zone.model_copy(update={"records": text, "records_from": None})
    if zones != declaration.zones and not problems:
        declaration = declaration.model_copy(update={"zones": zones})
        problems = [Problem((*p.path[:-1], "records_from"), p.text) for p in check(declaration, programs)]
    return declaration, problems


def _written_in(declaration: Declaration) -> Iterator[Record]:
    for key, name in zone_names(declaration).items():
        zone = declaration.zones[key]
        for entry in read_records(zone.records, name, declaration.ttl if zone.ttl is None else zone.ttl):
            if isinstance(entry, Written):
                yield entry.record


def _entry(record: Record) -> str:
    return f"{record.owner.to_text()} {record.ttl} IN {record.type} {record.data}"
