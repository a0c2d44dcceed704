"""Unbound, a resolver (NLnet Labs)."""

from __future__ import annotations

from lab.software.program import Program

_ASK = "unbound-control -c {config}"
_CONTROL = f"{_ASK} -q"

PROGRAM = Program(
    name="unbound",
    image="unbound",
    roles={"resolver": "unbound-resolver.conf.j2"},
    config="unbound.conf",
    command=("unbound", "-d", "-p", "-c", "{config}"),  # -d: foreground; -p: no pid file
    # flush_zone only lets records expire; when stale ones are served (RFC 8767) a reload is what makes them go. It is
    # not the rule because it also drops the questions that are being worked on.
    flush=(
        f"case $({_ASK} get_option serve-expired) in "
        f"yes) {_CONTROL} reload;; "
        f"*) {_CONTROL} flush_zone . && {_CONTROL} flush_infra all;; esac"
    ),
    # `flush` knows only the address, name server and service types.
    flush_name=f"{_CONTROL} flush {{name}} && {_CONTROL} flush_type {{name}} TXT",
    # Behind the RRsets come the messages, in a form of Unbound's own.
    cache=f"{_ASK} dump_cache | sed /END_RRSET_CACHE/q",
    reload=f"{_CONTROL} reload_keep_cache",
    statistics=f"{_ASK} stats_noreset",
    version="unbound -V",
    max_ttl=86400,  # cache-max-ttl
    max_negative_ttl=3600,  # cache-max-negative-ttl
)
