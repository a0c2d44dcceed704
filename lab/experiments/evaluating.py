"""Expressions against a history: what each name in them stands for, and what the whole is worth."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

from lab.experiments import statistics
from lab.experiments.checks import Case, Measure, measures
from lab.experiments.checks.measure import ANY, TIERS
from lab.experiments.checks.quantities import QUANTITIES
from lab.experiments.expressions import (
    Binary,
    Call,
    Comparison,
    Expression,
    ExpressionError,
    Number,
    Unary,
    Word,
    parse_value,
    walk,
)
from lab.experiments.history import ALL
from lab.experiments.journal import Estimate
from lab.topology.suggest import did_you_mean

FUNCTIONS: Mapping[str, tuple[int, str]] = {
    "abs": (1, "absolute value"),
    "min": (2, "the lesser of two"),
    "max": (2, "the greater of two"),
    "sqrt": (1, "square root"),
    "exp": (1, "e to the power of"),
    "log": (1, "natural logarithm"),
    "zipf_hits": (3, "hit ratio for a lambda T of all names, how many names, and the exponent of their popularity"),
}
"""Functions of numbers: how many they take, and what they give."""

_PLAIN: Mapping[str, Callable[..., float]] = {
    "min": min, "max": max, "sqrt": math.sqrt, "exp": math.exp, "log": math.log,
    "zipf_hits": statistics.zipf_hits,
}  # fmt: skip


_NUMBERS: Mapping[str, tuple[str, Callable[[Number], bool]]] = {
    "code": ("a whole number", lambda number: not number.is_time and number.value in range(2**16)),
    "time": ("a time, as in 5s,", lambda number: number.is_time),
}
"""Kinds of arguments that are numbers: what is wanted, and whether one is that."""


@dataclass(frozen=True)
class Names:
    """What words may stand for."""

    phases: Collection[str]
    nodes: Collection[str]
    values: Mapping[str, float] = field(default_factory=dict)  # numeric parameters
    texts: Collection[str] = ()  # parameters that are no numbers
    measurements: Mapping[str, str] = field(default_factory=dict)  # by name, as written
    counts_only: bool = False  # of look-ups there are counts, and nothing of each: `Measure.of_loads`


def complaints(expression: Expression, names: Names, text: str) -> Iterator[ExpressionError]:
    """Everything in an expression that means nothing."""
    if isinstance(expression, (Unary, Binary)):
        inner = (expression.operand,) if isinstance(expression, Unary) else (expression.left, expression.right)
        for one in inner:
            yield from complaints(one, names, text)
    elif isinstance(expression, Word):
        if not _known(expression, names):
            yield ExpressionError(text, expression.at, _unknown(expression, names))
        elif expression.text in measures() and names.counts_only:
            yield from _uncountable(Call(expression.text, (), expression.at, expression.text), text)
    elif isinstance(expression, Call):
        if expression.name in FUNCTIONS:
            wanted = FUNCTIONS[expression.name][0]
            if len(expression.arguments) != wanted or expression.options:
                plural = "numbers" if wanted > 1 else "number"
                yield ExpressionError(text, expression.at, f"{expression.name} takes {wanted} {plural}")
            for one in expression.arguments:
                yield from complaints(one, names, text)
        elif expression.name in measures():
            yield from _misused(measures()[expression.name], expression, names, text)
        else:
            known = [*measures(), *FUNCTIONS]
            hint = did_you_mean(expression.name, known) or "; `dnslab experiment measures` lists them"
            yield ExpressionError(text, expression.at, f"no measure {expression.name!r}{hint}")


def evaluate(expression: Expression, case: Case, names: Names, parts: dict[str, Estimate] | None = None) -> Estimate:
    """What an expression without complaints is worth; `parts` collects each measure in it.

    Raises `Unmeasured` when the history does not give it.
    """
    if isinstance(expression, Number):
        return Estimate.exact(expression.value, "s" if expression.is_time else "")
    if isinstance(expression, Unary):
        inner = evaluate(expression.operand, case, names, parts)
        return statistics.combine(lambda value: -value, inner, unit=inner.unit)
    if isinstance(expression, Word):
        return _word(expression, case, names, parts)
    if isinstance(expression, Call):
        return _call(expression, case, names, parts)
    left, right = evaluate(expression.left, case, names, parts), evaluate(expression.right, case, names, parts)
    return _binary(expression.sign, left, right)


def holds(comparison: Comparison, left: Estimate, right: Estimate) -> bool | None:
    """Whether a comparison holds for all values in both intervals; None when for some it does and for some not."""
    sign = comparison.sign
    if sign in ("==", "!="):
        apart = left.high < right.low or left.low > right.high
        same = left.is_exact and right.is_exact and left.value == right.value
        found = True if same else False if apart else None
        return found if sign == "==" or found is None else not found
    if sign in (">", ">="):
        left, right, sign = right, left, "<" if sign == ">" else "<="
    if sign == "<":
        return True if left.high < right.low else False if left.low >= right.high else None
    return True if left.high <= right.low else False if left.low > right.high else None


def _word(word: Word, case: Case, names: Names, parts: dict[str, Estimate] | None) -> Estimate:
    if word.text in names.values:
        return Estimate.exact(names.values[word.text])
    if word.text in names.measurements:
        return evaluate(parse_value(names.measurements[word.text]), case, names, parts)
    return _call(Call(word.text, (), word.at, word.text), case, names, parts)


def _call(call: Call, case: Case, names: Names, parts: dict[str, Estimate] | None) -> Estimate:
    if call.name in FUNCTIONS:
        values = [evaluate(one, case, names, parts) for one in call.arguments]
        if call.name == "abs":
            return statistics.absolute(values[0])
        return statistics.combine(_PLAIN[call.name], *values)
    arguments = [_as_text(one) for one in call.arguments]
    options = {name: word.text for name, word in call.options.items()}
    found = measures()[call.name].of(case, arguments, options)
    if parts is not None:
        parts[call.text] = found
    return found


def _binary(sign: str, left: Estimate, right: Estimate) -> Estimate:
    unit = left.unit if left.unit == right.unit or not right.unit else right.unit if not left.unit else ""
    if sign == "+":
        return statistics.combine(lambda a, b: a + b, left, right, unit=unit)
    if sign == "-":
        return statistics.combine(lambda a, b: a - b, left, right, unit=unit)
    if sign == "*":
        return statistics.combine(lambda a, b: a * b, left, right, unit=left.unit or right.unit)
    if sign == "/":
        return statistics.divide(left, right)
    return statistics.combine(lambda a, b: a**b, left, right)


def _known(word: Word, names: Names) -> bool:
    if word.quoted:
        return False
    if word.text in names.values or word.text in names.measurements:
        return True
    return word.text in measures() and not [one for one in measures()[word.text].arguments if one != "phase"]


def _unknown(word: Word, names: Names) -> str:
    if word.text in names.texts:
        return f"the parameter {word.text!r} is no number"
    if word.text in measures():
        return f"{word.text} is a measure: write {measures()[word.text].signature}"
    known = [*names.values, *names.measurements, *measures()]
    minus = word.text.partition("-")[0] in known and "-" in word.text
    hint = "; a minus has a space on one side" if minus else did_you_mean(word.text, known)
    return f"{word.text!r} is neither a parameter nor a measurement nor a measure{hint}"


def _misused(measure: Measure, call: Call, names: Names, text: str) -> Iterator[ExpressionError]:
    least = len([one for one in measure.arguments if one != "phase"])
    if not least <= len(call.arguments) <= len(measure.arguments):
        yield ExpressionError(text, call.at, f"it is written {measure.signature}")
        return
    for kind, argument in zip(measure.arguments, call.arguments, strict=False):
        if kind in _NUMBERS:
            wanted, is_right = _NUMBERS[kind]
            if not (isinstance(argument, Number) and is_right(argument)):
                at = next(walk(argument)).at
                yield ExpressionError(text, at, f"{wanted} is wanted here: {measure.signature}")
        elif not isinstance(argument, Word):
            at = next(walk(argument)).at
            yield ExpressionError(text, at, f"a {kind} is wanted here: {measure.signature}")
        elif (problem := _argument(kind, argument.text, names)) is not None:
            yield ExpressionError(text, argument.at, problem)
    if names.counts_only:
        yield from _uncountable(call, text)
    for name, word in call.options.items():
        if name not in measure.options:
            known = ", ".join(measure.options) or "none"
            yield ExpressionError(
                text, word.at - len(name) - 1, f"{measure.name} is not selected by {name!r} (by: {known})"
            )
        elif name in ("resolver", "host") and (problem := _argument("server", word.text, names)) is not None:
            yield ExpressionError(text, word.at, problem)


def _as_text(argument: Expression) -> str:
    """An argument without complaints as measures take it."""
    return (
        f"{argument.value:g}" if isinstance(argument, Number) else argument.text if isinstance(argument, Word) else ""
    )


def _uncountable(call: Call, text: str) -> Iterator[ExpressionError]:
    """What counts alone do not give."""
    quantity = next((one.text for one in call.arguments if isinstance(one, Word) and one.text in QUANTITIES), "latency")
    if measures()[call.name].of_loads is None or call.options or quantity != "latency":
        known = [name for name, one in measures().items() if one.of_loads is not None and name != "mean"]
        yield ExpressionError(
            text,
            call.at,
            f"{call.text} takes each look-up, and dnsperf tells counts: {', '.join(known)} and mean(latency)",
        )


def _argument(kind: str, word: str, names: Names) -> str | None:
    """What is wrong with an argument; None when nothing is."""
    known: Collection[str]
    if kind == "phase":
        known, what = [*names.phases, ALL], "phase"
    elif kind == "quantity":
        known, what = QUANTITIES, "quantity"
    elif kind == "server":
        known, what = names.nodes, "node"
    elif kind == "target":
        known, what = [*TIERS, ANY, *names.nodes], "node or tier"
    else:
        return None
    if word in known:
        return None
    shown = ", ".join(list(known)[:8]) + (", ..." if len(known) > 8 else "")
    return f"no {what} {word!r}{did_you_mean(word, known)} ({shown})"


def checked(text: str, names: Names, parse: Callable[[str], Expression | Comparison]) -> list[ExpressionError]:
    """Everything that is wrong with an expression as text."""
    text = text.strip()
    try:
        found = parse(text)
    except ExpressionError as error:
        return [error]
    sides = (found.left, found.right) if isinstance(found, Comparison) else (found,)
    return [complaint for side in sides for complaint in complaints(side, names, text)]


def names_of(parameters: Mapping[str, object], phases: Collection[str], nodes: Collection[str]) -> Names:
    """The names of an experiment, without its measurements."""
    from lab.experiments.quantities import as_number

    numbers = {name: as_number(value) for name, value in parameters.items()}
    return Names(
        tuple(phases),
        tuple(nodes),
        {name: value for name, value in numbers.items() if value is not None},
        [name for name, value in numbers.items() if value is None],
    )
