"""BIND 9, an authority, a resolver, and both in one (ISC)."""

from __future__ import annotations

from lab.software.program import Program

_RNDC = "rndc -s 127.0.0.1 -k /run/rndc.key"

PROGRAM = Program(
    name="bind",
    image="bind",
    roles={
        "authority": "bind-authority.conf.j2",
        "recursive authority": "bind-authority.conf.j2",
        "resolver": "bind-resolver.conf.j2",
    },
    config="named.conf",
    # -f: foreground. -L: stderr from the first line on, errors in the configuration included; syslog by default.
    # -n 1: one thread of each kind, not one a processor of the machine; memory follows the number of threads.
    command=("named", "-f", "-n", "1", "-L", "/dev/stderr", "-c", "{config}"),
    # rndc speaks over TCP with a shared key: it is made at each start and never leaves the node.
    prepare="rndc-confgen -a -c /run/rndc.key",
    # Empties the cache, the address database with its round-trip times, and the lists of bad and SERVFAIL answers.
    flush=f"{_RNDC} flush",
    flush_name=f"{_RNDC} flushname {{name}}",
    # `dumpdb` returns before the file is written; its last line says that it is. Behind the cache come other tables.
    cache=(
        f"rm -f /run/named_dump.db && {_RNDC} dumpdb -cache && "
        "timeout 10 sh -c 'until grep -q \"^; Dump complete\" /run/named_dump.db 2>/dev/null; do sleep 0.01; done' && "
        "sed '/^; Address database dump/,$d' /run/named_dump.db"
    ),
    reload=f"{_RNDC} reload >/dev/null",
    # `stats` appends to the file: the last report is the one that was asked for.
    statistics=f"rm -f /run/named.stats && {_RNDC} stats && cat /run/named.stats",
    version="named -v",
    max_ttl=604800,  # max-cache-ttl
    max_negative_ttl=10800,  # max-ncache-ttl
)
