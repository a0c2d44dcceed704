"""Thresholds as text: what they mean, and where an error points."""

from __future__ import annotations

import pytest

from lab.experiments.checks import Case, measures
from lab.experiments.evaluating import Names, checked, evaluate, holds
from lab.experiments.expressions import Comparison, ExpressionError, parse_comparison, parse_value
from lab.experiments.history import History
from lab.experiments.journal import Estimate
from lab.experiments.statistics import Unmeasured

NAMES = Names(("baseline", "fault"), ("gtld-1", "resolver-1"), {"load": 2.0}, ["how"], {"served": "success(fault)"})
NOTHING = Case(History(), {})


def value(text: str) -> float:
    return evaluate(parse_value(text), NOTHING, NAMES).value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("2 ^ 3 ^ 2", 512),
        ("-2 ^ 2", -4),
        ("2 ** -1", 0.5),
        ("8 / 4 / 2", 1),
        ("5 - 3 - 1", 1),
        ("80ms", 0.08),
        ("99%", 0.99),
        ("1h", 3600),
        ("1.5e3", 1500),
        (".5", 0.5),
        ("load / (1 + load)", 2 / 3),
        ("abs(0 - 3)", 3),
        ("max(2, min(9, 4))", 4),
        ("sqrt(16) + exp(0) + log(1)", 5),
    ],
)
def test_numbers_are_computed_as_they_are_written(text: str, expected: float) -> None:
    assert value(text) == pytest.approx(expected)


def test_a_threshold_is_taken_apart() -> None:
    found = parse_comparison("  p95( latency,recovery) < 1.2 * p95(latency, baseline)")
    assert found.sign == "<"
    assert found.asked == "< 1.2 * p95(latency, baseline)"
    assert found.text.startswith("p95(")
    with_options = parse_comparison("upstream('gtld-1', fault, resolver=resolver-1) == 0").left
    assert with_options == parse_value("upstream('gtld-1', fault, resolver=resolver-1)")


@pytest.mark.parametrize(
    ("text", "at", "told"),
    [
        ("", 0, "something is missing"),
        ("success(fault)", 14, "a comparison is wanted"),
        ("success(fault) = 1", 15, "write =="),
        ("success(fault >= 0.99", 14, "a comma or the closing bracket"),
        ("success(fault", 7, "not closed"),
        ("(1 + 2 > 1", 0, "not closed"),
        ("1 < 2 < 3", 6, "one comparison at a time"),
        ("1 < 2 3", 6, "does not belong here"),
        ("5x > 1", 0, "no unit 'x'"),
        ("1 > $", 4, "means nothing"),
        ("1 > *", 4, "not '*'"),
        ("f(a=1) > 1", 4, "a name is wanted here"),
        ("f(a=b, c) > 1", 7, "arguments with a name come last"),
        ("(" * 80 + "1", 51, "nested too deeply"),
        ("1 + " * 200 + "1 > 0", 0, "500 characters"),
    ],
)
def test_an_error_points_at_its_place(text: str, at: int, told: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse_comparison(text)
    assert told in caught.value.reason
    assert caught.value.at == at
    assert str(caught.value).splitlines()[-1].index("^") == at + 4


@pytest.mark.parametrize(
    ("text", "at", "told"),
    [
        ("success(fualt) >= 1", 8, "did you mean 'fault'?"),
        ("sucess(fault) >= 1", 0, "did you mean 'success'?"),
        ("upstream(gtld-9, fault) == 0", 9, "did you mean 'gtld-1'?"),
        ("p95(latnecy, fault) < 1", 4, "did you mean 'latency'?"),
        ("success >= 1 and", 13, "does not belong here"),
        ("upstream >= 1", 0, "write upstream(target, [phase])"),
        ("success(fault, baseline) >= 1", 0, "it is written success([phase])"),
        ("success(1 + 1) >= 1", 10, "a phase is wanted here"),
        ("ede(stale) > 0", 4, "a whole number is wanted here: ede"),
        ("within(5, fault) > 0", 7, "a time, as in 5s, is wanted here: within"),
        ("ede(3s, fault) > 0", 4, "a whole number is wanted here: ede"),
        ("ede(3, fualt) > 0", 7, "did you mean 'fault'"),
        ("success(fault, colour=red) >= 1", 15, "not selected by 'colour'"),
        ("success(fault, resolver=nobody) >= 1", 24, "no node 'nobody'"),
        ("laod >= 1", 0, "did you mean 'load'?"),
        ("how >= 1", 0, "'how' is no number"),
        ("1 > load-1", 4, "a minus has a space on one side"),
        ("abs(1, 2) >= 1", 0, "abs takes 1 number"),
        ("'fault' >= 1", 0, "neither a parameter nor"),
    ],
)
def test_what_means_nothing_is_found_before_anything_is_run(text: str, at: int, told: str) -> None:
    errors = checked(text, NAMES, parse_comparison)
    assert len(errors) == 1
    assert told in errors[0].reason
    assert errors[0].at == at


def test_all_that_is_wrong_is_told_at_once() -> None:
    assert len(checked("success(a) + success(b) > success(c)", NAMES, parse_comparison)) == 3


@pytest.mark.parametrize(
    "text",
    ["success(fault) >= 0.99", "recovery_time < 5s", "served > 1%", "upstream(root, all) == 0", "hit_ratio > load"],
)
def test_what_means_something_is_not_complained_about(text: str) -> None:
    assert checked(text, NAMES, parse_comparison) == []


@pytest.mark.parametrize(
    ("sign", "left", "right", "expected"),
    [
        ("<", (1, 2), (3, 4), True),
        ("<", (1, 3), (3, 4), None),
        ("<", (4, 5), (3, 4), False),
        ("<=", (1, 3), (3, 4), True),
        (">=", (3, 4), (1, 3), True),
        (">=", (0.98, 1.0), (0.99, 0.99), None),
        (">", (3, 4), (3, 3), None),
        (">", (2, 3), (3, 3), False),
        ("==", (0, 0), (0, 0), True),
        ("==", (0, 1), (0, 0), None),
        ("==", (1, 2), (0, 0), False),
        ("!=", (1, 2), (0, 0), True),
        ("!=", (0, 0), (0, 0), False),
    ],
)
def test_intervals_decide_or_leave_it_open(
    sign: str, left: tuple[float, float], right: tuple[float, float], expected: bool | None
) -> None:
    comparison = Comparison("", parse_value("1"), sign, parse_value("1"), 0)
    sides = [Estimate(low, low, high) for low, high in (left, right)]
    assert holds(comparison, *sides) is expected


@pytest.mark.parametrize("text", ["1 / 0", "log(0)", "sqrt(0 - 1)", "(0 - 8) ^ 0.5", "10 ^ 999"])
def test_what_has_no_value_is_not_measured(text: str) -> None:
    with pytest.raises(Unmeasured):
        value(text)


def test_every_measure_says_what_it_is() -> None:
    for measure in measures().values():
        assert measure.summary
        assert "phase" not in measure.arguments[:-1], "the phase comes last, so that it can be left out"
