"""Knot DNS, an authority (CZ.NIC)."""

from __future__ import annotations

from lab.software.program import Program

_KNOTC = "knotc -c {config}"

PROGRAM = Program(
    name="knot",
    image="knot",
    roles={"authority": "knot-authority.conf.j2"},
    config="knot.conf",
    command=("knotd", "-c", "{config}"),
    # `reload` reads the configuration and the zone files that changed, and returns before they are loaded.
    reload=f"{_KNOTC} reload >/dev/null",
    statistics=f"{_KNOTC} stats",
    version="knotd --version",
)
