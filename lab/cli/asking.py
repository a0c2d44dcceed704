"""query and flush: the caches and what is in the name system."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from statistics import median
from typing import Annotated

import typer

from lab.agent.protocol import Attempt
from lab.cli.options import AsJson, LabName
from lab.cli.output import emit, milliseconds, out, say
from lab.runtime.answer import SECTIONS, Answer, ResourceRecord

_MOST_REPEATS = 100_000


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(query)
    app.command()(flush)


def query(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name, or an address for its reverse name.")],
    type: Annotated[str | None, typer.Argument(metavar="[TYPE]", help="A, AAAA, MX, TXT, ... [default: A]")] = None,
    lab: LabName = None,
    host: Annotated[str | None, typer.Option("--from", metavar="HOST", help="Ask from this host.")] = None,
    at: Annotated[str | None, typer.Option(metavar="SERVER", help="Ask this node, not the host's resolvers.")] = None,
    tcp: Annotated[bool, typer.Option("--tcp", help="Over TCP.")] = False,
    ipv6: Annotated[bool, typer.Option("--ipv6", "-6", help="To the IPv6 address of the server.")] = False,
    recurse: Annotated[
        bool, typer.Option("--recurse/--no-recurse", help="Ask for the answer, or for a referral.")
    ] = True,
    repeat: Annotated[int, typer.Option(min=1, max=_MOST_REPEATS, help="Ask N times, one after the other.")] = 1,
    timeout: Annotated[float | None, typer.Option(min=0.01, max=3600, help="Seconds an attempt. [default: 5]")] = None,
    as_json: AsJson = False,
) -> None:
    """Ask a question from inside the lab, and show what came back, from whom and how quickly."""
    from lab.runtime.lab import Lab

    asked, wanted = _question(name, type)
    with Lab.attach(lab) as here:
        question = here.question(
            asked, wanted, host=host, at=at, transport="tcp" if tcp else "udp", ipv6=ipv6, recurse=recurse,
            timeout=timeout,
        )  # fmt: skip
        answers = here.ask([question] * repeat, host=host, window=1)
        nodes = {address: node.name for node in here.topology.nodes.values() for address in node.addresses}
    last = answers[-1]
    data = [answer.to_json() for answer in answers]
    emit(data if repeat > 1 else data[0], lambda: _show_all(answers) if repeat > 1 else _show(last, nodes))
    if last.status != "NOERROR":
        raise typer.Exit(1)


def _question(name: str, type: str | None) -> tuple[str, str]:
    """An address stands for its reverse name, as with dig -x."""
    try:
        return (ip_address(name).reverse_pointer, "PTR") if type is None else (name, type)
    except ValueError:
        return name, "A"


def _show(answer: Answer, nodes: Mapping[str, str]) -> None:
    if len(answer.chain) > 1:
        say(f"[bold]{' → '.join(_spoken(name) for name in answer.chain)}[/]")
    titles = dict(zip(SECTIONS, ("Answer", "Authority", "Additional"), strict=True))
    if answer.is_referral:
        below = next(record.name for record in answer.authority if record.type == "NS")
        titles["authority"], titles["additional"] = f"Referral to the servers of {_spoken(below)}", "Glue"
    for section in SECTIONS:
        records: tuple[ResourceRecord, ...] = getattr(answer, section)
        if records:
            say(f"[dim]{titles[section]}[/]")
            _table(records)
    for attempt in answer.attempts[:-1]:
        say(
            f"[yellow]{nodes.get(attempt.server, attempt.server)} over {attempt.transport.upper()}: {_what(attempt)}[/]"
        )
    say(_summary(answer))


def _what(attempt: Attempt) -> str:
    meaning = {"timeout": "no answer", "truncated": "truncated, so asked again over TCP", "answer": "an error"}
    return f"{meaning.get(attempt.outcome, attempt.outcome)} after {milliseconds(attempt.latency)}"


def _summary(answer: Answer) -> str:
    colour = "green" if answer.status == "NOERROR" else "bold red"
    status, latency = f"[{colour}]{answer.status}[/]", f"[bold]{milliseconds(answer.latency)}[/]"
    if not answer.answered:
        return f"{status}: no answer; the last asked was {answer.server or 'nobody'}, given up after {latency}"
    note = " (there is no such name)" if answer.status == "NXDOMAIN" else ""
    if answer.status == "NOERROR" and not answer.answer and not answer.is_referral:
        note = f" (the name exists, but has no {answer.query.type})"
    return (
        f"{status}{note}, flags {' '.join(answer.flags)}, from {answer.server} ({answer.result.server})"
        f" over {answer.transport.upper()} in {latency}, {answer.size} octets"
    )


def _table(records: tuple[ResourceRecord, ...]) -> None:
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for record in records:
        table.add_row(f"  {_spoken(record.name)}", str(record.ttl), record.type, _text(record.data))
    out().print(table)


def _text(data: str) -> str:
    from rich.markup import escape

    return escape(data)


def _show_all(answers: list[Answer]) -> None:
    for number, answer in enumerate(answers[:20], 1):
        first = answer.data()[0] if answer.data() else ""
        say(f"{number:>4}  {answer.status:<9} {milliseconds(answer.latency):>9}  {answer.server:<12} {_text(first)}")
    if len(answers) > 20:
        say(f"      ... {len(answers) - 20} more")
    latencies = sorted(answer.latency for answer in answers)
    counts = {status: sum(answer.status == status for answer in answers) for status in {a.status for a in answers}}
    say(", ".join(f"{count} {status}" for status, count in sorted(counts.items())) + (
        f"; latency min {milliseconds(latencies[0])}, median {milliseconds(median(latencies))},"
        f" max {milliseconds(latencies[-1])}"
    ))  # fmt: skip


def _spoken(name: str) -> str:
    return name if name == "." else name.rstrip(".")


def flush(
    resolver: Annotated[str | None, typer.Argument(metavar="[RESOLVER]", help="Default: all of them.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="Forget only this owner name.")] = None,
    lab: LabName = None,
    as_json: AsJson = False,
) -> None:
    """Empty the caches of the resolvers: the next question goes all the way from the root."""
    from lab.runtime.lab import Lab

    with Lab.attach(lab) as here:
        here.flush(resolver, name=name)
        flushed = [here.node(resolver).name] if resolver else [handle.name for handle in here.resolvers]
        what = f"forgot {name}" if name else "remembers nothing"
        emit({"flushed": flushed, "name": name}, lambda: say("\n".join(f"{node} {what}." for node in flushed)))
