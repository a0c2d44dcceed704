"""The page in a real browser: it shows what it should, says nothing on the console, and fits a phone.

The pictures stay in the folder that `DNSLAB_SCREENSHOTS` names, as an artefact to be looked at.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lab.report import render
from tests.fakerun import fake_run
from tests.unit.reporttools import browser, shoot

pytestmark = pytest.mark.skipif(
    browser() is None,
    reason="NO BROWSER, so nobody has looked at the report: sudo apt-get install chromium (CI must have it)",
)

SHOWN = """
<script>
addEventListener("load", () => {
  const box = (one) => one.getBoundingClientRect();
  const drawn = [...document.querySelectorAll("svg")].filter((svg) => box(svg).width > 0);
  const target = document.querySelector('figure[id$="-latency"]');
  const svg = [...target.querySelectorAll("svg")].find((one) => box(one).width > 0);
  svg.scrollIntoView({behavior: "instant", block: "center"});
  const mark = svg.querySelector('g[id^="points-"] use');
  const at = new DOMPoint(+mark.getAttribute("x"), +mark.getAttribute("y")).matrixTransform(svg.getScreenCTM());
  svg.dispatchEvent(new PointerEvent("pointermove", {clientX: at.x, clientY: at.y}));
  console.log("seen", JSON.stringify({
    drawn: drawn.length, figures: document.querySelectorAll("figure").length,
    wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    tip: document.getElementById("tip").textContent,
    paper: getComputedStyle(document.body).backgroundColor,
    frame: Math.max(...drawn.map((one) => box(one).right)) <= document.documentElement.clientWidth,
  }));
  svg.dispatchEvent(new PointerEvent("pointerleave"));
  scrollTo({top: 0, behavior: "instant"});
});
</script>
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    file = folder / "report.html"
    file.write_text(render(fake_run(folder), "html").replace("<body>", "<body>" + SHOWN), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("name", "width", "dark", "paper"),
    [
        ("desktop-light", 1200, False, "rgb(255, 255, 255)"),
        ("desktop-dark", 1200, True, "rgb(18, 22, 28)"),
        ("phone-light", 390, False, "rgb(255, 255, 255)"),
        ("phone-dark", 390, True, "rgb(18, 22, 28)"),
    ],
)
def test_a_browser_shows_the_page(page: Path, tmp_path: Path, name: str, width: int, dark: bool, paper: str) -> None:
    folder = Path(os.environ.get("DNSLAB_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    console = shoot(page, folder / f"report-{name}.png", width=width, height=3600, dark=dark)
    assert console.count("CONSOLE") == 1, console  # the line that is asked for, and no error beside it
    assert (folder / f"report-{name}.png").stat().st_size > 50_000
    said = console[console.index("seen") :]
    assert '"drawn":6,"figures":6,"wide":0' in said, said  # each plot once, in the one width; nothing sticks out
    assert '"frame":true' in said, said
    assert f'"paper":"{paper}"' in said, said
    assert "www.example.com. A" in said or ".example.org. A" in said, said  # pointing at a mark tells the look-up
    assert "NOERROR from resolver-1" in said, said
