"""What a running lab was made from, kept in Docker itself: any process can pick the lab up again."""

from __future__ import annotations

import base64
import zlib
from typing import TYPE_CHECKING

from lab.errors import BadInput
from lab.runtime import labels
from lab.topology.declaration import Declaration
from lab.topology.suggest import did_you_mean

if TYPE_CHECKING:
    from docker import APIClient

# A volume without files: the only Docker object that costs nothing, is made and removed at any time, and has labels.


def remember(api: APIClient, lab: str, declaration: Declaration) -> None:
    """Write down the declaration of a lab, replacing an earlier one."""
    packed = base64.b64encode(
        zlib.compress(declaration.model_dump_json(exclude_defaults=True, by_alias=True).encode(), 9)
    ).decode()
    forget(api, lab)
    api.create_volume(_name(lab), labels={labels.LAB: lab, labels.DECLARATION: packed})


def recall(api: APIClient, lab: str) -> Declaration | None:
    """The declaration a lab was brought up from; None when there is no such lab."""
    for volume in api.volumes(filters=labels.of_lab(lab))["Volumes"] or []:
        if packed := (volume.get("Labels") or {}).get(labels.DECLARATION):
            return Declaration.model_validate_json(zlib.decompress(base64.b64decode(packed)))
    return None


def forget(api: APIClient, lab: str) -> None:
    """Remove what was written down."""
    from docker.errors import NotFound

    try:
        api.remove_volume(_name(lab))
    except NotFound:
        return


def labs(api: APIClient) -> list[str]:
    """Every lab of which anything is left, whether up, down or half-made."""
    networks = [network["Labels"] for network in api.networks(filters=labels.of_any_lab())]
    volumes = [volume["Labels"] for volume in api.volumes(filters=labels.of_any_lab())["Volumes"] or []]
    containers = [entry["Labels"] for entry in api.containers(all=True, filters=labels.of_any_lab())]
    return sorted({marks[labels.LAB] for marks in (*networks, *volumes, *containers)})


def choose(api: APIClient, wanted: str | None) -> str:
    """The lab a person means: the one named, else the only one there is.

    Raises `BadInput` when there is none, or several and none was named.
    """
    known = labs(api)
    if wanted is not None:
        if wanted not in known:
            raise BadInput(f"lab {wanted} is not up{did_you_mean(wanted, known)} (up: {', '.join(known) or 'none'})")
        return wanted
    if not known:
        raise BadInput("no lab is up; `dnslab up` starts the textbook one")
    if len(known) > 1:
        raise BadInput(f"several labs are up ({', '.join(known)}); say which with --lab, or set DNSLAB_LAB")
    return known[0]


def _name(lab: str) -> str:
    return f"dnslab.{lab}.declaration"
