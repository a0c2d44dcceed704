"""Listen on every address over TCP and UDP, answer whatever comes; say where, as one line of JSON.

Argument: the interface of the lab's network.
"""

import fcntl
import json
import socket
import struct
import sys
import threading
import time
from pathlib import Path

SIOCGIFADDR = 0x8915
IFA_F_TENTATIVE = 0x40


def addresses() -> dict[str, list[str]]:
    """IPv4 and IPv6 addresses by interface, of those that stay: what Docker makes for other networks comes and goes."""
    found: dict[str, list[str]] = {}
    names = [name for _, name in socket.if_nameindex() if name == bridge or not name.startswith(("br-", "veth"))]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for interface in names:
            try:
                reply = fcntl.ioctl(any_socket, SIOCGIFADDR, struct.pack("256s", interface.encode()))
            except OSError:
                continue  # it has none
            found.setdefault(interface, []).append(socket.inet_ntoa(reply[20:24]))
    for line in Path("/proc/net/if_inet6").read_text().splitlines():
        digits, *_, interface = line.split()
        if interface in names:
            found.setdefault(interface, []).append(socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits)))
    return found


def checked(interface: str) -> bool:
    """Whether the kernel is done looking for duplicates of its addresses (RFC 4862): before, they cannot be used."""
    lines = (line.split() for line in Path("/proc/net/if_inet6").read_text().splitlines())
    return not any(int(flags, 16) & IFA_F_TENTATIVE for *_, flags, name in lines if name == interface)


def echo(listener: socket.socket) -> None:
    while True:
        data, sender = listener.recvfrom(4096)
        listener.sendto(data, sender)


bridge = sys.argv[1]
while not checked(bridge):
    time.sleep(0.05)
stream = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True, backlog=128)
port = stream.getsockname()[1]
here = addresses()
for interface, found in here.items():
    for address in found:
        # One socket an address: an answer must come from the address that was asked.
        scope = f"%{interface}" if address.startswith("fe80:") else ""
        [(family, kind, _, _, place)] = socket.getaddrinfo(address + scope, port, type=socket.SOCK_DGRAM)
        datagrams = socket.socket(family, kind)
        datagrams.bind(place)
        threading.Thread(target=echo, args=[datagrams], daemon=True).start()
print(json.dumps({"port": port, "addresses": here}), flush=True)
while True:
    stream.accept()[0].close()
