"""The entry point: the verbs put together, and how every error ends."""

from __future__ import annotations

import json
import signal
import sys
import traceback
from types import FrameType

import typer

from lab.cli import asking, faults, life, nodes, repair, time
from lab.cli.options import Debug
from lab.cli.output import Wanted, complain
from lab.errors import BadInput, LabError

INTERRUPTED = 130

app = typer.Typer(
    name="dnslab",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="A private Internet name system in containers: to look at, to break, to test against.",
    epilog="Exit codes: 0 as asked, 1 the DNS said no, 3 environment, 4 bad input, 130 interrupted.",
)


@app.callback()
def _options(debug: Debug = False) -> None:
    """Options of every verb."""


for group in (life, asking, nodes, faults, time, repair):
    group.register(app)


def main() -> None:
    """Run the command line and leave with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code; errors are printed for people."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = app(arguments, prog_name="dnslab", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output, `head` for one, has had enough
        sys.stdout = None  # nothing is flushed into it at the end
        return 0
    except Exception as error:  # noqa: BLE001 - the last place where an error can become a sentence
        return _ended(error)
    return code if isinstance(code, int) else 0


def _ended(error: Exception) -> int:
    if Wanted.debug:
        traceback.print_exception(error)
    if isinstance(error, LabError):
        text, code = str(error), error.exit_code
    elif hasattr(error, "format_message"):  # a usage error, of Typer or of the Click inside it
        text, code = f"{error.format_message()} See `dnslab --help`.", BadInput.exit_code
    else:
        text = f"{type(error).__name__}: {error}\nThis is a fault of dnslab; `--debug` shows where, please report it."
        code = LabError.exit_code
    complain(text)
    if Wanted.json:
        sys.stdout.write(json.dumps({"error": text, "exit_code": code}) + "\n")
    return code


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    """SIGTERM ends as Ctrl-C does: with everything cleaned up."""
    raise KeyboardInterrupt
