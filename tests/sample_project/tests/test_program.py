"""The program as its users run it, in a container of its own at the host of the lab: it asks who resolv.conf says."""

from __future__ import annotations

from pathlib import Path

import dns
import mailroute
import pytest

FILES = {"/srv/mailroute.py": Path(mailroute.__file__), "/srv/dns": Path(dns.__file__).parent}


@pytest.fixture
def mailroute_in_the_lab(dns_lab):
    """Run the program for a domain."""
    return lambda domain: dns_lab.run(["python3", "/srv/mailroute.py", domain], files=FILES)


def test_the_program_prints_the_way(mailroute_in_the_lab):
    with mailroute_in_the_lab("example.com") as program:
        assert program.wait() == 0
    assert program.output == "10 mail.example.com 192.0.2.25\n"


def test_the_program_fails_aloud(mailroute_in_the_lab, dns_fault):
    dns_fault("refused", "tld")
    with mailroute_in_the_lab("example.com") as program:
        assert program.wait() == 1
    assert "TryLater: example.com MX" in program.output
