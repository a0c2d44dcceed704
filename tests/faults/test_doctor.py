"""What doctor says of the kernel is what faults find: tried for real, and told alike where it does not work."""

from __future__ import annotations

import json
import subprocess
import sys

from lab import Lab
from lab.runtime.images import image_reference


def test_doctor_has_tried_what_faults_need(lab: Lab) -> None:
    with lab.fault("blackhole", "tld"):
        done = subprocess.run(
            [sys.executable, "-m", "lab.cli", "doctor", "--json"], capture_output=True, text=True, check=False
        )
    found = {finding["subject"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert found["link faults"]["verdict"] == "ok", "a fault has just bitten"
    assert {found[subject]["verdict"] for subject in ("TCP faults", "taps")} <= {"ok", "note"}


def test_without_the_capability_each_trial_says_why_not(lab: Lab) -> None:
    """The same program in a container that may do nothing: what a kernel without support looks like."""
    lab.links.helper("tld")  # builds the image, where nothing has
    command = ["docker", "run", "--rm", "--network", "none", "--cap-drop", "ALL", image_reference("conditioner")]
    done = subprocess.run([*command, "python3", "-m", "agent.kernel"], capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)
    assert all(said.values()), said
    assert said["nfqueue"].startswith("NFQUEUE does not work in this kernel (Operation not permitted)")
