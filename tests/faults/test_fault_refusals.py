"""What cannot be is refused with advice; the command line shows what is."""

from __future__ import annotations

import json

import pytest
from faulttools import WIDE, cli, fastest, link

from lab import BadInput, EnvironmentProblem, Lab
from lab.errors import NoEffect
from lab.faults.active import active


def test_a_fault_without_effect_is_an_error(lab: Lab) -> None:
    with link(lab, "blackhole", "host", to="tld", direction="out"):
        with pytest.raises(NoEffect, match=r"has no effect.*another fault in the way"):
            lab.fault("latency", "tld", delay="50ms")
        assert len(active(lab)) == 1
    assert fastest(lab) < WIDE


def test_a_stopped_node_has_no_link(lab: Lab) -> None:
    lab.node("tld").stop()
    with pytest.raises(EnvironmentProblem, match="tld does not run"):
        lab.fault("latency", "tld", delay="50ms")
    lab.node("tld").start()


def test_another_labs_node(lab: Lab) -> None:
    with pytest.raises(BadInput, match=f"no node 'gtld-1' in lab {lab.name}"):
        lab.fault("latency", "gtld-1", delay="50ms")


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["fault", "latency", "tld"], "needs delay"),
        (["fault", "latency", "tld", "-p", "delay=-5ms"], "not negative"),
        (["fault", "latency", "tld", "-p", "delay"], "key=value"),
        (["fault", "loss", "tld", "-p", "share=1.2"], "above 0, to 1"),
        (["fault", "latency", "tdl", "-p", "delay=5ms"], "did you mean 'tld'"),
        (["fault", "latency"], "latency where"),
        (["fault", "show"], "which"),
        (["heal"], "--all"),
    ],
)
def test_bad_input_on_the_command_line(lab: Lab, words: list[str], advice: str) -> None:
    done = cli(lab, *words)
    assert done.returncode == 4
    assert advice in done.stderr


def test_the_command_line_shows_and_heals(lab: Lab) -> None:
    assert "latency" in cli(lab, "fault", "list").stdout
    assert "80ms" in cli(lab, "fault", "show", "latency").stdout
    dry = cli(lab, "fault", "latency", "tld", "-p", "delay=50ms", "--to", "resolver", "--dry-run")
    assert "arrives at tld from resolver comes 50ms later" in dry.stdout
    assert fastest(lab) < WIDE
    with link(lab, "latency", delay="50ms"), lab.fault("pause", "root"):
        found = json.loads(cli(lab, "faults", "--json").stdout)
        assert sorted(entry["fault"] for entry in found) == ["latency", "paused"]
        assert json.loads(cli(lab, "heal", "--all", "--json").stdout) == {"healed": ["root", "tld"]}
        assert json.loads(cli(lab, "faults", "--json").stdout) == []
        assert fastest(lab) < WIDE
