"""A cache as programs print it: records in the format of a zone file (RFC 1035 section 5), with the TTL left."""

from __future__ import annotations

from collections.abc import Iterator

_CLASSES = ("IN", "CH", "HS")


def read_cache(text: str) -> Iterator[tuple[str, int, str, str]]:
    """Owner name, TTL in seconds, type and data of each record in `text`.

    A blank owner is that of the line before. Everything else is skipped: comments, directives, and what programs note
    of names that do not exist (BIND writes their types with a backslash).
    """
    owner = ""
    for line in text.splitlines():
        if not line.strip() or line.startswith((";", "$")):
            continue
        fields = line.split()
        if not line[0].isspace():
            owner = fields.pop(0)
        if len(fields) > 1 and fields[1] in _CLASSES:
            del fields[1]
        if len(fields) < 3 or not fields[0].isdecimal() or not fields[1].replace("-", "").isalnum():
            continue
        yield owner, int(fields[0]), fields[1], " ".join(fields[2:])
