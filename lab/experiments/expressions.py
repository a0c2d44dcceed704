"""Thresholds as text: `success(fault) >= 0.99`, `p95(latency, recovery) < 1.2 * p95(latency, baseline)`.

A small language of its own: numbers with units (`5s`, `80ms`, `99%`), names, measures with arguments, `+ - * / ^`,
brackets, and one comparison. A hyphen between two characters of a word belongs to the word, as in `gtld-1`, so a minus
has a space on at least one side. Nothing is executed but what stands in this module.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NoReturn

COMPARISONS = ("<=", ">=", "==", "!=", "<", ">")
UNITS: Mapping[str, float] = {
    "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "%": 0.01,
}  # fmt: skip
LONGEST = 500  # characters
_DEEPEST = 50  # brackets within brackets; more is no threshold, and would end the parser by its recursion

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?) (?P<unit>[A-Za-z%]*)
    | (?P<word>[A-Za-z_](?:[A-Za-z0-9_.]|-(?=[A-Za-z0-9_]))*)
    | (?P<text>"[^"]*"|'[^']*')
    | (?P<sign><=|>=|==|!=|\*\*|[-+*/^<>=(),])
    )""",
    re.VERBOSE,
)


class ExpressionError(ValueError):
    """An expression that means nothing; `at` is the place in `text`, and the message shows it below the reason."""

    def __init__(self, text: str, at: int, reason: str) -> None:
        self.text, self.at, self.reason = text, at, reason
        super().__init__(f"{reason}\n    {text}\n    {' ' * at}^")


@dataclass(frozen=True)
class Number:
    """A number, in the base unit: seconds, or a plain number."""

    value: float
    at: int
    is_time: bool = False


@dataclass(frozen=True)
class Word:
    """A name: of a parameter, of a phase, of a node; or a text in quotes."""

    text: str
    at: int
    quoted: bool = False


@dataclass(frozen=True)
class Call:
    """A measure, or a function of numbers, with its arguments."""

    name: str
    arguments: tuple[Expression, ...]
    at: int
    text: str  # as written, spaces evened out
    options: Mapping[str, Word] = field(default_factory=dict)  # `resolver=resolver-1`


@dataclass(frozen=True)
class Unary:
    """`-x`."""

    operand: Expression
    at: int


@dataclass(frozen=True)
class Binary:
    """`left sign right` with one of `+ - * / ^`."""

    sign: str
    left: Expression
    right: Expression
    at: int


Expression = Number | Word | Call | Unary | Binary


@dataclass(frozen=True)
class Comparison:
    """A whole threshold."""

    text: str
    left: Expression
    sign: str
    right: Expression
    at: int  # of the sign

    @property
    def asked(self) -> str:
        """The comparison and its right side, as written."""
        return self.text[self.at :].strip()


def parse_comparison(text: str) -> Comparison:
    """The threshold in `text`. Raises `ExpressionError`."""
    parser = _Parser(text)
    left = parser.sum()
    sign = parser.take(*COMPARISONS)
    if sign is None:
        if parser.take("=") is not None:
            parser.fail("write == to compare", parser.position(-1))
        parser.fail(f"a comparison is wanted here, as in `{text.strip() or 'success(fault)'} >= 0.99`")
    at = parser.position(-1)
    right = parser.sum()
    if parser.take(*COMPARISONS) is not None:
        parser.fail("one comparison at a time: write two expectations", parser.position(-1))
    parser.end()
    return Comparison(text.strip(), left, sign, right, at - (len(text) - len(text.lstrip())))


def parse_value(text: str) -> Expression:
    """The number that `text` stands for: no comparison. Raises `ExpressionError`."""
    parser = _Parser(text)
    found = parser.sum()
    if parser.take(*COMPARISONS) is not None:
        parser.fail("a number is wanted here, not a comparison", parser.position(-1))
    parser.end()
    return found


def walk(expression: Expression) -> Iterator[Expression]:
    """An expression and all those in it, outermost first."""
    yield expression
    if isinstance(expression, Call):
        for argument in expression.arguments:
            yield from walk(argument)
    elif isinstance(expression, Unary):
        yield from walk(expression.operand)
    elif isinstance(expression, Binary):
        yield from walk(expression.left)
        yield from walk(expression.right)


@dataclass(frozen=True)
class _Token:
    kind: str  # number, word, text, sign
    text: str
    at: int
    unit: str = ""


