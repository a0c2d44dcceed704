"""A page taken apart, to be looked at without a browser; and one being looked at, where there is a browser."""

from __future__ import annotations

import json
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

VOID = {"meta", "link", "br", "hr", "img", "input"}
LOADING = {"src", "srcset", "poster", "action", "data"}


class Page(HTMLParser):
    """What a page has in it; malformed nesting is an error."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.ids: list[str] = []
        self.references: set[str] = set()
        self.loads: list[str] = []
        self.scripts: list[tuple[str, str]] = []  # type, text
        self.styles: list[str] = []
        self.words: list[str] = []
        self.marks: dict[str, int] = {}  # svg class -> marks in groups of points
        self._open: list[tuple[str, dict[str, str]]] = []
        self.feed(text)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    @property
    def points(self) -> list[list[Any]]:
        return [point for kind, text in self.scripts if kind == "application/json" for point in json.loads(text)]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._see(tag, given := {name: value or "" for name, value in attrs})
        if tag not in VOID:
            self._open.append((tag, given))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._see(tag, {name: value or "" for name, value in attrs})

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> without a beginning"
        assert self._open[-1][0] == tag, f"</{tag}> at line {self.getpos()[0]} ends {self._open[-1][0]}"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        tag, given = self._open[-1] if self._open else ("", {})
        if tag == "script":
            self.scripts.append((given.get("type", ""), data))
        elif tag == "style":
            self.styles.append(data)
        else:
            self.words.append(data)

    def _see(self, tag: str, given: dict[str, str]) -> None:
        if "id" in given:
            self.ids.append(given["id"])
        for name, value in given.items():
            assert not name.startswith("on"), f"{name}={value} would run"
            if name == "href" and value.startswith("#"):
                self.references.add(value[1:])
            elif name in LOADING or (name == "href" and not value.startswith("data:")):
                self.loads.append(f"{tag} {name}={value}")
            if "url(" in value:
                inside = value.split("url(")[1].split(")")[0]
                self.references.add(inside.removeprefix("#"))
        if tag == "use" and any(one.get("id", "").startswith("points-") for _, one in self._open):
            kind = next(one.get("class", "") for name, one in self._open if name == "svg")
            self.marks[kind] = self.marks.get(kind, 0) + 1


def check(text: str) -> Page:
    """A page that is well formed, loads nothing, and refers to nothing that is not there."""
    page = Page(text)
    assert page.loads == []
    assert not [style for style in page.styles if "@import" in style or "url(" in style]
    assert len(page.ids) == len(set(page.ids)), "an id is there twice"
    assert page.references <= set(page.ids), page.references - set(page.ids)
    assert page.marks.get("wide", 0) == page.marks.get("narrow", 0) == len(page.points)
    return page


_LEAST_WINDOW = 500  # CSS pixels, of Chromium


def browser() -> str | None:
    """The Chromium of this machine; Debian: apt-get install chromium."""
    return next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )


def shoot(file: Path, picture: Path, *, width: int, height: int, dark: bool = False) -> str:
    """Take a picture of a page as a browser shows it, and return what its console said."""
    program = browser()
    assert program is not None
    if width < _LEAST_WINDOW:  # no window is as narrow as a phone, but a frame in it can be
        frame = picture.with_suffix(".html")
        frame.write_text(
            f'<meta name="color-scheme" content="light dark"><style>body {{ margin: 0 }}</style><iframe src='
            f'"{file.absolute().as_uri()}" style="width: {width}px; height: {height}px; border: 0"></iframe>'
        )
        file = frame
    done = subprocess.run(
        [
            program, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr",
            "--log-level=0", "--virtual-time-budget=2000", f"--window-size={width},{height}",
            f"--user-data-dir={picture.parent / 'profile'}", f"--screenshot={picture}",
            *(["--blink-settings=preferredColorScheme=0"] if dark else ["--blink-settings=preferredColorScheme=1"]),
            file.absolute().as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
