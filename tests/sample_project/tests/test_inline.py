"""A lab for one test alone, written beside it."""

from __future__ import annotations

import pytest
from mailroute import Hop

IPV6_ONLY = """
lab: six
zones:
  .:
    servers: [root]
    records: |
      tiny.example     MX    10 mx.tiny.example.
      mx.tiny.example  AAAA  2001:db8::25
servers: {root: knot}
resolvers: {resolver: bind}
hosts: {host: {resolvers: [resolver]}}
gateway: {port: 5390}
"""


@pytest.mark.dnslab(IPV6_ONLY)
def test_a_mail_server_with_ipv6_only(route):
    assert route("tiny.example") == [Hop(10, "mx.tiny.example", ("2001:db8::25",))]
