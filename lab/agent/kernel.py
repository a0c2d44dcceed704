"""What this kernel can do for faults and taps, tried on the loopback; ``python3 -m agent.kernel`` prints it as JSON.

To be run in a container without any network, with NET_ADMIN and NET_RAW: one datagram is sent for each trial, and the
rules of iptables that are made for it go with the namespace. Each value is the reason why not, empty if it works.
"""

import contextlib
import json
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Final

from .nfqueue import Queue

_QUEUE: Final = 54
_PATIENCE: Final = 2.0  # seconds for a datagram on the loopback
_ALL: Final = 0x0003  # ETH_P_ALL, linux/if_ether.h
_HELLO: Final = b"dnslab"


def nfqueue_refused(error: OSError) -> str:
    """Return why the conditioner cannot work, and what may help, in the words of faults and of `dnslab doctor`."""
    return f"NFQUEUE does not work in this kernel ({error.strerror}); `modprobe nfnetlink_queue` may help"


def main() -> None:
    """Try all, and print what came of it."""
    trials: Mapping[str, Callable[[], None]] = {"nfqueue": _nfqueue, "redirect": _redirect, "packet": _packet}
    json.dump({name: _tried(trial) for name, trial in trials.items()}, sys.stdout)


def _tried(trial: Callable[[], None]) -> str:
    try:
        trial()
    except OSError as error:
        return nfqueue_refused(error) if trial is _nfqueue else error.strerror or str(error)
    return ""


def _nfqueue() -> None:
    """A datagram is led to a queue, changed there, and arrives changed."""
    queue = Queue(_QUEUE)
    with contextlib.closing(queue), _receiver() as receiver, _sender() as sender:
        port = receiver.getsockname()[1]
        rule = f"OUTPUT -o lo -p udp --dport {port} -j NFQUEUE --queue-num {_QUEUE} --queue-bypass"
        for version in ("iptables", "ip6tables"):
            _iptables(version, "mangle", rule)
        sender.sendto(_HELLO, ("127.0.0.1", port))
        _ready(queue.fileno(), "no packet came to the queue")
        for packet in queue.packets():
            # No checksum at all (RFC 768), so that the changed one is taken.
            content = packet.content[:26] + b"\0\0" + _HELLO.upper()
            queue.send([queue.accept_changed(packet.id, content)])
        _ready(receiver.fileno(), "the changed packet did not arrive")
        if receiver.recv(100) != _HELLO.upper():
            raise OSError(0, "the packet arrived unchanged")


def _redirect() -> None:
    """A datagram to one port arrives at another."""
    with _receiver() as receiver, _sender() as sender:
        port = receiver.getsockname()[1]
        other = port - 1 if port > 1024 else port + 1
        for version in ("iptables", "ip6tables"):
            _iptables(version, "nat", f"OUTPUT -o lo -p udp --dport {other} -j REDIRECT --to-ports {port}")
        sender.sendto(_HELLO, ("127.0.0.1", other))
        _ready(receiver.fileno(), "the redirected packet did not arrive")


def _packet() -> None:
    """A datagram is seen by a tap."""
    with (
        socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ALL)) as tap,
        _receiver() as receiver,
        _sender() as sender,
    ):
        tap.bind(("lo", _ALL))
        sender.sendto(_HELLO, receiver.getsockname())
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            _ready(tap.fileno(), "no packet was seen")
            if tap.recv(100).endswith(_HELLO):
                return
        raise OSError(0, "other packets were seen, and not ours")


def _receiver() -> socket.socket:
    receiver = _sender()
    receiver.bind(("127.0.0.1", 0))
    return receiver


def _sender() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def _iptables(command: str, table: str, rule: str) -> None:
    done = subprocess.run([command, "-t", table, "-A", *rule.split()], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(0, done.stderr.strip().partition("\n")[0] or f"{command} ended with {done.returncode}")


def _ready(descriptor: int, otherwise: str) -> None:
    if not select.select([descriptor], [], [], _PATIENCE)[0]:
        raise OSError(0, otherwise)


if __name__ == "__main__":
    main()
