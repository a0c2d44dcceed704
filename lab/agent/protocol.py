"""What the orchestrator and the prober say to each other: one JSON object a line, both ways.

============================================================= =========================================================
request                                                       reply
============================================================= =========================================================
``{"op":"ask","batch":7,"window":64,"defaults":{..},          ``{"batch":7,"result":{..}}`` for each query, in the order
"queries":[{..},..]}``                                        they finish, then ``{"batch":7,"done":N}``
the same with ``"announce":true``                             ``{"batch":7,"began":seconds}`` first: its start, by the
                                                              wall clock
the same with ``"together":true``                             all of that at the end, in one piece
``{"op":"cancel","batch":7}``                                 ``{"batch":7,"done":n,"cancelled":true}``, n results told;
                                                              none if the batch has finished: its ``done`` is on the way
``{"op":"clock","id":1}``                                     ``{"clock":{"resolver-1":0,..},"id":1}``, nanoseconds
``{"op":"clock","set":{"resolver-1":5},"force":false}``       the same, after setting
``{"op":"ping","id":2}``                                      ``{"pong":2,"monotonic":seconds,"wall":seconds}``
anything else                                                 ``{"error":"text","line":"the first 200 characters"}``
============================================================= =========================================================

A batch number is chosen by the asker and may be used again once the batch is done; several batches may be in flight.
An error reply repeats the request's ``batch`` and ``id`` if it had them. ``defaults`` and each of ``queries`` are
:class:`Query` in JSON: a field left out of a query is taken from ``defaults``, then from the defaults of the class.
A bad query fails alone: its :class:`Result` has the outcome "error" and a reason.

Only the standard library is used, so that both sides can import this module at no cost.
"""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any, Final, Literal, NamedTuple

Transport = Literal["udp", "tcp"]

AttemptOutcome = Literal["answer", "truncated", "timeout", "unreachable", "malformed", "error"]
"""How one attempt ended; "truncated": with an answer that had TC set and was asked for again over TCP."""

Outcome = Literal["answer", "timeout", "unreachable", "malformed", "error"]
"""How a query ended.

- "answer": a response to this query, whatever its RCODE;
- "timeout": nothing within the time of the last attempt;
- "unreachable": ICMP said so, there was no route, or a TCP connection was refused, reset or closed before the answer;
- "malformed": messages came, but none that is a response to this query (a stub ignores those and waits on);
- "error": it could not be asked; :attr:`Result.reason` says why.
"""

MAX_LINE: Final = 16 * 1024 * 1024
"""The longest line, in octets, that the prober accepts: some 300,000 queries that share their defaults."""

MAX_PADDING: Final = 60_000
"""Octets that fit into a query over UDP beside the rest of it."""
MAX_AT: Final = 1_000_000
"""The latest send time, in seconds after the start of a batch."""

_ENCODE = json.JSONEncoder(separators=(",", ":")).encode


class ProtocolError(ValueError):
    """A line, request or object that is not as this module describes; the text says what is wrong with it."""


def encode_line(message: Mapping[str, Any]) -> bytes:
    """Return the message as one line of ASCII JSON, its newline included."""
    return _ENCODE(message).encode("ascii") + b"\n"


def decode_line(line: bytes | bytearray) -> dict[str, Any]:
    """Return the JSON object on a line. Raises ProtocolError if there is none, or the line is longer than MAX_LINE."""
    if len(line) > MAX_LINE:
        raise ProtocolError(f"the line is longer than {MAX_LINE} octets: split the batch")
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"not JSON: {error}") from error
    if not isinstance(message, dict):
        raise ProtocolError(f"a line is a JSON object, not {_show(message)}")
    return message


