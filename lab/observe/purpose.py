"""Why a resolver asked what it asked: the way to the answer, or one of the things resolvers do beside it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from lab.observe.asked import Asked
from lab.observe.message import Message
from lab.observe.selection import spoken

Purpose = Literal["question", "resolution", "priming", "address", "prefetch", "other"]
"""Why something was asked.

- "question": the client's own.
- "resolution": a step on the way to the answer.
- "priming": which servers the root has (RFC 8109).
- "address": where a name server is, whose address is not known, or not believed, for it came as glue from above.
- "prefetch": the name again, after the answer: the record in the cache is renewed before it expires.
- "other": none of these can be seen in it.
"""

_ADDRESSES = ("A", "AAAA")
_MINIMISED = ("A", "AAAA", "NS")  # what is asked instead of the type that is wanted (RFC 9156 section 2.1)


@dataclass(frozen=True)
class Meaning:
    """The purpose of one exchange, and the name that it serves."""

    purpose: Purpose
    target: str = ""  # the name that is looked for: the one asked for, or what it is an alias of, or a name server
    minimised: bool = False  # only a part of it was told to the server (RFC 9156)


@dataclass
class Understanding:
    """What a watcher knows as a resolution goes on: the names that are looked for, and the name servers heard of."""

    name: str  # asked for: lower case, without the final dot
    type: str
    servers: dict[str, str]  # names of name servers -> the zone they were last heard of for
    targets: list[str] = field(default_factory=list)  # `name`, then where its aliases led
    named_for: dict[str, set[str]] = field(default_factory=dict)  # name servers -> all zones they were named for
    without_address: list[str] = field(default_factory=list)  # name servers that were told without glue

    def __post_init__(self) -> None:
        self.targets = [self.name]

    def hear(self, response: Message) -> None:
        """Take in what a response says: aliases to follow, and name servers."""
        for record in response.answer:
            if record.type == "CNAME" and spoken(record.name) in self.targets:
                self.follow(spoken(record.data))
        glue = {spoken(record.name) for record in response.additional}
        for record in (*response.answer, *response.authority):
            if record.type == "NS":
                name = spoken(record.data)
                self.servers.pop(name, None)  # to the end: the last heard of is meant first
                self.servers[name] = spoken(record.name)
                self.named_for.setdefault(name, set()).add(spoken(record.name))
                if name not in glue:
                    self.without_address.append(name)

    def expected(self, server: str, name: str) -> str:
        """The deepest zone above `name` that a server was named for, and so should know; empty when it was for none."""
        zones = [zone for zone in self.named_for.get(server, ()) if zone == "." or _under(name, zone)]
        return max(zones, key=len, default="")

    def follow(self, target: str) -> None:
        """Look for this name too."""
        if target not in self.targets:
            self.targets.append(target)

    def meaning(self, exchange: Asked, *, after: bool) -> Meaning:
        """What an exchange is for; `after`: it began when the client had its answer."""
        name, type = exchange.name, exchange.type
        shown = name.removeprefix("_.")
        if name in self.targets and type == self.type:
            return Meaning("prefetch" if after else "resolution", name)
        if (name, type) == (".", "NS"):
            return Meaning("priming")
        if type in _ADDRESSES and name in self.servers and name not in self.targets:
            return Meaning("address", name)
        if type in _MINIMISED and shown != ".":
            if target := _below(shown, reversed(self.targets)):
                return Meaning("prefetch" if after else "resolution", target, minimised=True)
            if server := _below(shown, (*reversed(self.without_address), *reversed(self.servers))):
                return Meaning("address", server, minimised=True)
        return Meaning("other")


def _below(name: str, candidates: Iterable[str]) -> str:
    """The first candidate at or below `name`; empty when there is none."""
    return next((candidate for candidate in candidates if _under(candidate, name)), "")


def _under(name: str, zone: str) -> bool:
    return f".{name}".endswith(f".{zone}")
