"""Which lab a test gets: one that comes with dnslab, a lab file, or the text of one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lab import labs

if TYPE_CHECKING:
    from lab.topology.declaration import Declaration


@dataclass(frozen=True)
class Choice:
    """What a marker, an option or the configuration says, and where a relative path in it begins."""

    source: str
    folder: Path
    where: str  # it is said, for errors
    shared: bool | None = None  # None: as the session says

    @classmethod
    def of(cls, source: str, folder: Path, where: str, shared: bool | None = None) -> Choice:
        """What is said somewhere; equal for all who name a lab that comes with dnslab."""
        choice = cls(source, folder, where, shared)
        return choice if choice.is_text or choice.is_file else cls(source, Path(), "", shared)

    def sharing(self, shared: bool | None) -> Choice:
        """The same, shared or not."""
        return replace(self, shared=shared)

    def load(self) -> Declaration:
        """The declaration. Raises `BadInput`, with every problem of a lab file."""
        if self.is_text:
            return labs.read(self.source, self.where)
        return labs.load(str(self.folder / self.source) if self.is_file else self.source)

    @property
    def is_text(self) -> bool:
        """Whether it is a lab file's text."""
        return "\n" in self.source

    @property
    def is_file(self) -> bool:
        """Whether it is the path of a lab file."""
        return not self.is_text and (Path(self.source).suffix in (".yaml", ".yml") or "/" in self.source)

    @property
    def label(self) -> str:
        """A word for it, for the names of tests."""
        if self.is_text:
            lines = (line.split(":", 1) for line in self.source.splitlines() if line.startswith("lab:"))
            return next((words[1].strip() for words in lines), "text")
        return Path(self.source).stem if self.is_file else self.source
