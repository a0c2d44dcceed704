"""What all drawings of a story say in the same words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from lab.observe.message import Message
from lab.observe.selection import spoken
from lab.observe.story import Category, Step, Story

CATEGORIES: Mapping[Category, str] = {
    "textbook": "as in the textbook",
    "priming": "for priming (RFC 8109)",
    "addresses": "for addresses of name servers",
    "minimisation": "for names that are no zones (query name minimisation, RFC 9156)",
    "truncated": "truncated, then asked again over TCP",
    "unanswered": "without an answer",
    "repeated": "for what was answered twice",
    "useless": "to servers that were of no use",
    "prefetch": "to renew a record before it expires (prefetch)",
    "other": "for other things",
}
_SHOWN = 4  # records of the answer that are told one by one


def time(seconds: float | None) -> str:
    """A time in three significant digits: `0.31 ms`, `80.2 ms`, `1.52 s`."""
    if seconds is None:
        return ""
    if seconds >= 0.9995:
        return f"{seconds:.1f} s" if seconds >= 9.995 else f"{seconds:.2f} s"
    value = seconds * 1000
    return f"{value:.0f} ms" if value >= 99.95 else f"{value:.1f} ms" if value >= 9.995 else f"{value:.2f} ms"


def remark(step: Step) -> str:
    """What kind of step it is, where that is not plain; empty for the question itself and steps on the way."""
    meaning = step.meaning
    said = []
    if step.purpose == "priming":
        said.append("priming")
    elif step.purpose == "address":
        said.append("address of a name server" if step.name == meaning.target else f"to find {meaning.target}")
    elif step.purpose == "prefetch":
        said.append("prefetch")
    elif step.purpose == "other":
        said.append("not needed for the answer")
    if meaning.minimised:
        said.append("minimised")
    if step.exchange.transport == "tcp":
        said.append("TCP")
    if step.mixed_case:
        said.append("0x20")
    if step.repeated:
        said.append("answered twice")
    if step.after and step.purpose != "prefetch":
        said.append("after the answer")
    return ", ".join(said)


def came(step: Step, story: Story) -> str:
    """What came of a step, in words."""
    if step.outcome.kind != "silence":
        return step.outcome.text
    if step.again is not None:
        again = story.steps[step.again - 1].server
        where = "again" if again == step.server else f"{again} instead"
        return f"no answer; asked {where} after {time(step.waited)}"
    return f"no answer, waited {time(step.waited)}"


def question(step: Step) -> str:
    """Name and type, with the letter case that was sent."""
    name = step.exchange.query.name
    return f"{name if name == '.' else name.removesuffix('.')} {step.type}"


def title(story: Story) -> str:
    """What was asked, by whom, of whom."""
    if story.iterative:
        return f"{story.name} {story.type}: {story.host} walks from the root itself"
    programs = [_program(story, name) for name in story.resolvers]
    return f"{story.name} {story.type}, asked by {story.host} at {', then '.join(programs)}"


def _program(story: Story, name: str) -> str:
    node = story.topology.nodes.get(name)
    return f"{name} ({node.program})" if node is not None and node.program else name


def result(story: Story) -> str:
    """How it ended: the status, the data and the time that the host waited."""
    more = len(story.data) - _SHOWN
    shown = ", ".join(story.data[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
    return f"{story.status} after {time(story.latency)}" + (f": {shown}" if shown else "")


def messages(story: Story) -> list[str]:
    """How many messages there were, by what they count as, one a line."""
    counts = story.counts
    lines = [f"{counts.get('textbook', 0)} messages {CATEGORIES['textbook']}"]
    if extra := {category: counts[category] for category in CATEGORIES if counts.get(category, 0)}:
        extra.pop("textbook", None)
        lines += [f"{count} more {CATEGORIES[category]}" for category, count in extra.items()]
    return lines


def learnt(story: Story) -> list[str]:
    """What the nodes may remember now, one line a node: delegations, answers, addresses of name servers in one."""
    found: dict[str, list[str]] = defaultdict(list)
    servers: dict[str, set[str]] = defaultdict(set)
    names = {entry.name for entry in story.learnt if entry.type in ("A", "AAAA")}
    targets = {step.meaning.target for step in story.steps if step.purpose in ("question", "resolution")}
    for entry in story.learnt:
        kept = "" if entry.ttl is None else f" for {span(entry.ttl)}"
        if entry.type in ("A", "AAAA") and entry.name in names - targets:
            servers[entry.node].add(entry.name)
        elif entry.type in ("NXDOMAIN", "NODATA"):
            found[entry.node].append(f"{entry.name} {entry.type}{kept}")
        else:
            found[entry.node].append(f"{entry.name} {entry.type}{kept}")
    lines = []
    for node in dict.fromkeys(entry.node for entry in story.learnt):
        what = found[node]
        if servers[node]:
            count = len(servers[node])
            what = [*what, f"addresses of {count} name server{'' if count == 1 else 's'}"]
        lines.append(f"{node}: {', '.join(what)}")
    return lines


def span(seconds: int) -> str:
    """A TTL as people say it: `2 days`, `1 hour`, `90 s`."""
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= size and seconds % size == 0:
            count = seconds // size
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return f"{seconds} s"


def shares(story: Story) -> list[tuple[str, float]]:
    """Where the time went: what was under way, and the seconds of the host's waiting that belong to it.

    Steps of the textbook's kind one by one, the others together by what they were for. All of it is the host's latency.
    """
    found: dict[str, float] = {}
    for step in story.steps:
        if step.depth == 0 and not story.iterative:
            label = f"{step.server} itself, and the way to it"
        elif step.category == "textbook":
            label = f"{step.server}: {question(step)}"
        else:
            label = CATEGORIES[step.category].split(" (")[0].removeprefix("for ")
        found[label] = found.get(label, 0.0) + step.spent
    # What the host's program saw and its network did not: the time until it got its turn.
    rest = story.latency - sum(found.values())
    if story.answer is not None and rest > 0:
        found[f"{story.host} itself"] = rest
    return [(label, seconds) for label, seconds in found.items() if seconds > 0]


def explanation(step: Step) -> str:
    """What a step of the walk teaches: why the answer is what it is, and what has to be done next."""
    kind, response = step.outcome.kind, step.exchange.response
    if kind == "referral" and response is not None:
        return _referral(step, response)
    if kind == "alias":
        return "The name is an alias, and where it leads is not this server's to say: the walk begins anew at the root."
    if kind == "answer":
        return "The zone itself says so: this server has authority over the name (AA)."
    if kind in ("nodata", "nxdomain"):
        return f"The zone {step.outcome.zone} says that there is none; its SOA says for how long to remember that."
    if kind == "lame":
        return "It was named as a server of the zone, and is none: a lame delegation. The next server is asked."
    if kind == "truncated":
        return "The answer is too long for one datagram."
    return "The next server is asked."


def _referral(step: Step, response: Message) -> str:
    named = [spoken(record.data) for record in response.authority if record.type == "NS"]
    glue = {spoken(record.name) for record in response.additional}
    without = [name for name in named if name not in glue]
    text = f"{step.server} does not know the name, but who to ask: {', '.join(named)}."
    if not without:
        return f"{text} The addresses come along as glue, so that they need not be looked up."
    outside = [name for name in without if not f".{name}".endswith(f".{step.outcome.zone}")]
    if outside:
        text += f" {', '.join(outside)} {'lies' if len(outside) == 1 else 'lie'} outside of {step.outcome.zone}"
        return f"{text}, and no address came along: it has to be looked up, from the root."
    return f"{text} No address came along, although the name lies in the zone: without glue nobody can find it."
