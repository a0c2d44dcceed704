"""Files that people write: YAML checked against a model, with the line of everything that is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedBase, CommentedMap
from ruamel.yaml.constructor import RoundTripConstructor, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError
from ruamel.yaml.scalarstring import LiteralScalarString

from lab.errors import BadInput
from lab.topology.declaration import LABEL
from lab.topology.problems import DeclarationError, Problem
from lab.topology.problems import Path as Place
from lab.topology.suggest import did_you_mean

_WANTED = {
    "ip_v4_network": "a subnet is wanted here: its first address and length, as in 10.53.0.0/24",
    "ip_v6_network": "a subnet is wanted here: its first address and length, as in fd53::/64",
    "ip_v4_address": "an IPv4 address is wanted here, as in 10.53.0.80",
    "ip_v6_address": "an IPv6 address is wanted here, as in fd53::80",
    "bool_type": "yes or no is wanted here: write true or false",
    "bool_parsing": "yes or no is wanted here: write true or false",
    "int_type": "a whole number is wanted here",
    "int_parsing": "a whole number is wanted here",
    "int_parsing_size": "a whole number is wanted here",
    "int_from_float": "a whole number is wanted here",
    "float_type": "a number is wanted here",
    "float_parsing": "a number is wanted here",
    "finite_number": "a number is wanted here",
    "greater_than_equal": "a number from {ge} on is wanted here",
    "less_than_equal": "a number up to {le} is wanted here",
    "less_than": "a number below {lt} is wanted here",
    "literal_error": "{expected} is wanted here",
}
"""Kinds of Pydantic's errors, and what is said instead; in braces what Pydantic knows of them."""

Model = TypeVar("Model", bound=BaseModel)


def read(file: Path, what: str) -> str:
    """The text of a file; `what` it is ("lab file") is said when it cannot be read. Raises `BadInput`."""
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInput(f"cannot read the {what} {file}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise BadInput(f"cannot read the {what} {file}: not UTF-8 text (byte {error.start})") from None
    except ValueError as error:  # a path that no file can have
        raise BadInput(f"cannot read the {what} {str(file)!r}: {error}") from None


def parse(text: str, source: str, what: str, keys: str) -> Any:
    """The tree of mappings in `text`, with lines; `keys` names the first ones for whoever wrote something else.

    Raises `DeclarationError`.
    """
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
        raise DeclarationError(source, [(line, Problem((), f"not YAML: {reason}"))], what) from None
    if not isinstance(tree, dict):
        article = "an" if what[0] in "aeiou" else "a"
        raise DeclarationError(source, [(1, Problem((), f"{article} {what} is a mapping with {keys}"))], what)
    return tree


class _Constructor(RoundTripConstructor):
    """Leaves what looks like a date a text: nothing in our files is a date."""


_Constructor.add_constructor("tag:yaml.org,2002:timestamp", SafeConstructor.construct_yaml_str)


def validate(tree: Any, model: type[Model], source: str, what: str, lines: Any = None) -> Model:
    """The declaration in a tree; `lines`: the tree as parsed, if that is another.

    Raises `DeclarationError` with every problem.
    """
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        problems = _schema_problems(error, model)
        raise DeclarationError(source, located(tree if lines is None else lines, problems), what) from None


def _schema_problems(error: ValidationError, top: type[BaseModel]) -> Iterator[Problem]:
    """What Pydantic found wrong, in words that say what would be right; `top`: the model that was to be read."""
    for found in error.errors():
        path = tuple(part for part in found["loc"] if part != "[key]")
        if found["type"] == "extra_forbidden":
            *where, key = path
            known = _keys(top, tuple(where))
            hint = did_you_mean(str(key), known) or f"; known: {', '.join(known)}"
            yield Problem(path, f"unknown key {key!r}{hint}")
        elif found["type"] == "missing":
            yield Problem(path[:-1], f"{path[-1]!r} is missing")
        elif found["type"] == "string_pattern_mismatch":
            allowed = "letters, digits and `_`, no digit first"
            if found["ctx"]["pattern"] == LABEL:
                allowed = "lower-case letters, digits and hyphens inside, 42 at the most"
            yield Problem(path, f"{found['input']!r} is not a name here: {allowed}")
        elif found["type"] in ("model_type", "dict_type"):
            known = _keys(top, path)
            hint = f" with: {', '.join(known)}" if known else ", as in `name: ...`"
            yield Problem(path, f"a mapping is wanted here{hint}{_given(found['input'])}")
        elif found["type"] == "tuple_type":
            yield Problem(path, f"a list is wanted here, as in `[one, two]`{_given(found['input'])}")
        elif found["type"] == "too_short":
            if found["input"]:
                continue  # what is in it is wrong, and told
            example = "`name: ...`" if isinstance(found["input"], dict) else "`[one, two]`"
            yield Problem(path, f"it is empty; at least one is wanted here, as in {example}")
        elif found["type"] in _WANTED:
            yield Problem(path, _WANTED[found["type"]].format(**found.get("ctx", {})) + _given(found["input"]))
        elif found["type"] in ("string_type", "invalid_key"):
            quotes = "; write it in quotes" if isinstance(found["input"], (int, float)) else ""
            yield Problem(path, f"a text is wanted here{quotes}{_given(found['input'])}")
        else:
            told = found["msg"].removeprefix("Value error, ")
            yield Problem(path, told if _said(found["input"], told) else told + _given(found["input"]))


def _said(value: Any, told: str) -> bool:
    """Whether a message has what was given in it already."""
    return value is not None and repr(value) in told


def _given(value: Any) -> str:
    if value is None:
        return " (got nothing)"
    return f" (got {value!r})" if isinstance(value, (str, int, float)) and len(repr(value)) < 60 else ""


def _keys(top: type[BaseModel], path: Place) -> list[str]:
    """The keys the language has at `path`: found by walking the models along it."""
    model: Any = top
    for part in path:
        if isinstance(part, int):  # in a list, of whose elements `model` already is
            continue
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


def located(tree: Any, problems: Iterable[Problem]) -> list[tuple[int, Problem]]:
    """The problems, each with its line."""
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
