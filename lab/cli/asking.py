"""query and flush: the caches and what is in the name system."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated

import typer

from lab.cli.options import AsJson, LabName, examples
from lab.cli.output import Cell, emit, grid, milliseconds, plain, say
from lab.errors import BadInput

if TYPE_CHECKING:
    from lab.agent.protocol import Attempt
    from lab.runtime.answer import Answer, ResourceRecord

_MOST_REPEATS = 100_000
_SHOWN = 20  # of repeated questions, those shown one by one
_MEANING = {
    "NXDOMAIN": "there is no such name",
    "SERVFAIL": "the server could not find out",
    "REFUSED": "the server does not answer for that name, or not to us",
}


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command(
        epilog=examples(
            ("query www.example.com", "as a program on the host would"),
            ("query example.com mx --at a.root-servers.net --no-recurse", "one step of a resolution: a referral"),
            ("query 192.0.2.80", "the reverse name"),
            ("query shop.enterprise.com --repeat 8", "see addresses rotate, and what a cache is worth"),
        ),
    )(query)
    app.command(
        epilog=examples(
            ("flush", "all resolvers forget everything"),
            ("flush resolver-1 --name www.example.com", "one resolver forgets one name"),
        ),
    )(flush)


def query(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name, or an address for its reverse name.")],
    type: Annotated[
        str | None, typer.Argument(metavar="TYPE", help="A (the default), AAAA, MX, TXT, TYPE65280, ...")
    ] = None,
    lab: LabName = None,
    host: Annotated[str | None, typer.Option("--from", metavar="HOST", help="Ask from this host.")] = None,
    at: Annotated[str | None, typer.Option(metavar="SERVER", help="Ask this node, not the host's resolvers.")] = None,
    tcp: Annotated[bool, typer.Option("--tcp", help="Over TCP.")] = False,
    ipv6: Annotated[bool, typer.Option("--ipv6", "-6", help="To the IPv6 address of the server.")] = False,
    recurse: Annotated[
        bool, typer.Option("--recurse/--no-recurse", help="Ask for the answer itself, or for the next step to it.")
    ] = True,
    repeat: Annotated[
        int, typer.Option(metavar="N", min=1, max=_MOST_REPEATS, help="Ask N times, one after the other.")
    ] = 1,
    timeout: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", min=0.01, max=3600, help="How long to wait for each server; 5 by default."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Ask from inside the lab; show what came back, from whom, how fast.

    It is asked as programs on the host ask: the resolvers of its resolv.conf one after the other, twice around, and
    again over TCP when the answer is truncated. The exit code is 1 unless the answer is NOERROR.
    """
    from lab.lab import Lab

    asked, wanted = question_of(name, type)
    with Lab.attach(lab) as here:
        here.prober(host)  # first: it says so when the node is no host, or is not running
        question = here.question(
            asked, wanted, host=host, at=at, transport="tcp" if tcp else "udp", ipv6=ipv6, recurse=recurse,
            timeout=timeout,
        )  # fmt: skip
        answers = here.ask([question] * repeat, host=host, window=1)
        nodes = {address: node.name for node in here.topology.nodes.values() for address in node.addresses}
    data = [answer.to_json() for answer in answers]
    emit(data if repeat > 1 else data[0], lambda: show_all(answers) if repeat > 1 else show(answers[0], nodes))
    if any(answer.status != "NOERROR" for answer in answers):
        raise typer.Exit(1)


def question_of(name: str, type: str | None) -> tuple[str, str]:
    """Name and type as they are asked: an address stands for its reverse name, as with dig -x."""
    if type is None or type.upper() == "PTR":
        with suppress(ValueError):
            return ip_address(name).reverse_pointer, "PTR"
    return (name if name.isascii() else _ascii(name)), type or "A"


def _ascii(name: str) -> str:
    """A name in other letters, as it is in the DNS (RFC 5891): `bücher.example` is `xn--bcher-kva.example`."""
    import dns.exception
    import dns.name

    try:
        return dns.name.from_text(name, idna_codec=dns.name.IDNA_2008_Practical).to_text()
    except dns.name.NoIDNA2008:
        raise BadInput(f"{name}: write it in its ASCII form, xn--...; or: pip install idna") from None
    except dns.exception.DNSException as error:
        raise BadInput(f"{name} is no name: {error}") from None


def show(answer: Answer, nodes: Mapping[str, str]) -> None:
    """Print one answer for people; `nodes` has the node of each address."""
    if len(answer.chain) > 1:
        say(f"[bold]{' → '.join(plain(_spoken(name)) for name in answer.chain)}[/]")
    for title, records in _sections(answer):
        say(f"[dim]{plain(title)}[/]")
        for line in grid([_cells(record) for record in records], right=[1], indent="  "):
            say(line)
    for attempt in answer.attempts[:-1]:
        say(f"[yellow]{_told(attempt, nodes)}[/]")
    say(_summary(answer))


