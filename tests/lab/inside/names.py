"""The addresses that a server gives for names: {name: [address, ..]}; arguments: server, names."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor

from dnslib import QTYPE, DNSRecord

PATIENCE = 3.0  # seconds
server, *names = sys.argv[1:]


def addresses(name: str) -> list[str]:
    try:
        answer = DNSRecord.parse(DNSRecord.question(name).send(server, 53, timeout=PATIENCE))
    except OSError:
        return []
    return [str(record.rdata) for record in answer.rr if record.rtype == QTYPE.A]


with ThreadPoolExecutor(len(names)) as pool:
    print(json.dumps(dict(zip(names, pool.map(addresses, names), strict=True))))
