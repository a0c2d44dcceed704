"""Nothing is left of a lab, however the tests that used it end: within ten seconds, and counted."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from plugintools import GONE, Project
from unixdoor import Door

from lab.testing import eventually

WAITING = """
    import os
    import time
    from pathlib import Path

    import pytest

    @pytest.mark.dnslab("tiny.yaml")
    @pytest.mark.parametrize("number", range(4))
    def test_that_is_interrupted(dns_lab, dns_fault, number):
        if not dns_lab.name.endswith("-shared"):  # there nothing may be broken
            dns_fault("stop", "root")
            dns_lab.node("resolver").pause()
        Path(os.environ.get("PYTEST_XDIST_WORKER", "main")).write_text(f"{os.getpid()}\\n")
        while not Path("go-on").exists():
            time.sleep(0.02)
"""


@pytest.fixture
def waiting(project: Project) -> Project:
    """A project with tests that break a lab, say so, and wait to go on."""
    project.write(test_waiting=WAITING)
    return project


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_a_signal_in_a_test(waiting: Project, number: signal.Signals) -> None:
    with waiting.running() as run:
        waiting.wait_for(run, "main")
        assert len(run.labs()) == 1
        run.process.send_signal(number)
        run.leaves_nothing()
        result = run.wait()
    if number is signal.SIGINT:
        assert result.ret == pytest.ExitCode.INTERRUPTED
        assert "Traceback" not in result.stderr.str()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_a_signal_while_the_lab_comes_up(waiting: Project, number: signal.Signals) -> None:
    with waiting.running() as run:
        eventually(lambda: any(line.startswith("container") for line in run.left()), within=60.0)
        run.process.send_signal(number)
        run.leaves_nothing()


def test_ctrl_c_goes_to_the_workers_too(waiting: Project) -> None:
    with waiting.running("-n", "2") as run:
        waiting.wait_for(run, "gw0")
        os.killpg(run.process.pid, signal.SIGINT)
        run.leaves_nothing()
        assert run.wait().ret == pytest.ExitCode.INTERRUPTED


def test_a_worker_is_killed_and_the_others_go_on(waiting: Project) -> None:
    with waiting.running("-n", "2") as run:
        workers = [int(waiting.wait_for(run, worker)) for worker in ("gw0", "gw1")]
        assert len(run.labs()) == 2
        os.kill(workers[0], signal.SIGKILL)
        eventually(lambda: not any(lab.endswith("-gw0") for lab in run.labs()), within=GONE)
        run.alive()
        (waiting.folder / "go-on").touch()
        run.wait().assert_outcomes(passed=3, failed=1)
        run.leaves_nothing()


@pytest.mark.parametrize("shared", [(), ("--dnslab-shared",)], ids=["one each", "shared"])
def test_the_controller_is_killed(waiting: Project, shared: tuple[str, ...]) -> None:
    with waiting.running("-n", "2", *shared) as run:
        for worker in "gw0", "gw1":
            waiting.wait_for(run, worker)
        assert len(run.labs()) == (1 if shared else 2)
        run.process.kill()
        run.leaves_nothing()


def test_docker_is_away_when_the_owner_dies(waiting: Project, tmp_path: Path) -> None:
    with Door(tmp_path / "docker.sock") as door, waiting.running(DOCKER_HOST=door.address) as run:
        waiting.wait_for(run, "main")
        door.close()
        run.process.kill()
        door.refuses(3, within=30.0)
        assert len(run.labs()) == 1
        door.open()
        run.leaves_nothing()
