"""One node of a running lab, to be stopped, started, looked into."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal

from lab.errors import BadInput, EnvironmentProblem
from lab.runtime import containers, labels
from lab.runtime.answer import ResourceRecord
from lab.runtime.shell import Shell
from lab.software import program as software
from lab.software.cached import read_cache
from lab.topology.model import Node, Role

if TYPE_CHECKING:
    from docker import APIClient

_STOP_PATIENCE = 2  # seconds between the stop signal and SIGKILL


class NodeHandle:
    """A node's container. Verbs return when their effect is there.

    What is done to a host is done to the programs that run at it too (`RunningLab.run`): they freeze with it, and end
    with it.
    """

    def __init__(self, api: APIClient, lab: str, node: Node, wait_ready: Callable[[Node], None]) -> None:
        self._api, self.lab, self.node = api, lab, node
        self.container = labels.container_name(lab, node.name)
        self._shell = Shell(api, self.container, node.name)
        self._wait_ready = wait_ready

    @property
    def name(self) -> str:
        """The node's name."""
        return self.node.name

    @property
    def state(self) -> str:
        """As Docker says (created, running, paused, restarting, dead), but "stopped" for exited, and "missing"."""
        from docker.errors import NotFound

        try:
            state: str = self._api.inspect_container(self.container)["State"]["Status"]
        except NotFound:
            return "missing"
        return "stopped" if state == "exited" else state

    @property
    def life(self) -> str:
        """When its container was started, as Docker says, which made its network namespace; empty if not running."""
        return containers.life(self._api, self.container)

    def stop(self) -> None:
        """Stop the program as an operator would: its stop signal, then SIGKILL. Its address leaves the network."""
        self._do("stop", lambda: containers.end(self._api, self.container, _STOP_PATIENCE))
        self._programs_too("kill")
        self._shell.close()

    def kill(self) -> None:
        """End the program at once (SIGKILL)."""
        if self.state in ("running", "paused"):
            self._do("kill", lambda: containers.kill(self._api, self.container))
            self._programs_too("kill")
        self._shell.close()

    def start(self) -> None:
        """Start the program and wait until it answers."""
        self.begin()
        self._wait_ready(self.node)

    def begin(self) -> None:
        """Start the program, and wait for nothing."""
        self._do("start", lambda: self._api.start(self.container))

    def wait(self) -> None:
        """Wait until it answers, as it runs."""
        self._wait_ready(self.node)

    def restart(self) -> None:
        """Stop and start; whatever the program kept in memory is gone."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze the program: its address answers ARP, its port takes packets, and nothing comes back."""
        if self.state != "paused":
            self._do("pause", lambda: self._api.pause(self.container))
            self._programs_too("pause")
        self._shell.close()

    def unpause(self) -> None:
        """Let a frozen program go on, and wait until it answers."""
        if self.state == "paused":
            self._do("unpause", lambda: self._api.unpause(self.container))
            self._programs_too("unpause")
        self._wait_ready(self.node)

    def heal(self) -> bool:
        """Make it run and answer, whatever was done to it; whether anything had to be done."""
        state = self.state
        if state == "running":
            return False
        if state == "paused":
            self.unpause()
        else:
            self.start()
        return True

    def run(self, line: str) -> str:
        """The output of a shell command line inside the node. Raises `EnvironmentProblem` when it fails."""
        return self._shell.run(line)

    def control(self, verb: software.Verb, name: str = "") -> str:
        """Make the node's program do `verb`; see `lab.software.program`. Raises `BadInput` when it has none such."""
        return self._shell.run(software.control(self.node, verb, name))

    def flush(self, name: str | None = None) -> None:
        """Empty a resolver's or recursive server's cache, or forget one owner name. Raises `BadInput` for another."""
        if not self.node.caches:
            raise BadInput(f"{self.name} is no resolver: a {self.node.role.value} has no cache to flush")
        self.control("flush" if name is None else "flush_name", name or "")

    @property
    def can_list_its_cache(self) -> bool:
        """Whether `cache` works for its program."""
        return (
            self.node.caches and self.node.program is not None and software.program(self.node.program).cache is not None
        )

    def cache(self) -> tuple[ResourceRecord, ...]:
        """All records that it has cached, each with the TTL that is left; negative answers are not among them.

        Raises `BadInput` for a node without a cache, or whose program cannot tell.
        """
        return tuple(ResourceRecord(*entry) for entry in read_cache(self.control("cache")))

    def logs(self, tail: int | None = None, follow: bool = False) -> Iterator[str]:
        """Lines of the program's log, the last `tail` of them; with `follow`, those to come too."""
        from docker.errors import NotFound

        try:
            chunks: Any = self._api.logs(
                self.container, tail="all" if tail is None else tail, stream=True, follow=follow
            )
        except NotFound:
            raise EnvironmentProblem(f"{self.name} has no container; `dnslab up` makes it") from None
        rest = b""
        for chunk in chunks:
            *whole, rest = (rest + chunk).split(b"\n")
            yield from (line.decode(errors="replace") for line in whole)
        if rest:
            yield rest.decode(errors="replace")

    def close(self) -> None:
        """End the kept shell."""
        self._shell.close()

    def _programs_too(self, verb: Literal["kill", "pause", "unpause"]) -> None:
        if self.node.role is Role.HOST:
            self._do(verb, lambda: containers.programs_too(self._api, self.lab, self.name, verb))

    def _do(self, verb: str, action: Callable[[], Any]) -> None:
        from docker.errors import APIError, NotFound

        try:
            action()
        except NotFound:
            raise EnvironmentProblem(f"{self.name} has no container; `dnslab up` makes it") from None
        except APIError as error:
            raise EnvironmentProblem(f"Docker did not {verb} {self.name}: {error.explanation}") from None
