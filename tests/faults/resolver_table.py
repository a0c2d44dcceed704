"""What resolvers make of faults at the servers of a zone: measured, and written to docs/resolvers-under-faults.md.

``python -m tests.faults.resolver_table`` measures and writes; tests/faults/test_resolver_table.py measures once and
compares. Each fault has a zone and a server of its own, so that all of them are broken and asked for at the same time.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import Answer, Lab
from lab.labs import load
from lab.runtime.parallel import each
from lab.topology.declaration import Declaration, Server, Zone

DOCUMENT = Path(__file__).parents[2] / "docs" / "resolvers-under-faults.md"
ROUNDS = 3
# Seconds the client waits: longer than any client does, and than BIND. Unbound, asked by nobody else, went on for more
# than 240 s with a server that is silent.
PATIENCE = 150.0
APART = 0.5  # seconds between two questions of a round: they are not to wait for each other on a busy machine
ADDRESS, TTL = "192.0.2.80", 3600
PROGRAMS = ("unbound", "bind")
SILENCE = "silence"
AT_ONCE = 1.0  # seconds; what is below says more about a busy machine than about the resolver

Faults = tuple[tuple[str, Mapping[str, Any]], ...]
MESSAGES: Mapping[str, Faults] = {
    "none": (),
    "dns-delay": (("dns-delay", {"delay": "300ms"}),),
    "dns-drop": (("dns-drop", {}),),
    "servfail": (("servfail", {}),),
    "refused": (("refused", {}),),
    "formerr": (("formerr", {}),),
    "nxdomain": (("nxdomain", {}),),
    "notimp": (("notimp", {}),),
    "badvers": (("badvers", {}),),
    "empty": (("empty", {}),),
    "truncate": (("truncate", {}),),
    "wrong-id": (("wrong-id", {}),),
    "wrong-question": (("wrong-question", {}),),
    "malformed": (("malformed", {}),),
    "lame": (("lame", {}),),
    "lame-no-referral": (("lame", {"referral": "none"}),),
    "wrong-address": (("wrong-address", {}),),
    "ttl": (("ttl", {"ttl": 5}),),
    "strip-edns": (("strip-edns", {}),),
    # Over TCP, which a resolver comes to when the answer over UDP is truncated.
    "slow-drip": (("truncate", {}), ("slow-drip", {"rate": 20})),
    "early-close": (("truncate", {}), ("early-close", {})),
}
ABSENCE: Mapping[str, Faults] = {
    "stop": (("stop", {}),),
    "pause": (("pause", {}),),
    "blackhole": (("blackhole", {}),),
    "reject": (("reject", {}),),
}
CASES = {**MESSAGES, **ABSENCE}
ASKED = {
    "dns-delay": "`delay=300ms`",
    "lame-no-referral": "`lame` `referral=none`",
    "ttl": "`ttl=5`",
    "slow-drip": "`truncate`, and `slow-drip` `rate=20` over TCP",
    "early-close": "`truncate`, and `early-close` over TCP",
}


@dataclass(frozen=True)
class Seen:
    """What came of one question; several rounds give several."""

    client: str
    seconds: float
    udp: int
    tcp: int


def declaration() -> Declaration:
    """A root, a TLD, and for each case a zone under it on a server of its own; one resolver of each program."""
    records = f"www A {ADDRESS}"
    zones = {".": Zone(servers=("root",)), "com": Zone(servers=("tld",))}
    zones |= {f"{case}.com": Zone(servers=(case,), records=records) for case in CASES}
    servers = {name: Server(program="knot") for name in ("root", "tld", *CASES)}
    minimal = load("minimal")
    resolver, host = minimal.resolvers["resolver"], minimal.hosts["host"]
    return minimal.model_copy(
        update={
            "zones": zones,
            "servers": servers,
            "resolvers": {program: resolver.model_copy(update={"program": program}) for program in PROGRAMS},
            "hosts": {"host": host.model_copy(update={"resolvers": PROGRAMS})},
        }
    )


@contextmanager
def broken(lab: Lab) -> Iterator[None]:
    """All the cases, injected."""
    with ExitStack() as stack:

        def inject(case: str) -> None:
            for name, how in CASES[case]:
                stack.enter_context(lab.fault(name, case, **how))

        each(inject, [case for case in CASES if CASES[case]])
        yield


def measure(lab: Lab, patience: float = PATIENCE) -> dict[str, dict[str, Seen]]:
    """One round: what each resolver makes of each fault, just started, cold but for the delegation of com."""
    # A flush would leave what they still work on: questions of the round before.
    each(lambda program: lab.node(program).restart(), PROGRAMS)
    warm = [lab.question("com", "NS", at=program, timeout=patience) for program in PROGRAMS]
    assert all(answer.status == "NOERROR" for answer in lab.ask(warm))
    asked = [(case, program) for case in CASES for program in PROGRAMS]
    questions = [
        lab.question(f"www.{case}.com", at=program, timeout=patience, tcp_fallback=False, when=APART * number)
        for number, (case, program) in enumerate(asked)
    ]
    with lab.observe(*PROGRAMS) as seen:
        answers = lab.ask(questions)
        assert not any(seen.dropped.values())
        found: dict[str, dict[str, Seen]] = {case: {} for case in CASES}
        for (case, program), answer in zip(asked, answers, strict=True):
            sent = {
                transport: len(seen.queries(sender=program, to=case, transport=transport))
                for transport in ("udp", "tcp")
            }
            found[case][program] = Seen(_client(answer), answer.latency, sent["udp"], sent["tcp"])
    return found


def _client(answer: Answer) -> str:
    if answer.outcome == "timeout":
        return SILENCE
    if not answer.data():
        return answer.status if answer.status != "NOERROR" else "no data"
    notes = [note for note in (answer.data()[0],) if note != ADDRESS]
    ttl = answer.answer[0].ttl
    notes += [f"TTL {ttl}"] if abs(ttl - TTL) > 60 else []
    return " ".join(["the answer" if answer.data() == (ADDRESS,) else "an answer:", *notes])


# The document

Cells = tuple[str, str, str]  # what the client sees, seconds, upstream queries


def cells(rounds: Sequence[Seen]) -> Cells:
    """Some rounds as they stand in the table."""
    clients = sorted({seen.client for seen in rounds})
    seconds = f"over {int(PATIENCE)}" if clients == [SILENCE] else _seconds([seen.seconds for seen in rounds])
    udp, tcp = _span([seen.udp for seen in rounds]), _span([seen.tcp for seen in rounds])
    return " or ".join(clients), seconds, udp if tcp == "0" else f"{udp} + {tcp} TCP"


def _span(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low}-{high}"


def _seconds(times: Sequence[float]) -> str:
    low, high = (f"{value:.1f}" for value in (min(times), max(times)))
    if max(times) < AT_ONCE:
        return "at once"
    return low if low == high else f"{low}-{high}"


def row(case: str, rounds: Mapping[str, Sequence[Seen]]) -> str:
    """One line of the table."""
    columns = [cell for program in PROGRAMS for cell in cells(rounds[program])]
    name = f"`{case}`" if case not in ("none", "lame-no-referral") else case.partition("-")[0]
    about = ASKED.get(case, "")
    first = about if about.startswith(("`truncate`", "`lame`")) else f"{name} {about}".strip()
    return f"| {first} | {' | '.join(columns)} |"


HEAD = """| fault | Unbound: client sees | seconds | queries | BIND: client sees | seconds | queries |
|---|---|---|---|---|---|---|"""


def table(cases: Iterable[str], rounds: Sequence[Mapping[str, Mapping[str, Seen]]]) -> str:
    """A table of some cases."""
    lines = [row(case, {program: [one[case][program] for one in rounds] for program in PROGRAMS}) for case in cases]
    return "\n".join([HEAD, *lines])


def tables(text: str) -> list[list[str]]:
    """The lines of each table in a document, without its head."""
    found = re.findall(re.escape(HEAD) + r"\n((?:\|.*\|\n?)+)", text)
    return [block.strip().splitlines() for block in found]


def replaced(text: str, new: Sequence[str]) -> str:
    """The document with other tables."""
    parts = iter(new)
    return re.sub(re.escape(HEAD) + r"\n(?:\|.*\|\n?)+", lambda _match: next(parts) + "\n", text)


TOLD_APART = ("stop", "pause", "blackhole", "reject", "servfail", "refused", "lame")


def main() -> None:
    """Measure some rounds, print the tables and write them into the document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--patience", type=float, default=PATIENCE, help="seconds the client waits")
    parser.add_argument("--name", default="resolver-table")
    parser.add_argument("--print-only", action="store_true")
    arguments = parser.parse_args()
    with Lab.temporary(declaration(), name=arguments.name) as lab, broken(lab):
        rounds = []
        for _ in range(arguments.rounds):
            rounds.append(measure(lab, arguments.patience))
            made = [table(MESSAGES, rounds), table(TOLD_APART, rounds)]
            print("\n\n".join(made), end="\n\n", flush=True)
        if not arguments.print_only:
            DOCUMENT.write_text(replaced(DOCUMENT.read_text(), made))


if __name__ == "__main__":
    main()
