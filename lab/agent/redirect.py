"""The iptables rules that lead TCP connections to and from port 53 through the proxy: chains of our own.

The first packet of a connection goes through the queue, where it is marked if the messages of the connection concern a
rule; what is marked is redirected (nat). If nobody listens at the queue nothing is marked (``--queue-bypass``), and
new connections go where they were meant to: a dead conditioner is no outage. Connections that are there already, and
those that are redirected when a rule ends, stay as they are: nat decides about the first packet only.
"""

from typing import Final

PROXY_PORT: Final = 20053
"""Where the proxy listens, in the node's namespace; below the ports that connections come from."""
REDIRECTED: Final = 0xD5B3
"""Mark on the first packet of a connection that is to go through the proxy."""
PROXIED: Final = 0xD5B4
"""Mark on the proxy's own packets."""

_FIRST: Final = "dnslab-first"
_NAT: Final = "dnslab-redirect"


def redirect_text(to_queue: str, *, wanted: bool, there: bool) -> str:
    """Return what ``iptables-restore --noflush`` is to read so that connections are led through the proxy, or not.

    `to_queue` is the target that leads to the queue. `there`: whether our chains are there already.
    """
    if wanted is there:
        return ""
    first = [
        f"PREROUTING ! -i lo -p tcp --dport 53 --syn -j {_FIRST}",
        f"OUTPUT ! -o lo -p tcp --dport 53 --syn -m mark ! --mark {PROXIED:#x} -j {_FIRST}",
    ]
    nat = [f"{hook} -p tcp -m mark --mark {REDIRECTED:#x} -j {_NAT}" for hook in ("PREROUTING", "OUTPUT")]
    if wanted:  # nat before what marks for it
        return _table("nat", _NAT, [f"-A {_NAT} -p tcp -j REDIRECT --to-ports {PROXY_PORT}", *_each("-I", nat)]) + (
            _table("mangle", _FIRST, [f"-A {_FIRST} {to_queue}", *_each("-I", first)])
        )
    return _table("mangle", _FIRST, [*_each("-D", first), f"-X {_FIRST}"]) + _table(
        "nat", _NAT, [*_each("-D", nat), f"-X {_NAT}"]
    )


def redirects(saved: str) -> bool:
    """Tell whether our chains are in what ``iptables-save`` says."""
    return f":{_NAT} " in saved


def _each(verb: str, rules: list[str]) -> list[str]:
    return [f"{verb} {rule}" for rule in rules]


def _table(table: str, chain: str, lines: list[str]) -> str:
    return "\n".join([f"*{table}", f":{chain} - [0:0]", *lines, "COMMIT", ""])
