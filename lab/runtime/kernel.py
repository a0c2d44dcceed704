"""What the kernel that Docker runs on can do for faults and taps, tried for real in a container of its own."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from lab.errors import EnvironmentProblem
from lab.runtime import labels
from lab.runtime.conditioner import CONDITIONER
from lab.runtime.images import image_reference
from lab.runtime.owner import owner_mark

if TYPE_CHECKING:
    from docker import APIClient

_PATIENCE = 20  # seconds; on an idle machine it takes half a second
_LAB = "doctor"  # whose the container is, should we die before it is removed: `dnslab gc` finds it


def examine(api: APIClient) -> dict[str, str] | None:
    """Why each of `nfqueue`, `redirect` and `packet` does not work, empty for what does; None without the image.

    Nothing is built for it. Raises `EnvironmentProblem` when Docker does not let the container have its say.
    """
    from docker.errors import APIError, ImageNotFound
    from requests import RequestException

    container = None
    try:
        container = api.create_container(
            image_reference(CONDITIONER.image),
            ["python3", "-m", "agent.kernel"],
            user="0:0",
            labels={labels.LAB: f"{_LAB}-{os.getpid()}", labels.OWNER: owner_mark()},
            host_config=api.create_host_config(
                network_mode="none",
                cap_drop=["ALL"],
                cap_add=["NET_ADMIN", "NET_RAW"],
                security_opt=["no-new-privileges"],
                read_only=True,
                tmpfs={"/run": "size=1m"},
                pids_limit=64,
            ),
        )["Id"]
        api.start(container)
        status = api.wait(container, timeout=_PATIENCE)["StatusCode"]
        said = api.logs(container, stdout=True, stderr=status != 0).decode(errors="replace")
        if status != 0:
            raise EnvironmentProblem(said.strip().rpartition("\n")[2] or f"it ended with status {status}")
        found: dict[str, str] = json.loads(said)
    except ImageNotFound:
        return None
    except (APIError, RequestException) as error:
        raise EnvironmentProblem(str(getattr(error, "explanation", None) or error)) from None
    finally:
        if container is not None:
            api.remove_container(container, force=True)
    return found
