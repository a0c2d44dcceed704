"""The entry point: how every run of dnslab begins and ends. Light: an early Ctrl-C must find it ready."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

INTERRUPTED = 130


def main() -> None:
    """Run the command line and leave with its exit code."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by who started us: `>&-`
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - to the end
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code; errors are printed for people, and as JSON if asked."""
    try:
        signal.signal(signal.SIGTERM, _terminate)
        code = _run(arguments)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:  # the reader of our output, `head` for one, has had enough
        _discard_output()
        return 0
    return _ended(code, "interrupted") if code == INTERRUPTED else code


def _run(arguments: list[str]) -> int:
    import typer

    from lab.cli.app import app
    from lab.cli.output import Wanted

    Wanted.reset()
    try:
        code = app(arguments, prog_name="dnslab", standalone_mode=False)
        sys.stdout.flush()
    except typer.Abort:  # what older Typers make of Ctrl-C; newer ones return 130
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - the last place where an error can become a sentence
        return _failed(error, arguments)
    return code if isinstance(code, int) else 0


def _failed(error: Exception, arguments: list[str]) -> int:
    from lab.cli.output import Wanted
    from lab.errors import BadInput, LabError

    if Wanted.debug:
        import traceback

        traceback.print_exception(error)
    if isinstance(error, LabError):
        return _ended(
            error.exit_code, str(error), problems=getattr(error, "problems", ()), what=getattr(error, "what", "")
        )
    if hasattr(error, "format_message"):  # a usage error, of Typer or of the Click inside it
        Wanted.json = Wanted.json or "--json" in arguments  # it may have been raised before the options were read
        context = getattr(error, "ctx", None)
        verb = context.command_path if context else "dnslab"
        text = error.format_message()
        return _ended(BadInput.exit_code, f"{text}{'' if text.endswith(('.', '?')) else '.'} See `{verb} --help`.")
    if isinstance(error, OSError):  # a full disk, a lost connection: nothing that a trace would explain
        return _ended(LabError.exit_code, str(error))
    fault = "This is a fault of dnslab. `dnslab --debug ...` shows where; please report it."
    return _ended(LabError.exit_code, f"{type(error).__name__}: {error}\n{fault}")


def _ended(code: int, text: str, problems: Any = (), what: str = "") -> int:
    from lab.cli.output import Wanted, complain

    # What is wrong with a file is told as compilers do, `file:line: what`, each at the start of a line.
    count = "one problem" if len(problems) == 1 else f"{len(problems)} problems"
    complain(f"{count} in the {what}\n{text}" if problems else text)
    if Wanted.json:
        data: dict[str, Any] = {"error": text, "exit_code": code}
        if problems:
            data["problems"] = [{"line": line, "place": found.place, "text": found.text} for line, found in problems]
        try:
            sys.stdout.write(json.dumps(data, indent=2) + "\n")
            sys.stdout.flush()
        except BrokenPipeError:
            _discard_output()
    return code


def _discard_output() -> None:
    """Have the interpreter flush what is left of our output into nothing."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    """SIGTERM ends as Ctrl-C does: with everything cleaned up."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