def _sections(answer: Answer) -> list[tuple[str, tuple[ResourceRecord, ...]]]:
    authority, additional = "Authority", "Additional"
    if answer.is_referral:
        below = next(record.name for record in answer.authority if record.type == "NS")
        authority, additional = f"Referral to the servers of {_spoken(below)}", "Glue"
    titled = [("Answer", answer.answer), (authority, answer.authority), (additional, answer.additional)]
    return [(title, records) for title, records in titled if records]


def _cells(record: ResourceRecord) -> Sequence[Cell]:
    return _spoken(record.name), str(record.ttl), (record.type, "cyan"), record.data


def _told(attempt: Attempt, nodes: Mapping[str, str]) -> str:
    """What came of an attempt that was not the last."""
    what = {"timeout": "no answer", "truncated": "truncated, so asked again over TCP"}
    server = nodes.get(attempt.server, attempt.server)
    return (
        f"{server} over {attempt.transport.upper()}: {what.get(attempt.outcome, attempt.outcome)}"
        f" ({milliseconds(attempt.latency)})"
    )


def _summary(answer: Answer) -> str:
    colour = "green" if answer.status == "NOERROR" else "bold red"
    status, whole = f"[{colour}]{answer.status}[/]", milliseconds(answer.latency)
    server = f"{answer.server} ({answer.result.server})" if answer.server else "nobody"
    if not answer.answered:
        return f"{status}: no answer from {server}; given up after [bold]{whole}[/]"
    own = milliseconds(answer.attempts[-1].latency) if answer.attempts else whole
    latency = f"[bold]{own}[/]" + (f" ({whole} in all)" if len(answer.attempts) > 1 else "")
    return (
        f"{status}{_note(answer)}, flags {' '.join(answer.flags)}{_extended(answer)}, from {server}"
        f" over {answer.transport.upper()} in {latency}, {answer.size} octets"
    )


def _extended(answer: Answer) -> str:
    """Its extended errors (RFC 8914)."""
    if not answer.ede:
        return ""
    from lab.observe.fields import ede_name

    return "".join(f", EDE {code} ({plain(text or ede_name(code))})" for code, text in answer.ede)


def _note(answer: Answer) -> str:
    """What the status does not say by itself, in brackets; mostly the two ways of there being nothing (RFC 2308)."""
    end, type = plain(_spoken(answer.chain[-1])), plain(answer.query.type)
    note = _MEANING.get(answer.status, "")
    if answer.status == "NXDOMAIN" and len(answer.chain) > 1:
        note = f"the alias leads to {end}, and there is no such name"
    elif answer.answered and answer.message is None:
        note = "but the message cannot be read"
    elif answer.status == "NOERROR" and not answer.is_referral and not answer.data() and type not in ("ANY", "CNAME"):
        known = answer.answer or any(record.type == "SOA" for record in answer.authority)
        note = f"{end} exists, but has no {type}" if known else "an empty answer"
    return f" ({note})" if note else ""


def show_all(answers: Sequence[Answer]) -> None:
    """Print the answers to one question asked many times: one a line, then counts and latencies."""
    from collections import Counter
    from statistics import median

    rows: list[Sequence[Cell]] = []
    for number, answer in enumerate(answers[:_SHOWN], 1):
        colour = "green" if answer.status == "NOERROR" else "bold red"
        data = " ".join(answer.data())
        shown = data if len(data) <= 70 else f"{data[:69]}…"
        rows.append((str(number), (answer.status, colour), milliseconds(answer.latency), answer.server, shown))
    for line in grid(rows, right=[0, 2], indent="  "):
        say(line)
    if len(answers) > _SHOWN:
        say(f"  ... {len(answers) - _SHOWN} more")
    counts = Counter(answer.status for answer in answers)
    latencies = [answer.latency for answer in answers]
    say(
        ", ".join(f"{count} {status}" for status, count in counts.most_common())
        + f"; latency min {milliseconds(min(latencies))}, median {milliseconds(median(latencies))},"
        f" max {milliseconds(max(latencies))}"
    )


def _spoken(name: str) -> str:
    return name if name == "." else name.rstrip(".")


def flush(
    resolver: Annotated[str | None, typer.Argument(metavar="RESOLVER", help="All of them by default.")] = None,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Forget only this name.")] = None,
    lab: LabName = None,
    as_json: AsJson = False,
) -> None:
    """Empty the resolvers' caches: the next question starts at the root."""
    from lab.lab import Lab

    with Lab.attach(lab) as here:
        here.flush(resolver, name=name)
        caches = [node.name for node in here.topology.nodes.values() if node.caches]
        flushed = [here.node(resolver).name] if resolver else caches
    what = f"forgot {plain(name)}" if name else "remembers nothing"
    emit({"flushed": flushed, "name": name}, lambda: say("\n".join(f"{node} {what}." for node in flushed)))