@dataclass(frozen=True)
class Query:
    """A question, and how a stub resolver asks it (resolv.conf(5)). Raises ProtocolError on values out of range."""

    name: str
    """Owner name, absolute, in presentation format: "www.example.com."; with escapes as in RFC 1035 section 5.1."""
    type: str
    """RR type: a mnemonic, or TYPE65280 (RFC 3597 section 5)."""
    servers: tuple[str, ...]
    """IPv4 or IPv6 addresses, in the order they are tried."""
    port: int = 53
    transport: Transport = "udp"
    recurse: bool = True
    """RD."""
    dnssec_ok: bool = False
    """DO (RFC 3225); without EDNS (bufsize 0) there is no place for it."""
    checking_disabled: bool = False
    """CD (RFC 4035 section 3.2.2)."""
    bufsize: int = 1232
    """UDP payload size offered by EDNS (RFC 6891 section 6.2.3), in octets; 0: no EDNS."""
    padding: int = 0
    """Octets of zeros in an EDNS option (RFC 7830) that make the query larger; 0: no such option."""
    timeout: float = 5.0
    """Seconds that each attempt may take, connecting included."""
    attempts: int = 1
    """Rounds over the list of servers."""
    tcp_fallback: bool = True
    """Ask the same server again over TCP when TC is set (RFC 7766 section 5)."""
    at: float | None = None
    """Intended send time, seconds after the start of the batch; None: as soon as the window allows."""
    clock: float | None = None
    """The lab's clock is first moved on to this time, seconds since 1970, unless it is there; for a window of 1."""

    def __post_init__(self) -> None:
        _check(bool(self.servers), "servers: at least one address is needed")
        _check(0 < self.port < 65536, f"port {self.port}: from 1 to 65535")
        _check(self.transport in ("udp", "tcp"), f'transport {self.transport!r}: "udp" or "tcp"')
        _check(0 <= self.bufsize < 65536, f"bufsize {self.bufsize}: from 0 (no EDNS) to 65535 octets")
        _check(self.bufsize > 0 or not self.dnssec_ok, "dnssec_ok needs EDNS: a bufsize above 0")
        _check(0 <= self.padding <= MAX_PADDING, f"padding {self.padding}: from 0 to {MAX_PADDING} octets")
        _check(self.bufsize > 0 or not self.padding, "padding needs EDNS: a bufsize above 0")
        _check(0 < self.timeout <= 3600, f"timeout {self.timeout}: above 0, to 3600 seconds")
        _check(0 < self.attempts <= 100, f"attempts {self.attempts}: from 1 to 100 rounds")
        _check(self.at is None or 0 <= self.at <= MAX_AT, f"at {self.at}: from 0 to {MAX_AT} seconds after the start")

    def to_json(self) -> dict[str, Any]:
        """Return the fields that differ from their defaults."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["servers"] = list(self.servers)
        return {name: value for name, value in values.items() if _DEFAULTS.get(name, MISSING) != value}

    @classmethod
    def from_json(cls, obj: Mapping[str, Any]) -> "Query":
        """Return the query; raises ProtocolError on a field that is missing, unknown or of the wrong kind."""
        for name, value in obj.items():
            if name not in _KINDS:
                raise ProtocolError(f"a query has no field {name!r}")
            if value.__class__ not in _KINDS[name]:
                raise ProtocolError(f"{name} cannot be {_show(value)}")
        for name in _REQUIRED:
            if name not in obj:
                raise ProtocolError(f"a query needs {name!r}")
        servers = tuple(obj["servers"])
        for server in servers:
            if not isinstance(server, str):
                raise ProtocolError(f"servers is a list of addresses, as text; not {_show(server)}")
        return cls(**{**obj, "servers": servers})


_NUMBER = (int, float)
_KINDS: Final[Mapping[str, tuple[type, ...]]] = {
    "name": (str,),
    "type": (str,),
    "servers": (list, tuple),
    "port": (int,),
    "transport": (str,),
    "recurse": (bool,),
    "dnssec_ok": (bool,),
    "checking_disabled": (bool,),
    "bufsize": (int,),
    "padding": (int,),
    "timeout": _NUMBER,
    "attempts": (int,),
    "tcp_fallback": (bool,),
    "at": (*_NUMBER, type(None)),
    "clock": (*_NUMBER, type(None)),
}
_DEFAULTS: Final = {field.name: field.default for field in fields(Query) if field.default is not MISSING}
_REQUIRED: Final = tuple(field.name for field in fields(Query) if field.default is MISSING)


@dataclass(frozen=True)
class Attempt:
    """One server asked once. Times in seconds."""

    server: str
    transport: Transport
    sent: float
    """When it was sent (TCP: when connecting began), after the start of the batch."""
    latency: float
    """From then until the answer, the failure or the time-out."""
    outcome: AttemptOutcome
    rcode: int | None = None
    """The RCODE in the header of the answer; None if there was no answer."""

    def to_json(self) -> dict[str, Any]:
        """Return the fields."""
        return {
            "server": self.server,
            "transport": self.transport,
            "sent": self.sent,
            "latency": self.latency,
            "outcome": self.outcome,
            "rcode": self.rcode,
        }

    @classmethod
    def from_json(cls, obj: Mapping[str, Any]) -> "Attempt":
        """Return the attempt; raises ProtocolError if a field is missing or unknown."""
        try:
            return cls(**obj)
        except TypeError as error:
            raise ProtocolError(f"not an attempt: {error}") from error


class Step(NamedTuple):
    """A step of the lab's clock."""

    wall: float
    """When: seconds since 1970 by the machine's clock, read when the step had been made."""
    by: float
    """Seconds, the same for every node."""


