"""The language of an experiment: what is understood, and how mistakes are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab import labs
from lab.errors import BadInput
from lab.experiments.foreseeing import foresee
from lab.experiments.labsource import closed
from lab.experiments.loading import begin, define, load, names, parse
from lab.experiments.quantities import duration, length, rate
from lab.experiments.runner import plan
from lab.experiments.timeline import Moment, timed
from lab.topology.derive import derive
from lab.topology.problems import DeclarationError

PAGES = Path(__file__).parents[2] / "docs" / "experiments"

GOOD = """\
experiment: small
title: A small one
lab: textbook
cache: warm
workload:
  names: [www.example.com]
  rate: 100/s
phases:
  baseline: 5s
  fault: 5s
  recovery: 5s
steady_state:
  - success(baseline) >= 0.9
method:
  - fault: loss
    node: gtld-1
    share: 50%
expect:
  - success(fault) >= 0.9
"""


def cells(text: str, **given: Any) -> list[Any]:
    return parse(text, "x.yaml").cells(given)


def problems(text: str) -> list[str]:
    with pytest.raises(DeclarationError) as caught:
        cells(text)
    return [line for line in str(caught.value).splitlines() if line.startswith("x.yaml:")]


def test_what_is_left_out_has_its_default() -> None:
    [cell] = cells(GOOD)
    experiment = cell.experiment
    assert (experiment.time, experiment.seed, experiment.confidence, experiment.repeats) == ("real", 1, 0.99, 1)
    assert experiment.workload.arrivals == "poisson"
    assert experiment.seconds == 15
    [step] = timed(experiment)
    assert (step.node, step.start, step.end_phase) == ("gtld-1", Moment(1), 2)
    assert step.step.how == {"share": "50%"}


@pytest.mark.parametrize(
    ("old", "new", "line", "told"),
    [
        ("title: A small one\n", "", 1, "'title' is missing"),
        ("cache: warm\n", "", 1, "'cache' is missing"),
        ("cache: warm", "cache: hot", 4, "'cold', 'flushed' or 'warm'"),
        ("title: A", "titel: A", 2, "did you mean 'title'?"),
        ("rate: 100/s", "rate: 100", 7, "is not a rate: write 100/s"),
        ("rate: 100/s", "rate: 0/s", 7, "is not a rate"),
        ("rate: 100/s", "rate: 100/s\n  clients: 3", 5, "`clients` are for `arrivals: closed`"),
        ("rate: 100/s", "arrivals: closed\n  rate: 1/s", 5, "a closed loop has no rate"),
        ("  rate: 100/s\n", "", 5, "poisson arrivals need a `rate`"),
        ("rate: 100/s", "rate: 100000/s", 7, "200000 are the most"),
        ("rate: 100/s", "rate: 100/s\n  at: nobody", 8, "no node 'nobody'"),
        ("rate: 100/s", "rate: 100/s\n  hosts: [root-a]", 8, "which cannot be that"),
        ("rate: 100/s", "rate: 100/s\n  types: [A, XYZ]", 8, "unknown type 'XYZ'"),
        ("[www.example.com]", "[www..example.com]", 6, "an empty label"),
        ("[www.example.com]", "{unique: x.example.com}", 6, "{} stands once in a pattern"),
        ("[www.example.com]", "{zipf: {pattern: 'n{}.com', count: 0}}", 6, "a number from 1 on is wanted here (got 0)"),
        ("[www.example.com]", "{}", 6, "one of these is wanted"),
        ("baseline: 5s", "baseline: 5", 9, "the unit is missing"),
        ("baseline: 5s", "all: 5s", 9, "cannot be the name of a phase"),
        ("baseline: 5s", "baseline: 0 queries", 9, "0 queries"),
        ("success(baseline) >= 0.9", "success(fault) >= 0.9", 13, "no phase 'fault'"),
        ("steady_state:\n  - success(baseline) >= 0.9\n", "", 1, "'steady_state' is missing"),
        ("fault: loss", "fault: lost", 15, "no fault 'lost'"),
        ("share: 50%", "share: 50", 17, "did you mean 50%?"),
        ("share: 50%", "sahre: 50%", 17, "did you mean 'share'?"),
        ("share: 50%", "share: 50%\n    start: baseline", 18, "nothing is broken in the first phase"),
        ("share: 50%", "share: 50%\n    start: recovry", 18, "did you mean 'recovery'?"),
        ("share: 50%", "share: 50%\n    until: baseline", 18, "is over"),
        ("share: 50%", "share: 50%\n    until: failures(fault >= 3", 18, "a comma or the closing bracket"),
        ("share: 50%", "share: 50%\n    do: flush", 15, "a step is a `fault`, or something to `do`"),
        ("node: gtld-1", "node: gtld-7", 16, "no node 'gtld-7'"),
        ("success(fault) >= 0.9", "success(fualt) >= 0.9", 19, "did you mean 'fault'?"),
        ("success(fault) >= 0.9", "{that: success(fault) >= 0.9, judged: kindly}", 19, "'interval' or 'value'"),
        ("lab: textbook", "lab: textbok", 3, "did you mean 'textbook'?"),
        ("lab: textbook", "lab: {name: textbook, records: {nowhere.org: 'x A 192.0.2.1'}}", 3, "no zone 'nowhere.org'"),
        ("lab: textbook", "lab: {name: textbook, records: {example.com: 'x A nonsense'}}", 3, "cannot read"),
        ("cache: warm", "cache: warm\nparameters: {loss: [1, 2]}", 5, "nothing depends on it"),
        ("cache: warm", "cache: ${chace}\nparameters: {cache: [warm]}", 4, "did you mean 'cache'?"),
        ("cache: warm", "cache: ${load}\nparameters: {load: [warm]}", 5, "a measure or a function already"),
        ("cache: warm", "cache: warm\npredictions: {x: 1 + 1}", 5, "there is no measurement 'x'"),
        ("cache: warm", "cache: ${c}\ncases: [{c: warm}, {}]", 5, "c is missing, which the first case has"),
        ("cache: warm", "cache: ${c}\nparameters: {c: []}", 5, "a parameter needs at least one value"),
        ("cache: warm", "cache: warm\nmeasurements: {a-b: success(fault)}", 5, "letters, digits and `_`"),
        ("cache: warm", "cache: warm\nseed: x", 5, "a whole number is wanted here (got 'x')"),
        ("rate: 100/s", "rate: 100/s\n  types: []", 8, "it is empty; at least one is wanted here"),
        ("rate: 100/s", "rate: 100/s\n  recurse: maybe", 8, "yes or no is wanted here"),
        ("node: gtld-1", "node: []", 16, "it is empty; at least one is wanted here, as in `[one, two]`"),
        ("baseline: 5s", "baseline:", 9, "nothing is not a length of time: write 80ms"),
        ("cache: warm", "cache: [", 6, "not YAML"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_line(old: str, new: str, line: int, told: str) -> None:
    assert old in GOOD
    found = problems(GOOD.replace(old, new, 1))
    assert any(told in one and one.startswith(f"x.yaml:{line}:") for one in found), found


def test_all_mistakes_of_a_kind_are_told_at_once() -> None:
    text = GOOD.replace("success(baseline)", "sucess(baseline)").replace("success(fault)", "success(fualt)")
    assert len(problems(text)) == 2


def test_a_mistake_in_one_of_many_cells_is_told_once() -> None:
    text = GOOD.replace("share: 50%", "share: ${loss}").replace(
        "cache: warm", "cache: warm\nparameters: {loss: [10%, 200%, 20%]}"
    )
    [found] = problems(text)
    assert "200%" in found


def test_parameters_make_every_combination_and_cases_are_taken_as_they_are() -> None:
    text = GOOD.replace("share: 50%", "share: ${loss}").replace("rate: 100/s", "rate: ${rate_}").replace(
        "cache: warm",
        "cache: ${cache}\nparameters: {loss: [10%, 20%]}\n"
        "cases: [{cache: warm, rate_: 1/s}, {cache: cold, rate_: 2/s}]",
    )  # fmt: skip
    found = [dict(cell.parameters) for cell in cells(text)]
    assert found == [
        {"cache": cache, "rate_": rate, "loss": loss}
        for cache, rate in (("warm", "1/s"), ("cold", "2/s"))
        for loss in ("10%", "20%")
    ]
    assert [cell.parameters["loss"] for cell in cells(text, loss="90%")] == ["90%", "90%"]
    assert {cell.parameters["cache"] for cell in cells(text, cache="cold")} == {"cold"}
    with pytest.raises(BadInput, match="no case has cache=hot"):
        cells(text, cache="hot")
    with pytest.raises(BadInput, match="no parameter 'los'; did you mean 'loss'"):
        cells(text, los=1)


def test_a_whole_parameter_keeps_its_kind_and_one_within_a_text_is_written_in() -> None:
    text = GOOD.replace("rate: 100/s", "rate: ${often}/${ttl}s").replace(
        "cache: warm", "cache: warm\nseed: ${n}\nparameters: {often: [2], ttl: [4], n: [7]}"
    )
    [cell] = cells(text)
    assert cell.experiment.workload.rate == 0.5
    assert cell.experiment.seed == 7


def test_repeats_have_seeds_of_their_own_and_cells_share_them() -> None:
    text = GOOD.replace("share: 50%", "share: ${loss}").replace(
        "cache: warm", "cache: warm\nrepeats: 2\nparameters: {loss: [10%, 20%]}"
    )
    found = plan(parse(text, "x.yaml"), seed=5)
    assert [(one.number, one.cell.parameters["loss"], one.repeat, one.seed) for one in found] == [
        (1, "10%", 1, 5),
        (2, "20%", 1, 5),
        (3, "10%", 2, 6),
        (4, "20%", 2, 6),
    ]


def test_a_quick_run_takes_what_the_file_says() -> None:
    text = GOOD + "quick: {phases: {baseline: 1s, fault: 1s, recovery: 1s}}\n"
    assert plan(parse(text, "x.yaml"), quick=True)[0].cell.experiment.seconds == 3
    assert plan(parse(text, "x.yaml"))[0].cell.experiment.seconds == 15
    with pytest.raises(BadInput, match="has no `quick`"):
        plan(parse(GOOD, "x.yaml"), quick=True)


def test_virtual_time_needs_an_open_loop_and_resolvers_on_the_labs_clock() -> None:
    text = GOOD.replace("cache: warm", "cache: warm\ntime: virtual")
    closed = text.replace("rate: 100/s", "arrivals: closed")
    assert "in virtual time nothing passes" in problems(closed)[0]


def test_the_same_experiment_as_code() -> None:
    source = define(
        {
            "experiment": "coded",
            "title": "By code",
            "lab": "textbook",
            "cache": "flushed",
            "workload": {"names": ("www.example.com",), "rate": "10/s"},
            "phases": {"only": "1s"},
            "expect": ["success(only) >= 0.9"],
        }
    )
    [cell] = source.cells()
    assert cell.experiment.seconds == 1
    with pytest.raises(DeclarationError, match=r"<code>:1: lab: .*did you mean 'textbook'"):
        define({**source.tree, "lab": "textbok"}).cells()


@pytest.mark.parametrize("name", names())
def test_every_experiment_of_the_library_is_sound_and_can_be_foreseen(name: str) -> None:
    source = load(name)
    trials = plan(source)
    assert source.name == name
    assert len(plan(source, quick="quick" in source.tree)) <= len(trials)
    assert all(source.tree.get(key) for key in ("question", "source", "expect"))
    if PAGES.is_dir():  # it is of the checkout, not of what is installed
        page = (PAGES / f"{name}.md").read_text()
        assert f"dnslab run {name}" in page
        assert f"]({name}.md)" in (PAGES / "README.md").read_text()
    lines = foresee(trials[0], source.folder)
    assert any(line.startswith("expected: ") for line in lines)


def test_a_new_experiment_is_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = begin("mine")
    assert load(str(file)).cells()
    with pytest.raises(BadInput, match="is there already"):
        begin("mine")
    with pytest.raises(BadInput, match="cannot be the name"):
        begin("../mine")


def test_a_dry_run_says_what_would_be_done() -> None:
    [planned] = plan(
        parse(GOOD.replace("share: 50%", "share: 50%\n    start: fault + 1s\n    until: failures(fault) > 3"), "x.yaml")
    )
    lines = "\n".join(foresee(planned, Path()))
    for told in (
        "every distinct question is asked once",
        "100 a second",
        "gate: success(baseline) >= 0.9",
        "fault + 1 s: Every UDP and TCP packet that arrives at gtld-1",
        "until failures(fault) > 3",
    ):
        assert told in lines


def test_quantities() -> None:
    assert duration("1h30m") == 5400
    assert duration("80ms") == pytest.approx(0.08)
    assert rate("1/10m") == pytest.approx(1 / 600)
    assert rate("0.2/3600s") == pytest.approx(0.2 / 3600)
    assert length("1000 queries").at_rate(10) == 100
    for wrong in ("10", "", "10 parsecs", "-5s", "s"):
        with pytest.raises(ValueError, match=r"write|length of time"):
            duration(wrong)


def test_a_lab_of_ones_own_has_no_gateway_and_none_of_its_links() -> None:
    declared = labs.load("wide-area")
    without = closed(declared)
    assert without.gateway is None
    assert len(without.links) == len(declared.links)
    assert not any("gateway" in end for link in without.links for end in link.ends)
    assert "gateway" not in derive(without).nodes


DNSPERF = GOOD.replace("  rate: 100/s", "  rate: 20000/s\n  arrivals: constant\n  at: resolver-1\n  tool: dnsperf")


def test_dnsperf_may_be_asked_for_more_than_the_prober_can() -> None:
    text = DNSPERF + "  - rate(fault) >= 19000\n  - mean(latency, all) < 10ms\n  - share(TIMEOUT, fault) < 1%\n"
    [cell] = cells(text)
    assert cell.experiment.workload.tool == "dnsperf"
    assert ", by dnsperf" in "\n".join(foresee(plan(parse(text, "x.yaml"))[0], Path()))
    cells(DNSPERF.replace("rate: 20000/s\n  arrivals: constant", "arrivals: closed\n  clients: 50"))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("arrivals: constant", "arrivals: poisson", "at equal distances"),
        ("names: [www.example.com]", 'names: {unique: "u{}.example.com"}', "not `unique`"),
        ("  at: resolver-1\n", "", "write `at: NODE`"),
        ("at: resolver-1", "at: [resolver-1, resolver-2]", "dnsperf asks one node"),
        ("at: resolver-1", "at: resolver-1\n  recurse: false", "always asks for recursion"),
        ("at: resolver-1", "at: resolver-1\n  attempts: 2", "dnsperf asks once"),
        ("rate: 20000/s", "rate: 60000/s", "50000 a second at the most"),
        ("cache: warm", "cache: warm\ntime: virtual", "dnsperf asks in real time"),
        ("recovery: 5s", "recovery: 21s", "30 s at the most, all phases together; these are 31 s"),
        ("share: 50%", "share: 50%\n    until: failures(fault) >= 20", "a condition sees look-ups"),
        ("success(fault) >= 0.9", "hit_ratio(fault) >= 0.9", "hit_ratio(fault) takes each look-up"),
        ("success(fault) >= 0.9", "p95(latency, fault) < 1s", "takes each look-up"),
        ("success(fault) >= 0.9", "mean(ttl, fault) < 1s", "takes each look-up"),
        ("success(fault) >= 0.9", "upstream(root, fault) < 1", "takes each look-up"),
        ("success(fault) >= 0.9", "recovery_time < 1s", "recovery_time takes each look-up"),
        ("success(fault) >= 0.9", "wrong(all) == 0", "takes each look-up"),
        ("success(fault) >= 0.9", "success(fault, name=www.example.com) >= 0.9", "takes each look-up"),
        ("success(baseline) >= 0.9", "hits(baseline) >= 1", "takes each look-up"),
    ],
)  # fmt: skip
def test_what_dnsperf_cannot_do_is_told_before_it_is_run(old: str, new: str, told: str) -> None:
    assert old in DNSPERF
    found = problems(DNSPERF.replace(old, new))
    assert len(found) == 1
    assert told in found[0]
