"""The same thing to many containers at once, and Ctrl-C at the right moment."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

WORKERS = 8  # more gain nothing: Docker serialises what is left


def each(action: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """`action` for every item on as many threads as help; results in order.

    On the first error, or Ctrl-C, what has not begun is dropped, what has begun is waited for, and it is raised: when
    this returns nothing goes on behind the caller's back.
    """
    items = list(items)
    if not items:
        return []
    pool = ThreadPoolExecutor(min(WORKERS, len(items)), thread_name_prefix="dnslab")
    try:
        return list(pool.map(action, items))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C and SIGTERM wait until the block is done: for cleaning up, which must not be left half done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []
    before = {
        number: signal.signal(number, lambda signum, _frame: received.append(signum))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if received:
        signal.raise_signal(received[0])
