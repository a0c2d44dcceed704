"""The verdict on a run, given again from its files: with what this dnslab knows, and without a lab."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lab.errors import BadInput
from lab.experiments.loading import Source, parse
from lab.experiments.run import Run
from lab.experiments.verdict import judge as judge_trial


def judge(folder: Path) -> Run:
    """The run in `folder`, judged anew, its journal written again. Raises `BadInput` when there is none."""
    run = Run.load(folder)
    journal = run.journal
    source = parse(journal.text, journal.source) if journal.text else Source(journal.experiment, "", journal.source)
    histories = {history.trial: history for history in run.histories}
    labs = {lab.source: {node.name: node for node in lab.nodes} for lab in journal.labs}
    trials = []
    for trial in journal.trials:
        if trial.number not in histories:
            raise BadInput(f"{folder}: trial {trial.number} is in its journal, and not in its history")
        experiment = source.experiment(trial.parameters, quick=journal.quick)
        trials.append(judge_trial(experiment, trial, histories[trial.number], labs[experiment.lab.name]))
    judged = replace(journal, trials=tuple(trials))
    judged.write(folder)
    return Run(folder, judged)
