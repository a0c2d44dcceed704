"""A run that is over: its folder, its journal, its histories."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.errors import BadInput
from lab.experiments import history as histories
from lab.experiments import journal as journals
from lab.experiments.history import History
from lab.experiments.journal import Journal, Outcome, Trial

if TYPE_CHECKING:
    from pandas import DataFrame

HISTORY, LATEST = "history.jsonl", "latest"


@dataclass(frozen=True)
class Run:
    """What a run left behind: `runs/NAME/TIME/` with `journal.json` and `history.jsonl`."""

    folder: Path
    journal: Journal

    @classmethod
    def load(cls, folder: str | Path) -> Run:
        """The run in `folder`. Raises `BadInput` when there is none."""
        return cls(Path(folder), journals.read(Path(folder)))

    @property
    def outcome(self) -> Outcome:
        """How it was judged."""
        return self.journal.outcome

    @cached_property
    def histories(self) -> list[History]:
        """What happened, one history a trial. Raises `BadInput`."""
        return histories.load(self.folder / HISTORY)

    def pairs(self) -> list[tuple[Trial, History]]:
        """Each trial with its history."""
        found = {history.trial: history for history in self.histories}
        return [(trial, found[trial.number]) for trial in self.journal.trials if trial.number in found]

    @property
    def history(self) -> DataFrame:
        """Every look-up of the workload as a row: the fields of `Lookup`, its trial, its phase, the parameters.

        Raises `BadInput` when pandas is not installed.
        """
        pandas = _pandas()
        rows = [
            {
                **trial.parameters,
                "trial": trial.number,
                "repeat": trial.repeat,
                "phase": history.phase_of(one.intended),
                **{name: getattr(one, name) for name in _COLUMNS},
                "data": [record.data for record in one.answer],
                "ttl": one.ttl,
                "succeeded": one.succeeded,
            }
            for trial, history in self.pairs()
            for one in history.sorted_lookups
        ]
        frame: DataFrame = pandas.DataFrame(rows)
        return frame

    @property
    def upstream(self) -> DataFrame:
        """Every message between resolvers and servers as a row. Raises `BadInput` when pandas is not installed."""
        pandas = _pandas()
        rows = [
            {"trial": history.trial, "phase": history.phase_of(message.time), **vars(message)}
            for history in self.histories
            for message in history.sorted_messages
        ]
        frame: DataFrame = pandas.DataFrame(rows)
        return frame


_COLUMNS = (
    "n", "intended", "sent", "latency", "host", "server", "name", "type", "outcome", "status", "transport", "attempts",
)  # fmt: skip


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        raise BadInput("a history as a DataFrame needs pandas: pip install 'dnslab[report]'") from None
    return pandas
