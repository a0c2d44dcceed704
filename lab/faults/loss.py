"""loss: packets vanish without a word: at random, every n-th, or in bursts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.errors import BadInput
from lab.faults.kind import Verdict
from lab.faults.link import LinkKind
from lab.faults.measuring import Evidence, judge_share, probes_for_share
from lab.faults.values import Parameter, Values, number, share, show_share, whole


def _effect(values: Values) -> Mapping[str, Any]:
    rate, every, burst, bad_loss = (values[name] for name in ("share", "every", "burst", "bad_loss"))
    if (rate is None) == (every is None):
        raise BadInput("loss needs either share (5%) or every (3: each third packet)")
    if every is not None:
        if burst is not None:
            raise BadInput("loss: bursts belong to share; with every each n-th packet is lost, by itself")
        return {"kind": "every", "every": every}
    if burst is None:
        if bad_loss != 1.0:
            raise BadInput("loss: bad_loss belongs to bursts; add burst")
        return {"kind": "loss", "share": rate}
    enter, leave = _chain(values)
    if enter > 1:
        raise BadInput(
            f"loss: {show_share(rate)} cannot come in bursts of {burst:g}; make burst longer, or share smaller"
        )
    return {"kind": "gilbert-elliott", "enter": enter, "leave": leave, "bad_loss": bad_loss}


def _chain(values: Values) -> tuple[float, float]:
    """Probabilities to enter and to leave the bad state.

    From the mean length of a stay in it and the share of packets lost: share = bad_loss * enter / (enter + leave).
    """
    leave = 1 / values["burst"]
    bad = values["share"] / values["bad_loss"]  # share of the packets that meet the bad state
    if bad >= 1:
        raise BadInput("loss: share must be below bad_loss; without bursts leave burst out")
    return leave * bad / (1 - bad), leave


def _words(values: Values) -> str:
    if values["every"] is not None:
        return f"is lost if it is number {values['every']}, {2 * values['every']} and so on"
    bursts = f", in bursts of {values['burst']:g} on average" if values["burst"] is not None else ""
    return f"is lost with probability {show_share(values['share'])}{bursts}"


def _judge(values: Values, evidence: Evidence) -> Verdict:
    if values["every"] is not None:
        state, expected = evidence.state, evidence.state.matched // values["every"]
        got = f"{state.acted} of {state.matched} probes lost; {evidence.after}"
        return Verdict(f"one in {values['every']} lost", got, state.matched > 0 and state.acted == expected)
    if values["burst"] is None:
        return judge_share(evidence, values["share"], "lost")
    # None lost: good at the start and never entered the bad state, or in it and spared each time.
    enter, leave = _chain(values)
    spared = (1 - enter * values["bad_loss"]) ** evidence.state.matched * leave / (enter + leave)
    return judge_share(evidence, values["share"], "lost", untouched=max(spared, 1 - values["bad_loss"]))


def _probes(values: Values) -> int:
    if values["every"] is not None:
        return max(5, min(200, 2 * int(values["every"])))
    return probes_for_share(values["share"])


FAULT = LinkKind(
    name="loss",
    summary="Packets vanish without a word: at random, every n-th, or in bursts (Gilbert-Elliott).",
    parameters=(
        Parameter("share", "of the packets that are lost", "share: above 0, to 100%", share(), None),
        Parameter("every", "n: each n-th packet is lost, exactly", "whole number: 1 to 1000000", whole(1, 10**6), None),
        Parameter(
            "burst", "mean packets a burst lasts (Gilbert-Elliott)", "number: 1 to 10000", number(1, 10001), None
        ),
        Parameter("bad_loss", "share lost within a burst", "share: above 0, to 100%", share(), 1.0),
    ),
    effect=_effect,
    words=_words,
    judge=_judge,
    example="loss gtld-1 --param share=20% --param burst=4",
    probes=_probes,
    patience=lambda _values: 0.25,
)
