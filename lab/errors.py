"""What can go wrong, as types a caller can tell apart; each message says what is wrong, where, and what to do."""

from __future__ import annotations


class LabError(Exception):
    """Base of every error that dnslab raises on purpose.

    `exit_code` is what the command line ends with: 3 for the environment, 4 for bad input.
    """

    exit_code = 3


class EnvironmentProblem(LabError):
    """Something this machine lacks or refuses: no Docker, no image, no free subnet."""


class BadInput(LabError):
    """What was asked cannot be: an unknown name, a malformed declaration, a value out of range."""

    exit_code = 4


class NodeFailed(EnvironmentProblem):
    """A node did not become ready; the message carries its last log lines."""


class ProgramFailed(EnvironmentProblem):
    """A program that joined the lab ended, or did not come to what was waited for; the message has its last lines."""


class NoEffect(EnvironmentProblem):
    """A fault was injected and measured, and did not bite; it has been healed."""


class NotSeen(LabError):
    """A message that was waited for did not come; the text says what was seen instead."""
