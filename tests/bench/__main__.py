"""What dnslab costs: `make bench`.

Every figure that depends on the machine is printed beside one that was taken in the same run, as a ratio where that
makes sense. Nothing here is asserted: a shared machine is no judge.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from statistics import median

import tenacity
from docker import APIClient
from docker.types import IPAMConfig, IPAMPool
from rich.console import Console
from rich.table import Table

from lab import Lab, labs
from lab.runtime import compose, containers
from lab.runtime.engine import connect
from lab.runtime.images import ensure_images
from lab.runtime.parallel import each
from lab.runtime.status import status
from lab.topology.declaration import Declaration, Gateway, Network
from tests.bench import experiments, links, messages, observe, testing
from tests.bench.figures import Figure, spread, throughput, timed

ROUNDS = 3
SUBNET = 200 + os.getpid() % 50  # not always the same: a network that Docker fails to remove must not end the next run
FREE = Network(ipv4=IPv4Network(f"10.53.{SUBNET}.0/24"), ipv6=IPv6Network(f"fd53:0:0:{SUBNET}::/64"))


def starting() -> Iterator[Figure]:
    """`up` against the floor (as many idle containers) and against Compose, in turn, so that drift hits all alike."""
    declaration = labs.load("textbook")
    count = len(declaration.members)
    ups, downs, floors, dual, composed = [], [], [], [], []
    for _ in range(ROUNDS):
        floors.append(idle_containers(count, dual_stack=False))
        dual.append(idle_containers(count, dual_stack=True))
        name = f"bench-{os.getpid()}"
        ups.append(timed(lambda name=name: Lab.up(declaration, name=name).close()))  # type: ignore[misc]
        downs.append(timed(lambda name=name: Lab.down(name)))  # type: ignore[misc]
        composed.append(compose_up(declaration))
    floor, up = median(floors), median(ups)
    yield Figure(
        f"{count} idle containers, started on 8 threads", spread(floors), "the floor: what Docker itself costs"
    )
    yield Figure(
        "the same on a dual-stack network, as a lab's is", spread(dual), f"{median(dual) / floor:.2f} x the floor"
    )
    note = f"{up / floor:.2f} x the floor (aim: at most 1.5), {up / median(dual):.2f} x the dual-stack one"
    yield Figure("up of textbook, to the last answer", spread(ups), note)
    yield Figure("Compose: up -d of the same lab", spread(composed), f"{median(composed) / up:.2f} x our up")
    yield Figure("down of textbook", spread(downs))


def idle_containers(count: int, *, dual_stack: bool) -> float:
    """Seconds to create and start `count` containers that do nothing, on an internal network."""
    client = connect()
    api = client.api
    image = ensure_images(client, ["knot"])["knot"]
    pools = [IPAMPool(subnet=str(FREE.ipv4))] + ([IPAMPool(subnet=str(FREE.ipv6))] if dual_stack else [])
    network = api.create_network(
        f"bench-{os.getpid()}", internal=True, enable_ipv6=dual_stack, ipam=IPAMConfig(pool_configs=pools)
    )["Id"]
    made: list[str] = []

    def start(_number: int) -> None:
        config = api.create_host_config(network_mode=network)
        made.append(api.create_container(image, ["sleep", "600"], stop_signal="SIGKILL", host_config=config)["Id"])
        api.start(made[-1])

    try:
        return timed(lambda: each(start, range(count)))
    finally:
        containers.remove(api, made)
        remove_network(api, network)
        client.close()


@tenacity.retry(wait=tenacity.wait_fixed(0.05), stop=tenacity.stop_after_delay(10), reraise=True)
def remove_network(api: APIClient, network: str) -> None:
    """Docker needs a moment to let go of the endpoints of containers that are gone."""
    api.remove_network(network)


def compose_up(declaration: Declaration) -> float:
    """Seconds that Compose needs for `up -d`, which does not wait for answers."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench"
        gateway = Gateway(port=free_port())
        compose.write(declaration.model_copy(update={"network": FREE, "gateway": gateway}), path)
        command = [*compose_command(), "-p", f"bench-{os.getpid()}", "-f", str(path / compose.FILE)]
        try:
            return timed(lambda: subprocess.run([*command, "up", "-d"], check=True, capture_output=True))
        finally:
            limited = {**os.environ, "COMPOSE_PARALLEL_LIMIT": "2"}  # as in `lab.runtime.containers`
            subprocess.run([*command, "down", "-t", "0"], check=False, capture_output=True, env=limited)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def compose_command() -> list[str]:
    plugin = subprocess.run(["docker", "compose", "version"], check=False, capture_output=True)
    return ["docker", "compose"] if plugin.returncode == 0 else ["docker-compose"]


