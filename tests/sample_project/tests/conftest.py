"""How this project's code asks the lab instead of the Internet."""

from __future__ import annotations

from collections.abc import Callable

import dns.resolver
import mailroute
import pytest

from lab import Lab

Route = Callable[[str], list[mailroute.Hop]]


@pytest.fixture
def route(dns_lab: Lab) -> Route:
    """`mailroute.route`, asking the resolvers of the lab through its gateway: a port on the loopback."""
    resolver = dns.resolver.Resolver(configure=False)
    address, resolver.port = dns_lab.gateway
    resolver.nameservers = [address]
    return lambda domain: mailroute.route(domain, resolver)
