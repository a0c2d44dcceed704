"""watch and capture: the traffic of a lab, as it goes by and in a file."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from lab.cli.options import AsJson, LabName, examples
from lab.cli.output import Cell, Wanted, duration, err, grid, milliseconds, out, plain, say, size
from lab.errors import BadInput

if TYPE_CHECKING:
    from rich.console import RenderableType

    from lab.lab import Lab
    from lab.observe.capture import Capture
    from lab.observe.observation import Observation
    from lab.observe.rates import Meter, Rates

_FLUSH = 1.0  # seconds between writes of a capture
_LEAST, _MOST = 0.1, 86_400.0  # seconds of an interval, and of a run

Nodes = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NODE...]", help="Nodes or roles (root, tld, ...); the resolvers by default."),
]
Lasts = Annotated[str | None, typer.Option("--for", metavar="TIME", help="As in 10s; else until Ctrl-C.")]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command(
        epilog=examples(
            ("watch", "what every node does that resolvers ask, until Ctrl-C"),
            ("watch resolver-1 root --every 5s", "what passes one resolver and the servers of the root"),
            ("watch --json --for 10s", "one line of JSON a second, ten times"),
        ),
    )(watch)
    app.command(
        epilog=examples(
            ("capture -o lab.pcapng", "all that resolvers send and get, until Ctrl-C"),
            ("capture host tld --for 10s -o lab.pcapng", "ten seconds of the host and the TLD servers"),
            ("capture -o - | wireshark -k -i -", "look on in Wireshark"),
        ),
    )(capture)


def watch(
    nodes: Nodes = None,
    every: Annotated[str, typer.Option(metavar="TIME", help="Length of an interval.")] = "1s",
    lasts: Lasts = None,
    lab: LabName = None,
    as_json: AsJson = False,
) -> None:
    """Show, live, what each node is asked and answers, and its faults.

    From the packets of the watched nodes: what passes none of them is not seen.
    """
    from lab.lab import Lab
    from lab.observe.rates import Meter

    interval, until = _seconds("--every", every), _deadline(lasts)
    with Lab.attach(lab) as here, here.observe(*(nodes or ())) as seen, _shown() as show:
        meter, began = Meter(), time.monotonic()
        last = began
        with _interruption(lasts):
            while until is None or last < began + until:
                next_look = last + interval if until is None else min(last + interval, began + until)
                threading.Event().wait(max(0.0, next_look - time.monotonic()))
                if _is_gone(here, seen.taps, seen.stopped):
                    raise here.gone_problem()
                show(_look(here, seen, meter, (now := time.monotonic()) - last))
                last = now


@dataclass(frozen=True)
class _Look:
    """What was seen in one interval."""

    time: float  # seconds since 1970, at its end
    seconds: float
    rates: Mapping[str, Rates]
    roles: Mapping[str, str]
    faults: Mapping[str, Sequence[str]]
    watched: Sequence[str]
    dropped: Mapping[str, int]  # since the beginning
    stopped: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        from lab.observe.rates import Rates

        nodes = {
            name: {**self.rates.get(name, Rates()).to_json(self.seconds), "faults": list(self.faults.get(name, ()))}
            for name in self.roles
        }
        return {
            "time": round(self.time, 3),
            "seconds": round(self.seconds, 3),
            "nodes": nodes,
            "watched": list(self.watched),
            "dropped": dict(self.dropped),
            "stopped": dict(self.stopped),
        }


def _look(lab: Lab, seen: Observation, meter: Meter, seconds: float) -> _Look:
    from lab.faults.active import active

    found = meter.read(seen.take(), seen.taps)
    faults: dict[str, list[str]] = {}
    for fault in active(lab):
        faults.setdefault(fault.node, []).append(fault.fault)
    roles = {node.name: node.role.value for node in lab.topology.nodes.values()}
    strangers = {name: "outside" for name in found if name not in roles}
    return _Look(time.time(), seconds, found, {**roles, **strangers}, faults, seen.taps, seen.dropped, seen.stopped)


@contextmanager
def _shown() -> Iterator[Callable[[_Look], None]]:
    """A way to show one look after the other: a table that changes, a line each, or JSON."""
    if Wanted.json:
        yield lambda look: _line(json.dumps(look.to_json()))
    elif out().is_terminal:
        from rich.live import Live

        with Live(console=out(), auto_refresh=False, transient=False) as live:
            yield lambda look: live.update(_table(look), refresh=True)
    else:
        yield lambda look: _line(_summary(look))


def _line(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _table(look: _Look) -> RenderableType:
    from rich.text import Text

    titles = ("node", "role", "queries/s", "asks/s", "median", "answers/s", "faults")
    rows: list[Sequence[Cell]] = [[(title, "dim") for title in titles]]
    for name, role in look.roles.items():
        rates = look.rates.get(name)
        row: list[Cell] = [(name, "bold" if name in look.watched else ""), role]
        if rates is None:
            row += ["", "", "", ""]
        else:
            row += [
                _rate(rates.received / look.seconds),
                _rate(rates.sent / look.seconds),
                "" if rates.latency is None else milliseconds(rates.latency),
                _rcodes(rates, look.seconds),
            ]
        rows.append([*row, (", ".join(look.faults.get(name, ())), "red")])
    lines = [*grid(rows, right=(2, 3, 4)), Text(_notes(look), style="dim")]
    return Text("\n").join(lines)


def _summary(look: _Look) -> str:
    """One interval in one line: the nodes that did something, or are broken."""
    parts = []
    for name in look.roles:
        rates, faults = look.rates.get(name), look.faults.get(name, ())
        told = []
        if rates is not None and (rates.received or rates.rcodes):
            told += [f"{_rate(rates.received / look.seconds) or 0}/s", _rcodes(rates, look.seconds)]
        told += [f"[{', '.join(faults)}]"] if faults else []
        if told:
            parts.append(f"{name} {' '.join(filter(None, told))}")
    lost = {name: number for name, number in look.dropped.items() if number}
    parts += [f"{name}: {number} packets lost" for name, number in lost.items()]
    parts += [f"{name} is not watched: it has stopped" for name in look.stopped]
    return f"{time.strftime('%H:%M:%S', time.localtime(look.time))}  {'; '.join(parts) or 'silence'}"


def _notes(look: _Look) -> str:
    notes = [f"seen at {', '.join(look.watched)} in {look.seconds:.1f} s"]
    notes += [f"{number} packets lost at {name} since the beginning" for name, number in look.dropped.items() if number]
    notes += [f"{name} is not watched: it has stopped" for name in look.stopped]
    return "; ".join(notes)


def _rcodes(rates: Rates, seconds: float) -> str:
    parts = [f"{rcode} {_rate(number / seconds)}" for rcode, number in rates.rcodes.items()]
    return " ".join(parts + ([f"(TC {_rate(rates.truncated / seconds)})"] if rates.truncated else []))


def _rate(value: float) -> str:
    """A number of messages a second; nothing for none."""
    return f"{value:,.0f}" if value >= 9.95 else f"{value:.1f}" if value else ""


def capture(
    nodes: Nodes = None,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="A pcapng file; `-`: stdout.")
    ] = "lab.pcapng",
    lasts: Lasts = None,
    lab: LabName = None,
    as_json: AsJson = False,
) -> None:
    """Write packets into a file that Wireshark opens, with the names of the lab."""
    from lab.lab import Lab
    from lab.observe.capture import Capture
    from lab.observe.selection import members

    seconds = _deadline(lasts)
    with Lab.attach(lab) as here:
        members(here.topology, nodes or ())  # first: a file that is there is not to be lost to a misspelt node
        with _opened(output) as file, Capture(here, file, nodes or ()) as caught, _interruption(lasts):
            watched = ", ".join(caught.packets)
            err().print(f"Capturing at {plain(watched)}; " + ("Ctrl-C ends it." if lasts is None else f"for {lasts}."))
            until = None if seconds is None else time.monotonic() + seconds
            gone = False
            while not gone and (until is None or time.monotonic() < until):
                threading.Event().wait(_FLUSH if until is None else min(_FLUSH, max(0.0, until - time.monotonic())))
                caught.flush()
                gone = _is_gone(here, caught.packets, caught.stopped)
        _told(caught, output)
        if gone:  # what there is of it is in the file, and has been told
            raise here.gone_problem()


def _is_gone(lab: Lab, watched: Collection[str], stopped: Collection[str]) -> bool:
    """Whether the lab was taken down; looked for when nothing is left to be watched, and no sooner."""
    return len(stopped) == len(watched) and lab.gone


def _told(caught: Capture, output: str) -> None:
    """What a capture has brought; on stderr when the packets go to stdout."""
    to_stdout = output == "-"
    tell = (lambda text: err().print(text)) if to_stdout else say
    octets = None if to_stdout else Path(output).stat().st_size
    if Wanted.json and not to_stdout:
        gaps = [vars(gap) for gap in caught.gaps]
        data = {"file": output, "size": octets, "packets": caught.packets, "dropped": caught.dropped, "gaps": gaps}
        _line(json.dumps(data, indent=2))
    number = sum(caught.packets.values())
    where = "" if octets is None else f" in {plain(output)}, {size(octets)}"
    tell(f"{number} packets{where}, none lost." if not any(caught.dropped.values()) else f"{number} packets{where}.")
    for name, dropped in caught.dropped.items():
        if dropped:
            tell(f"[red]{dropped} packets of {name} are lost: the machine had more to do than it could.[/]")
    for gap in caught.gaps:
        length = "to the end" if gap.until is None else f"for {duration(gap.until - gap.since)}"
        tell(f"{gap.tap} was not watched {length}: it had stopped.")


@contextmanager
def _opened(output: str) -> Iterator[IO[bytes]]:
    if output == "-":
        if sys.stdout.isatty():
            raise BadInput("packets are not for a terminal: `-o FILE`, or a pipe behind `-o -`")
        yield sys.stdout.buffer
        return
    try:
        file = Path(output).open("wb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise BadInput(f"{output} cannot be written: {error.strerror}") from None
    with file:
        yield file


@contextmanager
def _interruption(lasts: str | None) -> Iterator[None]:
    """Ctrl-C is the end that was waited for, unless another one was asked for."""
    try:
        yield
    except KeyboardInterrupt:
        if lasts is not None:
            raise


def _deadline(lasts: str | None) -> float | None:
    return None if lasts is None else _seconds("--for", lasts)


def _seconds(option: str, text: str) -> float:
    from lab.faults.values import time as parser

    try:
        return parser(_LEAST, _MOST)(text)
    except ValueError as error:
        raise BadInput(f"{option}: {error}") from None