@dataclass(frozen=True)
class Result:
    """What came of one query, as the program that asked it through a stub resolver would see it. Times in seconds."""

    n: int
    """Index of the query in its batch."""
    outcome: Outcome
    server: str = ""
    """The server that gave this outcome; empty if none was asked."""
    transport: Transport = "udp"
    latency: float = 0.0
    """From the first send to the end of the last attempt; with :attr:`Query.at`, from that intended time."""
    sent: float | None = None
    """When the first attempt was sent, after the start of the batch; None if none was."""
    wire: bytes = b""
    """The whole response message; for "malformed", the last message that was ignored."""
    attempts: tuple[Attempt, ...] = ()
    reason: str = ""
    """Why it could not be asked, for people; only with the outcome "error"."""
    step: Step | None = None
    """How the lab's clock was moved on for it; None: it was not, see :attr:`Query.clock`."""

    @property
    def size(self) -> int:
        """Octets of the response message."""
        return len(self.wire)

    @property
    def rcode(self) -> int | None:
        """The RCODE in the header, without the extension in an OPT record (RFC 6891 section 6.1.3); None: no answer."""
        return self._flags & 0xF if self.outcome == "answer" else None

    @property
    def aa(self) -> bool:
        """Authoritative answer."""
        return bool(self._flags & 0x0400)

    @property
    def tc(self) -> bool:
        """Truncated."""
        return bool(self._flags & 0x0200)

    @property
    def rd(self) -> bool:
        """Recursion desired."""
        return bool(self._flags & 0x0100)

    @property
    def ra(self) -> bool:
        """Recursion available."""
        return bool(self._flags & 0x0080)

    @property
    def ad(self) -> bool:
        """Authentic data (RFC 4035 section 3.2.3)."""
        return bool(self._flags & 0x0020)

    @property
    def cd(self) -> bool:
        """Checking disabled."""
        return bool(self._flags & 0x0010)

    @property
    def _flags(self) -> int:
        """The second 16 bits of the header (RFC 1035 section 4.1.1); 0 without an answer."""
        return int.from_bytes(self.wire[2:4], "big") if self.outcome == "answer" else 0

    def to_json(self) -> dict[str, Any]:
        """Return the fields, without those that are empty; the message in base64."""
        obj: dict[str, Any] = {"n": self.n, "outcome": self.outcome}
        if self.attempts:
            obj["server"] = self.server
            obj["transport"] = self.transport
            obj["latency"] = self.latency
            obj["sent"] = self.sent
            obj["attempts"] = [attempt.to_json() for attempt in self.attempts]
        if self.wire:
            obj["wire"] = binascii.b2a_base64(self.wire, newline=False).decode("ascii")
        if self.reason:
            obj["reason"] = self.reason
        if self.step is not None:
            obj["step"] = list(self.step)
        return obj

    @classmethod
    def from_json(cls, obj: Mapping[str, Any]) -> "Result":
        """Return the result; raises ProtocolError if a field is missing, unknown or unreadable."""
        try:
            wire = base64.b64decode(obj.get("wire", ""), validate=True)
            attempts = tuple(Attempt.from_json(attempt) for attempt in obj.get("attempts", ()))
            step = Step(*obj["step"]) if "step" in obj else None
            return cls(**{**obj, "wire": wire, "attempts": attempts, "step": step})
        except (TypeError, binascii.Error) as error:
            raise ProtocolError(f"not a result: {error}") from error


def ask(
    batch: int, queries: Sequence[Query], window: int = 64, *, announce: bool = False, together: bool = False
) -> dict[str, Any]:
    """Return the request that asks these queries, at most `window` of those without a send time of their own at once.

    What all queries have in common is written once. `announce`: to be told when the batch began; `together`: all
    replies at the end, in one piece.
    """
    objects = [query.to_json() for query in queries]
    first = objects[0] if objects else {}
    shared = {
        name: value for name, value in first.items() if all(name in obj and obj[name] == value for obj in objects)
    }
    own = [{name: value for name, value in obj.items() if name not in shared} for obj in objects]
    request = {"op": "ask", "batch": batch, "window": window, "defaults": shared, "queries": own}
    wishes = {"announce": announce, "together": together}
    return {**request, **{wish: True for wish, is_wanted in wishes.items() if is_wanted}}


def cancel(batch: int) -> dict[str, Any]:
    """Return the request that ends a batch: what is in flight is forgotten, the rest is not asked."""
    return {"op": "cancel", "batch": batch}


def ping(id: int) -> dict[str, Any]:
    """Return the request for a sign of life, with the prober's two clocks."""
    return {"op": "ping", "id": id}


def clock(id: int, offsets: Mapping[str, int] | None = None, *, force: bool = False) -> dict[str, Any]:
    """Return the request to read the lab's clock and, if given, to set these nodes' offsets (nanoseconds) first.

    Setting an offset below the present one is refused unless forced: programs take a clock that goes back badly.
    """
    request: dict[str, Any] = {"op": "clock", "id": id}
    if offsets is not None:
        request["set"] = dict(offsets)
    if force:
        request["force"] = True
    return request


def _check(condition: bool, text: str) -> None:
    if not condition:
        raise ProtocolError(text)


def _show(value: object) -> str:
    """Return the value as JSON shows it, shortened for an error message."""
    text = json.dumps(value, default=repr)
    return text if len(text) <= 60 else text[:57] + "..."
