"""Taking a lab down, all of it, whatever state it is in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tenacity

from lab.errors import EnvironmentProblem
from lab.runtime import containers, labels
from lab.runtime.parallel import each

if TYPE_CHECKING:
    from docker import APIClient

_PATIENCE = 10.0  # seconds for Docker to let go of endpoints of containers that are gone


def lower(api: APIClient, lab: str) -> int:
    """Remove every container, network and volume of `lab`; how many containers there were. Nothing left is fine.

    Raises `EnvironmentProblem` when Docker does not let go of the network.
    """
    from docker.errors import APIError, NotFound

    found = [entry["Id"] for entry in api.containers(all=True, filters=labels.of_lab(lab))]
    containers.remove(api, found)

    def remove_network(network: str) -> None:
        try:
            api.remove_network(network)
        except NotFound:
            return

    patiently = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(APIError),
        wait=tenacity.wait_fixed(0.05),
        stop=tenacity.stop_after_delay(_PATIENCE),
        reraise=True,
    )
    try:
        for network in api.networks(filters=labels.of_lab(lab)):
            patiently(remove_network, network["Id"])
    except APIError as error:
        raise EnvironmentProblem(
            f"Docker keeps the network of lab {lab}, whose containers are gone: {error.explanation}\n"
            "If `docker network inspect` shows no container on it either, Docker has miscounted: restart Docker, then"
            f" `dnslab down {lab}` once more. `dnslab up` uses the network as it is."
        ) from None

    def remove_volume(volume: str) -> None:
        try:
            api.remove_volume(volume)
        except NotFound:
            return

    each(remove_volume, [volume["Name"] for volume in api.volumes(filters=labels.of_lab(lab))["Volumes"] or []])
    return len(found)
