"""Waiting for something to become true: for programs that are told of a change, and take their time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import tenacity

T = TypeVar("T")


def eventually(check: Callable[[], T], *, within: float = 5.0, every: float = 0.05) -> T:
    """Call `check` until it raises no `AssertionError` and does not return False; what it returned.

    `within` and `every` in seconds. Raises `AssertionError` with that of the last try, its story included.
    """
    __tracebackhide__ = True
    tries = 0

    def once() -> T:
        nonlocal tries
        tries += 1
        result = check()
        if result is False:
            raise AssertionError("it returned False")
        return result

    trying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(AssertionError),
        wait=tenacity.wait_fixed(every),
        stop=tenacity.stop_after_delay(within),
        reraise=True,
    )
    try:
        return trying(once)
    except AssertionError as error:
        raise AssertionError(f"not within {within:g} s, in {tries} tries; the last:\n{error}") from None
