"""Where a run was: machine, programs, images, lab, and how good the instrument was there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.experiments.run import Run
from lab.report import calibration


def environment(run: Run) -> list[tuple[str, str]]:
    """Where it ran, as names and values; what is nested is told as `images knot`."""
    journal = run.journal
    return [
        *_flat(journal.environment),
        *([] if journal.name == calibration.NAME else [("calibration", calibration.cited(run))]),
        ("lab", ", ".join(lab.source for lab in journal.labs) or "none"),
        ("experiment", journal.source),
        ("seed", str(journal.seed)),
        ("quick", "yes" if journal.quick else "no"),
        ("confidence of intervals", f"{journal.confidence * 100:g} %"),
    ]


def _flat(found: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in found.items():
        where = f"{before} {name}".strip().replace("_", " ")
        if isinstance(value, Mapping):
            rows += _flat(value, where)
        elif name == "memory" and isinstance(value, int):
            rows.append((where, f"{value / 2**30:.1f} GiB"))
        else:
            rows.append((where, str(value)))
    return rows
