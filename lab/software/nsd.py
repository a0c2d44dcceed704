"""NSD, an authority (NLnet Labs)."""

from __future__ import annotations

from lab.software.program import Program

_CONTROL = "nsd-control -c {config}"

PROGRAM = Program(
    name="nsd",
    image="nsd",
    roles={"authority": "nsd-authority.conf.j2"},
    config="nsd.conf",
    command=("nsd", "-d", "-c", "{config}"),
    # `reconfig` adds and removes zones, `reload` reads changed zone files; both return before it is done.
    reload=f"{_CONTROL} reconfig >/dev/null && {_CONTROL} reload >/dev/null",
    statistics=f"{_CONTROL} stats_noreset",
    version="nsd -v 2>&1",
)
