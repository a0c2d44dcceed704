"""From an experiment's file to what is run: parameters filled in, every cell checked, problems with their lines."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab import paths
from lab.errors import BadInput
from lab.experiments.schema import Experiment
from lab.topology import yamlfile
from lab.topology.declaration import LABEL
from lab.topology.problems import DeclarationError, Problem
from lab.topology.problems import Path as Place
from lab.topology.suggest import did_you_mean

if TYPE_CHECKING:
    from lab.experiments.run import Run

WHAT = "experiment file"
MOST_TRIALS = 1000
_KEYS = "`experiment`, `title`, `lab`, `cache`, `workload`, `phases` ..."
_REFERENCE = re.compile(r"\$\{([^}]*)\}")


@dataclass(frozen=True)
class Cell:
    """One value for each parameter, and the experiment that they make."""

    parameters: Mapping[str, Any]
    experiment: Experiment


@dataclass(frozen=True)
class Source:
    """An experiment as written, parameters not yet filled in."""

    tree: Mapping[str, Any]
    text: str  # of the file; empty when it was made by code
    file: str  # as errors name it

    @property
    def name(self) -> str:
        """What it is called."""
        return str(self.tree.get("experiment", "experiment"))

    @property
    def title(self) -> str:
        """What it is about, in a line."""
        return str(self.tree.get("title", ""))

    @property
    def folder(self) -> Path:
        """What the path of a lab file is relative to."""
        return Path(self.file).parent

    @property
    def has_quick(self) -> bool:
        """Whether it says what a quick run is."""
        return isinstance(self.tree.get("quick"), dict) and bool(self.tree["quick"])

    def cells(self, given: Mapping[str, Any] | None = None, *, quick: bool = False) -> list[Cell]:
        """All combinations of the parameters' values, each checked; the last parameter changes fastest.

        `given` replaces values; `quick` takes what the file says for a quick run. Raises `DeclarationError` with every
        problem of every cell, `BadInput` for a parameter there is not.
        """
        tree = self._quick() if quick else dict(self.tree)
        combinations = self._combinations(tree, given or {})
        if len(combinations) > MOST_TRIALS:
            raise BadInput(f"{self.file}: {len(combinations)} combinations of parameters; {MOST_TRIALS} are the most")
        cells: list[Cell] = []
        problems: dict[tuple[int, Problem], None] = {}  # in order, each once
        for values in combinations:
            try:
                cells.append(Cell(values, self._checked(tree, values)))
            except DeclarationError as error:
                problems.update(dict.fromkeys(error.problems))
        if problems:
            raise DeclarationError(self.file, list(problems), WHAT)
        return cells

    def run(self, parameters: Mapping[str, Any] | None = None, **how: Any) -> Run:
        """Run it and judge it; see `lab.experiments.runner.run`."""
        from lab.experiments.runner import run

        return run(self, parameters, **how)

    def experiment(self, parameters: Mapping[str, Any], *, quick: bool = False) -> Experiment:
        """With one value for each parameter, and not checked any further. Raises `DeclarationError`."""
        return self._filled(self._quick() if quick else dict(self.tree), parameters, set())

    def _checked(self, tree: Mapping[str, Any], values: Mapping[str, Any]) -> Experiment:
        from lab.experiments.checking import check

        used: set[str] = set()
        experiment = self._filled(tree, values, used)
        if problems := check(experiment, values, used, self.folder):
            raise DeclarationError(self.file, yamlfile.located(self.tree, problems), WHAT)
        return experiment

    def _filled(self, tree: Mapping[str, Any], values: Mapping[str, Any], used: set[str]) -> Experiment:
        """`used` collects the parameters that stand somewhere."""
        problems: list[Problem] = []
        filled = {
            key: one if key in ("parameters", "cases", "quick") else _filled(one, values, (key,), problems, used)
            for key, one in tree.items()
        }
        if problems:
            raise DeclarationError(self.file, yamlfile.located(self.tree, problems), WHAT)
        return yamlfile.validate(filled, Experiment, self.file, WHAT, self.tree)

    def _quick(self) -> dict[str, Any]:
        if not self.has_quick:
            raise BadInput(f"{self.file}: it has no `quick`, which says what to leave out in a quick run")
        return {**self.tree, **self.tree["quick"]}

    def _combinations(self, tree: Mapping[str, Any], given: Mapping[str, Any]) -> list[dict[str, Any]]:
        declared, cases = tree.get("parameters") or {}, tree.get("cases") or [{}]
        if not isinstance(declared, dict) or not isinstance(cases, (list, tuple)) or not all(map(_is_mapping, cases)):
            declared, cases = {}, [{}]  # the schema will say so
        # One without a value makes no combination, and nothing would be checked: the schema says so of this one.
        lists = {
            str(name): _listed(given[name]) if name in given else _listed(values) or [None]
            for name, values in declared.items()
        }
        known = [*lists, *cases[0]]
        for name in given:
            if name not in known:
                raise BadInput(
                    f"no parameter {name!r}{did_you_mean(name, known)} (parameters: {', '.join(known) or 'none'})"
                )
        chosen = {name: [str(value) for value in _listed(values)] for name, values in given.items() if name in cases[0]}
        found = [case for case in cases if all(str(case.get(name)) in values for name, values in chosen.items())]
        if not found:
            wanted = ", ".join(f"{name}={' or '.join(values)}" for name, values in chosen.items())
            have = "; ".join(", ".join(f"{name}={case.get(name)}" for name in chosen) for case in cases)
            raise BadInput(f"no case has {wanted} (cases: {have})")
        products = [dict(zip(lists, values, strict=True)) for values in itertools.product(*lists.values())]
        return [{**case, **product} for case in found for product in products]


def load(source: str | Path) -> Source:
    """The experiment that a person means: the path of a file, or the name of one that comes with dnslab.

    Raises `BadInput`, and `DeclarationError` when the file is no YAML.
    """
    file = find(str(source))
    return parse(yamlfile.read(file, WHAT), str(file))


def define(declared: Mapping[str, Any]) -> Source:
    """The experiment that a mapping describes, with the keys of the file. Raises nothing yet: `cells` checks it."""
    return Source(dict(declared), "", "<code>")


def parse(text: str, file: str) -> Source:
    """The experiment in `text`; `file`: where it is from. Raises `DeclarationError` when it is no YAML."""
    return Source(yamlfile.parse(text, file, WHAT, _KEYS), text, file)


def begin(name: str) -> Path:
    """Write an experiment to begin with into the current folder. Raises `BadInput` when the file is there already."""
    file = Path(f"{name}.yaml")
    if not re.fullmatch(LABEL, name):
        raise BadInput(f"{name!r} cannot be the name of an experiment: lower-case letters, digits and hyphens")
    text = paths.experiments().with_name("template.yaml").read_text(encoding="utf-8").replace("NAME", name, 1)
    try:
        with file.open("x", encoding="utf-8") as new:
            new.write(text)
    except FileExistsError:
        raise BadInput(f"{file} is there already; take another name") from None
    except OSError as error:
        raise BadInput(f"cannot write {file}: {error.strerror}") from None
    return file


def names() -> list[str]:
    """The experiments that come with dnslab."""
    return sorted(file.stem for file in paths.experiments().glob("*.yaml"))


def find(source: str) -> Path:
    """The file of an experiment; see `load`. Raises `BadInput` when there is none."""
    path = Path(source)
    if path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        if not path.is_file():
            raise BadInput(f"there is no experiment file {source}")
        return path
    if source not in names():
        known = ", ".join(names())
        raise BadInput(f"no experiment is called {source!r}{did_you_mean(source, names())} (experiments: {known})")
    return paths.experiments() / f"{source}.yaml"


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict)


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _filled(value: Any, values: Mapping[str, Any], place: Place, problems: list[Problem], used: set[str]) -> Any:
    """`value` with each `${parameter}` in it replaced; a text that is nothing else becomes the parameter's value."""
    if isinstance(value, dict):
        return {key: _filled(one, values, (*place, key), problems, used) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_filled(one, values, (*place, number), problems, used) for number, one in enumerate(value)]
    if not isinstance(value, str) or "${" not in value:
        return value
    for name in _REFERENCE.findall(value):
        used.add(name)
        if name not in values:
            known = ", ".join(values) or "none"
            problems.append(Problem(place, f"no parameter {name!r}{did_you_mean(name, values)} (parameters: {known})"))
            return value
    if whole := _REFERENCE.fullmatch(value):
        return values[whole[1]]
    return _REFERENCE.sub(lambda match: str(values[match[1]]), value)
