"""The connection to Docker: the daemon that the `docker` command would talk to, or a message that says why not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lab.errors import EnvironmentProblem

if TYPE_CHECKING:
    from docker import DockerClient

TIMEOUT = 60  # seconds without a byte from the daemon; what may be silent for longer sets its own
CONNECTIONS = 32  # more than the threads that work at once: the default of 10 would make them queue


def connect() -> DockerClient:
    """A client of the Docker daemon in use, with the daemon known to answer.

    In the order of the `docker` command: DOCKER_HOST (with DOCKER_TLS_VERIFY and DOCKER_CERT_PATH), the context named
    by DOCKER_CONTEXT, the current context of ~/.docker/config.json, the default socket.

    Raises EnvironmentProblem if there is no such context, or nobody answers there.
    """
    import docker
    from docker.errors import DockerException

    settings, chosen_by = _settings()
    address = str(settings.get("base_url", "the default socket"))
    try:
        return docker.DockerClient(
            version="auto",
            timeout=TIMEOUT,
            max_pool_size=CONNECTIONS,
            use_ssh_client=address.startswith("ssh://"),  # the person's own ssh, with its keys and settings
            **settings,
        )
    except (DockerException, OSError, ValueError) as error:  # what else than a DockerException depends on the transport
        raise EnvironmentProblem(_explain(error, address, chosen_by)) from error


def _settings() -> tuple[dict[str, Any], str]:
    """Arguments of the client that say where Docker is and how to trust it, and what decided that."""
    from docker.errors import ContextException, DockerException, TLSParameterError
    from docker.utils import kwargs_from_env

    if os.environ.get("DOCKER_HOST"):
        try:
            return dict(kwargs_from_env()), "DOCKER_HOST"
        except TLSParameterError as error:
            raise EnvironmentProblem(
                f"The TLS settings for DOCKER_HOST={os.environ['DOCKER_HOST']} do not work: {error}\n"
                "DOCKER_CERT_PATH must be a folder with ca.pem, cert.pem and key.pem."
            ) from error

    from docker.context import ContextAPI

    name = os.environ.get("DOCKER_CONTEXT")
    source = f"the Docker context {name!r} (from DOCKER_CONTEXT)" if name else "the current Docker context"
    try:
        context = ContextAPI.get_context(name)
    except (ContextException, DockerException, OSError, KeyError) as error:
        raise EnvironmentProblem(f"{source} cannot be read: {error}\nLook at: docker context ls") from error
    if context is None:
        raise EnvironmentProblem(
            f"There is no such Docker context: {source}.\n"
            "See which there are with: docker context ls\n"
            "Choose one with: docker context use NAME, or take DOCKER_CONTEXT out of the environment."
        )
    if context.name == "default" or not context.Host:
        return {}, ""
    settings: dict[str, Any] = {"base_url": context.Host}
    if context.TLSConfig:
        settings["tls"] = context.TLSConfig
    return settings, f"the Docker context {context.name!r}"


def _explain(error: BaseException, address: str, chosen_by: str) -> str:
    """What is wrong, where, and what to do."""
    where = f"Docker at {address} (chosen by {chosen_by})" if chosen_by else f"Docker at {address}"
    causes = list(_causes(error))
    if any(isinstance(cause, PermissionError) for cause in causes):
        return (
            f"{where} may not be used by this user: permission denied on its socket.\n"
            "Join the group `docker` and log in again: sudo usermod -aG docker $USER\n"
            "or use a rootless Docker: docker context use rootless"
        )
    if any(isinstance(cause, (FileNotFoundError, ConnectionRefusedError)) for cause in causes):
        remedy = "Start it: sudo systemctl start docker (on a desktop: start Docker Desktop)."
        if chosen_by == "DOCKER_HOST":
            remedy += "\nOr correct DOCKER_HOST, or take it out of the environment to use the default socket."
        return f"{where} does not answer: no daemon listens there.\n{remedy}"
    system_errors = [cause for cause in causes if isinstance(cause, OSError) and cause.errno is not None]
    reason = system_errors[-1] if system_errors else error
    return f"{where} cannot be reached: {reason}\nDoes this work? docker version"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what led to it, outermost first; requests hides the system's error in the arguments of its own."""
    seen: set[int] = set()
    waiting: list[BaseException] = [error]
    while waiting:
        current = waiting.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        inner = [current.__cause__, current.__context__, getattr(current, "reason", None), *current.args]
        waiting += [item for item in inner if isinstance(item, BaseException)]
