"""Programs that join the lab in a test: gone at its end, unless they were there before it."""

from __future__ import annotations

import pytest

from lab.runtime.program import Program
from lab.testing.undertest import LabUnderTest

pytestmark = pytest.mark.dnslab("minimal")

SLEEP = ["sleep", "600"]


@pytest.fixture(scope="module")
def service(dns_lab: LabUnderTest) -> Program:
    """A program for all tests here."""
    return dns_lab.run(SLEEP, name="service")


def test_a_program_runs_beside_those_that_stay(dns_lab: LabUnderTest, service: Program) -> None:
    assert service.running
    asked = dns_lab.run(["getent", "hosts", "www.example.com"])
    assert asked.wait() == 0
    assert "2001:db8::80" in asked.output
    dns_lab.run(SLEEP, name="forgotten")
    assert sorted(program.name for program in dns_lab.programs) == ["forgotten", "getent", "service"]


def test_and_is_gone_at_the_end_of_its_test(dns_lab: LabUnderTest, service: Program) -> None:
    assert [program.name for program in dns_lab.programs] == ["service"]
    assert service.running
