"""dnslab: a private Internet name system in containers.

    from lab import Lab

    with Lab.temporary("minimal") as lab:
        print(lab.query("www.example.com").data())

The public names are imported when first used: `import lab` alone costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab.errors import BadInput, EnvironmentProblem, LabError, NodeFailed, ProgramFailed

if TYPE_CHECKING:
    from lab.lab import Lab
    from lab.runtime.answer import Answer
    from lab.runtime.program import Program

__all__ = ["Answer", "BadInput", "EnvironmentProblem", "Lab", "LabError", "NodeFailed", "Program", "ProgramFailed"]

_WHERE = {"Answer": "lab.runtime.answer", "Lab": "lab.lab", "Program": "lab.runtime.program"}


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        from importlib import import_module

        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'lab' has no attribute {name!r}")
