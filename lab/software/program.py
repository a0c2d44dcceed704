"""What a server program is to the lab, and what a node needs of it: files, command, control lines.

Everything a vendor does in its own way is a field of `Program`; nothing else in dnslab asks for a program by name.

Inside a node its files are at `/lab/<node>/`, read-only and owned by root; the program runs as an ordinary user
without capabilities, can write to `/run` and `/tmp` (both empty at each start) and logs to stderr.
"""

from __future__ import annotations

import pkgutil
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from lab.errors import BadInput
from lab.software import host
from lab.topology.model import Node, Role, Topology, Zone
from lab.topology.suggest import did_you_mean
from lab.topology.zonefile import hints_text, zone_text

if TYPE_CHECKING:
    from jinja2 import Environment

ServerRole = Literal["authority", "recursive authority", "resolver"]
Verb = Literal["cache", "flush", "flush_name", "reload", "statistics", "version"]

CLOCK_LIBRARY = "/usr/lib/dnslab/labclock.so"
HINTS_FILE = "root.hints"
ZONES_FOLDER = "zones"


@dataclass(frozen=True)
class Program:
    """One server program.

    In `command`, `prepare` and the control lines `{config}` stands for the configuration file of the node, in
    `flush_name` `{name}` for the owner name, quoted for the shell. A control line is one shell command line, run
    inside the node while the program runs; it ends with 0 when the program has accepted the command and with
    another status, the reason on stderr, when not. A verb the program does not have is None.
    """

    name: str  # also the name of its module
    image: str  # folder in images/
    roles: Mapping[ServerRole, str]  # what it can be -> template in templates/
    config: str  # name of the configuration file
    command: tuple[str, ...]  # stays in the foreground
    version: str  # control line: prints the version in its first line
    prepare: str | None = None  # shell line to run before each start, for what must not be rendered
    flush: str | None = None  # forget the whole cache, and round-trip times and dead servers with it
    flush_name: str | None = None  # forget what is cached of one owner name
    cache: str | None = None  # print the cache as `lab.software.cached` reads it
    reload: str | None = None  # read the list of zones and every zone file with a newer modification time again
    statistics: str | None = None  # print counters, leave them as they are
    max_ttl: int | None = None  # seconds; the longest a resolver keeps an RRset by default, whatever its TTL
    max_negative_ttl: int | None = None  # seconds; the same for NXDOMAIN and NODATA (RFC 2308 section 5)
    travels: str | None = None  # why it cannot run on the lab's clock; None: it can
    stop_signal: str = "SIGTERM"  # ends it at once


@cache
def programs() -> Mapping[str, Program]:
    """All server programs by name, sorted: every module of this package that has a `PROGRAM`."""
    found = {}
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        candidate = getattr(import_module(f"lab.software.{module.name}"), "PROGRAM", None)
        if isinstance(candidate, Program):
            found[candidate.name] = candidate
    return MappingProxyType(dict(sorted(found.items())))


def program(name: str) -> Program:
    """The program called `name`; raises `BadInput` that names the nearest one when there is none."""
    try:
        return programs()[name]
    except KeyError:
        raise BadInput(
            f"no server program {name!r}{did_you_mean(name, programs())} (programs: {', '.join(programs())})"
        ) from None


def for_role(role: ServerRole) -> tuple[Program, ...]:
    """The programs that can be that."""
    return tuple(candidate for candidate in programs().values() if role in candidate.roles)


def image(node: Node) -> str:
    """The image a node is made from, as its folder in `images/`."""
    return host.IMAGE if node.program is None else program(node.program).image


def stop_signal(node: Node) -> str:
    """The signal that ends the node's command at once."""
    return host.STOP_SIGNAL if node.program is None else program(node.program).stop_signal


def render(node: Node, topology: Topology) -> dict[str, str]:
    """All files of a node: path relative to `/lab/<node>/` -> text.

    A server gets its configuration and one file a zone, a resolver its configuration and the root hints, a recursive
    server all of these, a host its resolv.conf. Raises `BadInput` when the program cannot be what the node is.
    """
    if node.program is None:
        return host.render(node, topology)
    runs = program(node.program)
    role = _server_role(node)
    if role not in runs.roles:
        able = ", ".join(candidate.name for candidate in for_role(role))
        raise BadInput(f"{node.name}: {runs.name} cannot be {_WITH_ARTICLE[role]}; these can: {able}")
    zones = topology.zones_of(node)
    files = {runs.config: _configuration(runs.roles[role], node, topology, zones)}
    if node.caches:
        files[HINTS_FILE] = hints_text(topology.hints)
    return files | {zone_path(zone): zone_text(zone) for zone in zones}


def zone_path(zone: Zone) -> str:
    """Where the file of a zone is, relative to the folder of the node; its text is `zone_text`."""
    return f"{ZONES_FOLDER}/{zone.file}"


def command(node: Node, topology: Topology) -> list[str]:
    """The command of the node's container.

    Only the program itself runs on the lab's clock, not what prepares it. Raises `BadInput` when the node is to run on
    the lab's clock and its program cannot.
    """
    if node.program is None:
        return host.command(node, topology)
    runs = program(node.program)
    argv = [part.format(config=_config_path(node, runs)) for part in runs.command]
    if node.on_lab_clock:
        if runs.travels is not None:
            raise BadInput(f"{node.name}: {runs.name} cannot run on the lab's clock: {runs.travels}")
        argv = ["env", *_clock_environment(node), *argv]
    if runs.prepare is None:
        return argv
    return ["sh", "-c", f"{runs.prepare.format(config=_config_path(node, runs))} && exec {shlex.join(argv)}"]


def control(node: Node, verb: Verb, name: str = "") -> str:
    """The shell line that makes the node's program do `verb`; `name` is the owner name of `flush_name`.

    It runs on the clock of the program it speaks to: some sign their commands with the time (rndc does). Raises
    `BadInput` when the node's program has no such verb.
    """
    runs = None if node.program is None else program(node.program)
    line: str | None = None if runs is None else getattr(runs, verb)
    if runs is None or line is None:
        raise BadInput(f"{node.name}: {'a ' + node.role.value if runs is None else runs.name} has no {verb!r}")
    return on_its_clock(node, line.format(config=_config_path(node, runs), name=shlex.quote(name)))


def on_its_clock(node: Node, line: str) -> str:
    """The shell line that runs `line` on the clock that the node's program is on."""
    return f"export {' '.join(_clock_environment(node))}; {line}" if node.on_lab_clock else line


_WITH_ARTICLE = {
    "authority": "an authority",
    "recursive authority": "a recursive authority",
    "resolver": "a resolver",
}


def _server_role(node: Node) -> ServerRole:
    if node.role is Role.RESOLVER:
        return "resolver"
    return "recursive authority" if node.recursive else "authority"


def _clock_environment(node: Node) -> tuple[str, str]:
    return f"LD_PRELOAD={CLOCK_LIBRARY}", f"LABCLOCK=/lab/clock/{node.name}"


def _config_path(node: Node, runs: Program) -> str:
    return f"/lab/{node.name}/{runs.config}"


def _configuration(template: str, node: Node, topology: Topology, zones: tuple[Zone, ...]) -> str:
    written = _templates().get_template(template)
    return written.render(
        node=node,
        topology=topology,
        zones=zones,
        folder=f"/lab/{node.name}",
        zones_folder=f"/lab/{node.name}/{ZONES_FOLDER}",
        hints_file=f"/lab/{node.name}/{HINTS_FILE}",
    )


@cache
def _templates() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # not at import: it costs 40 ms

    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=StrictUndefined,
        autoescape=False,  # configuration files, not HTML
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
