"""Makes docs/trace.png: a cold resolution in the textbook lab, with the distances of the textbook, in a real browser.

    python -m tests.pictures [PNG]

Needs Docker, and Chromium on the PATH (Debian: chromium). Nothing else depends on it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from lab import Lab
from lab.observe.drawing.html import html
from lab.observe.drawing.sequence import sequence

OUT = Path(__file__).parents[2] / "docs" / "trace.png"
# Further down the tree is further away.
DELAYS: Mapping[str, str] = {"root": "30ms", "tld": "50ms", "authority": "80ms"}
AROUND, HEIGHT = 140, 930  # pixels around the diagram, and of the window; the picture has twice as many
TRIES = 7
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main() -> None:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else OUT
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit(f"no browser on the PATH: one of {', '.join(BROWSERS)}")
    with Lab.temporary("textbook", name=f"picture-{os.getpid()}") as lab, ExitStack() as faults:
        servers = ("root-a", "root-b", "root-c", "gtld-1", "gtld-2", "example-1", "example-2")
        for name in servers:
            delay = DELAYS[lab.topology.nodes[name].role.value]
            faults.enter_context(lab.fault("latency", name, delay=delay))
        with lab.observe("host", "resolver-1"):  # the taps stay for all of them
            told = [lab.trace("www.example.com", at="resolver-1", cold=True) for _ in range(TRIES)]
    # A busy machine adds to times and never takes from them: the quickest shows the distances best.
    story = min((story for story in told if story.textbook == 8), key=lambda story: story.latency)
    print(story.text())
    with tempfile.TemporaryDirectory(prefix="dnslab-picture-") as folder:
        page = Path(folder) / "trace.html"
        page.write_text(html([story]), encoding="utf-8")
        shoot(browser, page, target, sequence(story).width + AROUND)
    print(f"\nWritten: {target}")


def shoot(browser: str, page: Path, target: Path, width: int) -> None:
    """A picture of the page as a person sees it, at twice the density."""
    subprocess.run(
        [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--force-device-scale-factor=2",
            f"--window-size={width},{HEIGHT}",
            f"--screenshot={target.absolute()}",
            page.as_uri(),
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )


if __name__ == "__main__":
    main()