def running() -> Iterator[Figure]:
    """A lab that is up: memory, one round trip, what the prober sustains, reset, the clock."""
    with Lab.temporary("textbook", name=f"bench-{os.getpid()}") as lab:
        again = timed(lambda: Lab.up("textbook", name=lab.name).close())
        yield Figure("up again, nothing changed", f"{again:.2f} s")
        nodes = status(lab)
        memory = sum(node.memory or 0 for node in nodes) / 2**20
        yield Figure("resident memory of all nodes", f"{memory:.0f} MiB", f"{len(nodes)} nodes")
        resets = [timed(lab.reset) for _ in range(20)]
        yield Figure("reset between tests", f"{median(resets) * 1000:.0f} ms (median of 20)")
        steps = [timed(lambda: lab.clock.advance(hours=1)) for _ in range(20)]
        yield Figure("one hour on the lab's clock", f"{median(steps) * 1000:.2f} ms (median of 20)")
        for server in ("example-1", "resolver-1", "resolver-2"):
            question = lab.question("www.example.com", at=server)
            alone = [answer.latency for answer in lab.ask([question] * 1000, window=1)]
            rate = throughput(lab, question)
            yield Figure(
                f"prober and {server} ({lab.topology.nodes[server].program})",
                f"{median(alone) * 1000:.2f} ms a round trip, {rate:.0f} q/s",
                "cached" if server.startswith("resolver") else "authoritative",
            )


def clock_cost() -> Iterator[Figure]:
    """The same resolvers with and without the lab's clock, asked in turn."""
    declaration = labs.load("textbook")
    with (
        Lab.temporary(declaration, name=f"bench-lab-{os.getpid()}") as with_clock,
        Lab.temporary(declaration.model_copy(update={"clock": "host"}), name=f"bench-host-{os.getpid()}") as without,
    ):
        for resolver in ("resolver-1", "resolver-2"):
            rates: dict[str, list[float]] = {"lab": [], "host": []}
            for _ in range(5):
                for key, lab in (("lab", with_clock), ("host", without)):
                    rates[key].append(throughput(lab, lab.question("www.example.com", at=resolver)))
            ours, theirs = median(rates["lab"]), median(rates["host"])
            program = with_clock.topology.nodes[resolver].program
            yield Figure(
                f"{program} on the lab's clock",
                f"{ours:.0f} q/s, {theirs:.0f} without",
                f"{1 - ours / theirs:+.1%} cost",
            )


def processes() -> Iterator[Figure]:
    """What a person waits for before anything happens."""
    for what, command in (
        ("import lab", [sys.executable, "-c", "import lab"]),
        ("dnslab --help", [sys.executable, "-m", "lab.cli", "--help"]),
    ):
        bare = [timed(lambda: subprocess.run([sys.executable, "-c", ""], check=True)) for _ in range(5)]
        took = [timed(lambda: subprocess.run(command, check=True, capture_output=True)) for _ in range(5)]  # noqa: B023
        yield Figure(what, f"{median(took):.2f} s", f"a bare Python: {median(bare):.2f} s")


def tests() -> Iterator[Figure]:
    for folder in ("tests/unit", "tests/lab"):
        took = timed(lambda: subprocess.run([sys.executable, "-m", "pytest", "-q", folder], check=False))  # noqa: B023
        yield Figure(f"pytest {folder}", f"{took:.0f} s")


GROUPS = {
    "starting": starting,
    "running": running,
    "clock": clock_cost,
    "faults": links.faults,
    "messages": messages.figures,
    "links": links.declared,
    "observe": observe.figures,
    "testing": testing.figures,
    "experiments": experiments.figures,
    "processes": processes,
    "tests": tests,
}


@contextmanager
def table(console: Console) -> Iterator[Callable[[Figure], None]]:
    shown = Table("what", "measured", "beside", box=None, pad_edge=False)
    yield lambda figure: shown.add_row(figure.what, figure.value, figure.note)
    console.print(shown)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("groups", nargs="*", help=f"any of {', '.join(GROUPS)} (default: all but tests)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    if unknown := [group for group in arguments.groups if group not in GROUPS]:
        parser.error(f"no such group: {', '.join(unknown)} (groups: {', '.join(GROUPS)})")
    chosen = arguments.groups or [group for group in GROUPS if group != "tests"]
    figures: list[Figure] = []
    with table(Console(stderr=arguments.json, width=150)) as add:
        for group in chosen:
            for figure in GROUPS[group]():
                figures.append(figure)
                add(figure)
    if arguments.json:
        print(json.dumps([vars(figure) for figure in figures], indent=2))


if __name__ == "__main__":
    main()