class _Parser:
    """Recursive descent: one method a level of precedence."""

    def __init__(self, text: str) -> None:
        self._text, self._next, self._depth = text, 0, 0
        self._tokens = list(_tokens(text))

    def fail(self, reason: str, at: int | None = None) -> NoReturn:
        raise ExpressionError(self._text, self.position() if at is None else at, reason)

    def position(self, ahead: int = 0) -> int:
        """Where the token stands that comes next, or `ahead` of that; the end of the text after the last."""
        place = self._next + ahead
        return self._tokens[place].at if 0 <= place < len(self._tokens) else len(self._text.rstrip())

    def take(self, *signs: str) -> str | None:
        """The next token's text if it is one of these signs; it is consumed."""
        token = self._tokens[self._next] if self._next < len(self._tokens) else None
        if token is None or token.kind != "sign" or token.text not in signs:
            return None
        self._next += 1
        return token.text

    def end(self) -> None:
        if self._next < len(self._tokens):
            self.fail(f"{self._tokens[self._next].text!r} does not belong here")

    def sum(self) -> Expression:
        left = self._product()
        while (sign := self.take("+", "-")) is not None:
            at = self.position(-1)
            left = Binary(sign, left, self._product(), at)
        return left

    def _product(self) -> Expression:
        left = self._signed()
        while (sign := self.take("*", "/")) is not None:
            at = self.position(-1)
            left = Binary(sign, left, self._signed(), at)
        return left

    def _signed(self) -> Expression:
        if self.take("-") is not None:
            return Unary(self._deeper(self._signed), self.position(-1))
        return self._power()

    def _power(self) -> Expression:
        base = self._atom()
        if self.take("^", "**") is not None:
            at = self.position(-1)
            return Binary("^", base, self._deeper(self._signed), at)  # to the right: 2 ^ 3 ^ 2 is 2 ^ 9
        return base

    def _atom(self) -> Expression:
        if self.take("(") is not None:
            opened = self.position(-1)
            inner = self._deeper(self.sum)
            if self.take(")") is None:
                self.fail("this bracket is not closed", opened)
            return inner
        token = self._tokens[self._next] if self._next < len(self._tokens) else None
        if token is None:
            self.fail("something is missing here: a number, or a measure like success(fault)")
        if token.kind == "sign":
            self.fail(f"a number or a measure is wanted here, not {token.text!r}")
        self._next += 1
        if token.kind == "number":
            return self._number(token)
        if token.kind == "text":
            return Word(token.text[1:-1], token.at, quoted=True)
        if self.take("(") is not None:
            return self._call(token)
        return Word(token.text, token.at)

    def _number(self, token: _Token) -> Number:
        if token.unit and token.unit not in UNITS:
            self.fail(f"no unit {token.unit!r} (units: {', '.join(UNITS)})", token.at)
        value = float(token.text) * UNITS.get(token.unit, 1.0)
        return Number(value, token.at, is_time=token.unit not in ("", "%"))

    def _call(self, name: _Token) -> Call:
        opened, start = self.position(-1), name.at
        arguments: list[Expression] = []
        options: dict[str, Word] = {}
        while self.take(")") is None:
            if (arguments or options) and self.take(",") is None:
                if self._next < len(self._tokens):
                    self.fail("a comma or the closing bracket is wanted here")
                self.fail("this bracket is not closed", opened)
            argument = self._deeper(self.sum)
            if self.take("=") is None:
                if options:
                    self.fail("arguments with a name come last", argument.at)
                arguments.append(argument)
                continue
            if not isinstance(argument, Word) or argument.quoted:
                self.fail("write == to compare; within a measure, name=value selects", argument.at)
            value = self._deeper(self.sum)
            if not isinstance(value, Word):
                self.fail(f"a name is wanted here, as in {argument.text}=resolver-1; or a text in quotes", value.at)
            options[argument.text] = value
        end = self._tokens[self._next - 1].at + 1
        written = re.sub(r"\s*,\s*", ", ", re.sub(r"\s+", " ", self._text[start:end]))
        return Call(name.text, tuple(arguments), start, written, options)

    def _deeper(self, parse: Callable[[], Expression]) -> Expression:
        if self._depth >= _DEEPEST:
            self.fail("nested too deeply")
        self._depth += 1
        try:
            return parse()
        finally:
            self._depth -= 1


def _tokens(text: str) -> Iterator[_Token]:
    if len(text) > LONGEST:
        raise ExpressionError(f"{text[:60]} ...", 0, f"a threshold has {LONGEST} characters at the most")
    place = 0
    while text[place:].strip():
        match = _TOKEN.match(text, place)
        if match is None:
            at = place + len(text[place:]) - len(text[place:].lstrip())
            raise ExpressionError(text, at, f"{text[at]!r} means nothing here")
        kind = match.lastgroup if match.lastgroup != "unit" else "number"
        assert kind is not None
        yield _Token(kind, match[kind], match.start(kind), match["unit"] or "")
        place = match.end()
