"""Where mail for a domain goes: its mail servers, the preferred first, with their addresses (RFC 5321 section 5.1)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import dns.exception
import dns.rdatatype
import dns.resolver


class NoMail(Exception):
    """The domain takes no mail: return it to its sender."""


class TryLater(Exception):
    """The DNS could not say: keep the mail, and ask again."""


@dataclass(frozen=True)
class Hop:
    """A mail server to try; lower preferences come first."""

    preference: int
    host: str
    addresses: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.preference} {self.host} {' '.join(self.addresses)}"


def route(domain: str, resolver: dns.resolver.Resolver | None = None) -> list[Hop]:
    """The mail servers of a domain that have an address; without MX its own address. Raises `NoMail`, `TryLater`."""
    resolver = resolver or dns.resolver.Resolver()
    try:
        listed = sorted((mx.preference, mx.exchange.to_text()) for mx in resolver.resolve(domain, "MX"))
    except dns.resolver.NoAnswer:
        listed = [(0, domain)]
    except dns.resolver.NXDOMAIN:
        raise NoMail(f"there is no {domain}") from None
    except dns.exception.DNSException as error:
        raise TryLater(f"{domain} MX: {error}") from error
    if [host for _, host in listed] == ["."]:  # RFC 7505
        raise NoMail(f"{domain} takes no mail")
    hops = [Hop(preference, host.rstrip("."), tuple(_addresses(host, resolver))) for preference, host in listed]
    if not (reachable := [hop for hop in hops if hop.addresses]):
        raise NoMail(f"no mail server of {domain} has an address")
    return reachable


def _addresses(host: str, resolver: dns.resolver.Resolver) -> Iterator[str]:
    for type in dns.rdatatype.AAAA, dns.rdatatype.A:
        try:
            yield from sorted(record.address for record in resolver.resolve(host, type))
        except (dns.resolver.NoAnswer, dns.resolver.NXDOMAIN):
            continue
        except dns.exception.DNSException as error:
            raise TryLater(f"{host} {dns.rdatatype.to_text(type)}: {error}") from error


if __name__ == "__main__":
    try:
        print(*route(sys.argv[1]), sep="\n")
    except (NoMail, TryLater) as failure:
        sys.exit(f"{type(failure).__name__}: {failure}")
