"""What was measured beside what a formula predicts and what others have published."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from lab.experiments.journal import Estimate, Journal, Trial
from lab.experiments.quantities import as_number
from lab.experiments.telling import number
from lab.report.look import light, series
from lab.report.plots.canvas import Canvas, Case, Plot, columns, legend

_LINES = 8
_MARKERS = "os^Dvp*X"


def plots(case: Case) -> tuple[Plot, ...]:
    """One a measurement that has a prediction or a published number."""
    trials = [trial for trial, _ in case.trials]
    names = [
        name
        for name in dict.fromkeys(name for trial in trials for name in trial.measurements)
        if any(name in trial.predictions for trial in trials) or published(case.journal, name) is not None
    ]
    return tuple(
        Plot(
            f"measured-{name}",
            f"{name}: measured and predicted",
            "Marks with their intervals are measurements, dashed lines and hollow diamonds the prediction.",
            lambda _: True,
            partial(_paint, name=name),
        )
        for name in names
    )


def published(journal: Journal, name: str) -> float | None:
    """The published number for a measurement: `published: {NAME: 0.8}`, or `{NAME: {value: 0.8, source: ...}}`."""
    given = (journal.experiment.get("published") or {}).get(name)
    return as_number(given.get("value") if isinstance(given, Mapping) else given)


def varied(trials: Sequence[Trial]) -> dict[str, list[Any]]:
    """The parameters that have more than one value, with these in the order in which they first came.

    Of those that only change together, as in `cases`, the first stands for all.
    """
    names = dict.fromkeys(name for trial in trials for name in trial.parameters)
    found = {name: list(dict.fromkeys(str(trial.parameters.get(name)) for trial in trials)) for name in names}
    kept: dict[str, list[Any]] = {}
    for name, values in found.items():
        together = (
            len({(str(trial.parameters.get(name)), str(trial.parameters.get(other))) for trial in trials})
            == len(values)
            == len(found[other])
            for other in kept
        )
        if len(values) > 1 and not any(together):
            kept[name] = values
    return kept


def along(trials: Sequence[Trial]) -> str | None:
    """The parameter to put on an axis: of those whose values are all numbers the one with most; three at least."""
    found = {
        name: values
        for name, values in varied(trials).items()
        if len(values) >= 3 and all(as_number(value) is not None for value in values)
    }
    return max(found, key=lambda name: len(found[name]), default=None)


def _paint(canvas: Canvas, case: Case, *, name: str) -> None:
    trials = [trial for trial, _ in case.trials if name in trial.measurements]
    parameter = along(trials)
    if parameter is None:
        _rows(canvas, case, trials, name)
    else:
        _lines(canvas, case, trials, name, parameter)


def _lines(canvas: Canvas, case: Case, trials: Sequence[Trial], name: str, parameter: str) -> None:
    """The measurement over a parameter, one line for each combination of the others."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    others = [key for key in varied(trials) if key != parameter]
    groups: dict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        groups[", ".join(str(trial.parameters.get(key)) for key in others)].append(trial)
    shown = list(groups.items())[:_LINES]
    words = [*(label for label, _ in shown), "published", "predicted"]
    rows = math.ceil(len(words) / columns(canvas.figure.get_figwidth(), words))
    axes = canvas.axes(2.5, top=0.18 + 0.19 * rows)
    unit = next(trial.measurements[name].unit for trial in trials)
    places = sorted({value for trial in trials if (value := as_number(trial.parameters.get(parameter))) is not None})
    for place, (label, ones) in enumerate(shown):
        colour, _ = series(place)
        ones = sorted(ones, key=lambda trial: as_number(trial.parameters[parameter]) or 0.0)
        at = [as_number(trial.parameters[parameter]) or 0.0 for trial in ones]
        found = [trial.measurements[name] for trial in ones]
        _measured(axes, at, found, colour, _MARKERS[place % len(_MARKERS)], label or "measured", upright=True)
        line = [(x, trial.predictions[name]) for x, trial in zip(at, ones, strict=True) if name in trial.predictions]
        if line:
            # Two lines that coincide are both to be seen: the dashes of one lie in the gaps of the other.
            axes.plot(
                *zip(*line, strict=True), color=light(colour), linewidth=1.2, linestyle=(3 * place, (4, 3)), zorder=2
            )
    given = published(case.journal, name)
    if given is not None:
        axes.axhline(given, color=light("ink"), linewidth=1, linestyle=":", label="published")
    if any(name in trial.predictions for trial in trials):
        axes.plot([], [], color=light("soft"), linewidth=1.2, linestyle=(0, (4, 3)), label="predicted")
    if places[0] > 0 and places[-1] / places[0] >= 20:
        axes.set_xscale("log")
        axes.set_xticks(places)
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    values = [trial.measurements[name].value for trial in trials]
    values += [trial.predictions[name] for trial in trials if name in trial.predictions]
    if unit != "share" and min(values) > 0 and max(values) / min(values) > 50:
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value, unit)))
    axes.set_xlabel(parameter)
    axes.set_ylabel(name)
    legend(axes)


def _rows(canvas: Canvas, case: Case, trials: Sequence[Trial], name: str) -> None:
    """The measurement of each trial in a row of its own."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    keys = varied(trials)
    labels = [
        ", ".join(str(trial.parameters.get(key)) for key in keys) or ("measured" if len(trials) == 1 else "")
        for trial in trials
    ]
    labels = [label or f"trial {trial.number}" for label, trial in zip(labels, trials, strict=True)]
    axes = canvas.axes(
        0.1 + 0.32 * len(trials),
        left=0.3 + min(1.6, 0.075 * max(map(len, labels))),
        top=0.34 if not canvas.narrow else 0.56,
        bottom=0.5,
    )
    unit = trials[0].measurements[name].unit
    found = [trial.measurements[name] for trial in trials]
    _measured(axes, list(range(len(trials))), found, "served", "o", "measured, with its interval", upright=False)
    predicted = [(trial.predictions[name], row) for row, trial in enumerate(trials) if name in trial.predictions]
    if predicted:
        axes.plot(
            *zip(*predicted, strict=True), linestyle="none", marker="D", markersize=8, markerfacecolor="none",
            markeredgecolor=light("servfail"), markeredgewidth=1.6, label="predicted", zorder=4,
        )  # fmt: skip
    given = published(case.journal, name)
    if given is not None:
        axes.axvline(given, color=light("ink"), linewidth=1, linestyle=":", label="published")
    axes.set_yticks(range(len(trials)), labels)
    axes.set_ylim(len(trials) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=light("line"), linewidth=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(4 if canvas.narrow else 8))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value, unit)))
    axes.set_xlabel(name)
    legend(axes)


def _measured(
    axes: Any, at: Sequence[float], found: Sequence[Estimate], colour: str, marker: str, label: str, *, upright: bool
) -> None:
    """Marks with their intervals; what is endless on one side ends at the mark."""
    pairs = [(where, one) for where, one in zip(at, found, strict=True) if math.isfinite(one.value)]
    low = [one.value - one.low if math.isfinite(one.low) else 0.0 for _, one in pairs]
    high = [one.high - one.value if math.isfinite(one.high) else 0.0 for _, one in pairs]
    where, values = [where for where, _ in pairs], [one.value for _, one in pairs]
    look = {"fmt": marker, "color": light(colour), "markersize": 5.5, "capsize": 2.5, "elinewidth": 1.3}
    if upright:
        axes.errorbar(where, values, yerr=[low, high], label=label, zorder=3, **look)
    else:
        axes.errorbar(values, where, xerr=[low, high], label=label, zorder=3, **look)
