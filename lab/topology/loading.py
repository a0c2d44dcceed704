"""From a lab file to a checked declaration, with the line of everything that is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedBase, CommentedMap
from ruamel.yaml.constructor import RoundTripConstructor, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError
from ruamel.yaml.scalarstring import LiteralScalarString

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
    return _load(file, programs, ())


def loads(text: str, programs: Programs, source: str = "<text>", folder: Path | None = None) -> Declaration:
    """As `load`, from text; `records_from` is looked up relative to `folder`."""
    return _loads(text, programs, source, folder or Path(), ())


def _load(file: Path, programs: Programs, above: tuple[Path, ...]) -> Declaration:
    """As `load`; `above` are the files that led here by `records_from`."""
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInput(f"cannot read the lab file {file}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise BadInput(f"cannot read the lab file {file}: not UTF-8 text (byte {error.start})") from None
    except ValueError as error:  # a path that no file can have
        raise BadInput(f"cannot read the lab file {str(file)!r}: {error}") from None
    return _loads(text, programs, str(file), file.parent, (*above, file.resolve()))


def _loads(text: str, programs: Programs, source: str, folder: Path, above: tuple[Path, ...]) -> Declaration:
    tree = _parse(text, source)
    try:
        declaration = Declaration.model_validate(tree)
    except ValidationError as error:
        raise DeclarationError(source, _located(tree, _schema_problems(error))) from None
    problems = check(declaration, programs)
    if not problems:
        declaration, problems = _with_included(declaration, programs, folder, above)
    if problems:
        raise DeclarationError(source, _located(tree, problems))
    return declaration


def _parse(text: str, source: str) -> Any:
    yaml = YAML()  # the round-trip loader: the only one that remembers lines
    yaml.Constructor = _Constructor
    line, wrong = 1, ""
    try:
        tree = yaml.load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, wrong = mark.line + 1 if mark else 1, error.problem or "unreadable"
    except ReaderError as error:
        line, wrong = text.count("\n", 0, error.position) + 1, str(error)
    except YAMLError as error:
        wrong = str(error)
    except RecursionError:
        wrong = "nested too deeply"
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        # What ruamel.yaml lets out for keys that are mappings and for values that are not what their tag says.
        wrong = f"a key or a tagged value that cannot be read: {error}"
    if wrong:
        reason = wrong.split(" with value ")[0].split("\n")[0].strip()  # the value may be a whole zone
        raise DeclarationError(source, [(line, Problem((), f"not YAML: {reason}"))]) from None
    if not isinstance(tree, dict):
        raise DeclarationError(source, [(1, Problem((), "a lab file is a mapping with `lab`, `zones`, `servers` ..."))])
    return tree


class _Constructor(RoundTripConstructor):
    """Leaves what looks like a date a text: nothing in a lab file is a date."""


_Constructor.add_constructor("tag:yaml.org,2002:timestamp", SafeConstructor.construct_yaml_str)


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
        elif found["type"] in ("model_type", "dict_type"):
            known = _keys(path)
            hint = f" with: {', '.join(known)}" if known else ", as in `name: ...`"
            yield Problem(path, f"a mapping is wanted here{hint}{_given(found['input'])}")
        elif found["type"] == "tuple_type":
            yield Problem(path, f"a list is wanted here, as in `[one, two]`{_given(found['input'])}")
        elif found["type"] in ("ip_v4_network", "ip_v6_network"):
            example = "10.53.0.0/24" if found["type"] == "ip_v4_network" else "fd53::/64"
            yield Problem(path, f"a subnet is wanted here: its first address and length, as in {example}")
        elif found["type"] in ("string_type", "invalid_key"):
            quotes = "; write it in quotes" if isinstance(found["input"], (int, float)) else ""
            yield Problem(path, f"a text is wanted here{quotes}{_given(found['input'])}")
        else:
            yield Problem(path, found["msg"].removeprefix("Value error, ") + _given(found["input"]))


def _given(value: Any) -> str:
    if value is None:
        return " (got nothing)"
    return f" (got {value!r})" if isinstance(value, (str, int, float)) and len(repr(value)) < 60 else ""


def _keys(path: Place) -> list[str]:
    """The keys the language has at `path`: found by walking the models along it."""
    model: Any = Declaration
    for part in path:
        if isinstance(part, int):
            continue  # of a list: all its entries have the same keys
        if isinstance(model, type) and issubclass(model, BaseModel):
            model = model.model_fields[str(part)].annotation if str(part) in model.model_fields else None
            arguments = [argument for argument in getattr(model, "__args__", ()) if argument is not type(None)]
            if getattr(model, "__origin__", None) is not dict and arguments:
                model = arguments[0]
        else:
            model = model.__args__[1] if getattr(model, "__origin__", None) is dict else None
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return []
    return [field.alias or name for name, field in model.model_fields.items()]


def _located(tree: Any, problems: Iterator[Problem] | list[Problem]) -> list[tuple[int, Problem]]:
    return [(_line(tree, problem), problem) for problem in problems]


def _line(tree: Any, problem: Problem) -> int:
    """The line (from 1) of the value at the problem's path, or of the nearest thing around it that has one."""
    line, around, here = 1, tree, tree
    for part in problem.path:
        if not isinstance(here, CommentedBase):
            break
        try:
            if isinstance(here, dict):  # Pydantic says keys that are no texts as texts
                part = next((key for key in here if str(key) == str(part)), part)
            find = here.lc.key if isinstance(here, dict) else here.lc.item
            line = find(part)[0] + 1
            around, here = here, here[part]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            break
    else:
        if isinstance(around, CommentedMap) and isinstance(
            here, LiteralScalarString
        ):  # it begins on the line after its `|`
            line = around.lc.value(problem.path[-1])[0] + 2 + problem.below
    return line


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
