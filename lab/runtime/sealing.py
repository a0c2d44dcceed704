"""Closing the last door between a lab and the machine: the bridge's own IPv6 addresses. See `lab.agent.seal`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.agent import seal as sealer
from lab.runtime import labels
from lab.runtime.events import Event, Report

if TYPE_CHECKING:
    from docker import APIClient

_PATIENCE = 20  # seconds


def seal(api: APIClient, lab: str, image: str, report: Report) -> None:
    """Take the machine's IPv6 addresses off the bridge of a lab's network; `image` is that of hosts.

    Done in place where Docker runs on this machine and we may; else in a container on the network of Docker's machine.
    A Docker that does not let a container do that is no reason for not having a lab: it is reported.
    """
    [network] = api.networks(filters=labels.of_lab(lab))
    bridge = f"br-{network['Id'][:12]}"
    try:
        sealer.seal(bridge)
    except OSError:  # no such interface here, or no right to change it
        seal_from_container(api, lab, bridge, image, report)


def seal_from_container(api: APIClient, lab: str, bridge: str, image: str, report: Report) -> None:
    """Do it with the one capability it takes, in a container that lives for a moment."""
    from docker.errors import APIError
    from requests import RequestException

    container = None
    try:
        container = api.create_container(
            image,
            ["python3", "-m", "agent.seal", bridge],
            user="0:0",
            labels={labels.LAB: lab},  # so that `down` takes it along, should we die before the end
            host_config=api.create_host_config(
                network_mode="host",
                cap_drop=["ALL"],
                cap_add=["NET_ADMIN"],
                security_opt=["no-new-privileges"],
                read_only=True,
            ),
        )["Id"]
        api.start(container)
        if api.wait(container, timeout=_PATIENCE)["StatusCode"] != 0:
            _warn(lab, api.logs(container).decode(errors="replace"), report)
    except (APIError, RequestException) as error:
        _warn(lab, str(getattr(error, "explanation", None) or error), report)
    finally:
        if container is not None:
            api.remove_container(container, force=True)


def _warn(lab: str, reason: str, report: Report) -> None:
    report(Event(lab, f"services of this machine on IPv6 stay within reach of the lab: {reason.strip()}"))
