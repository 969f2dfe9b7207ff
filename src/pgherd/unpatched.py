"""The real clock and real sockets, even while a test patches them.

pgherd's fixtures run while a test's own patches may be in force: a frozen clock, a `time.sleep`
that raises, pytest-socket instead of `socket.socket`. So this module keeps its own
references to the clock, and uses `socket.SocketType`, which pytest-socket does not replace.
"""

from __future__ import annotations

import socket
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Clock:
    """The functions of the real clock.

    They are attributes of a class, because freezegun also replaces what modules have imported from
    `time`: `freeze_time.start` in its api.py.
    """

    monotonic = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)


def now() -> float:
    """Return the time in seconds of a clock that only goes forward."""
    return _Clock.monotonic()


def sleep(seconds: float) -> None:
    """Wait this many seconds."""
    _Clock.sleep(seconds)


def attempts(seconds: float, every: float) -> Iterator[None]:
    """Yield at once, then again after each pause, until the time has passed.

    Args:
        seconds: how long to go on, in seconds.
        every: how long each pause is, in seconds.

    Example:
        for _ in attempts(2.0, every=0.01):
            if succeeds():
                break
    """
    until = now() + seconds
    yield
    while now() < until:
        sleep(every)
        yield


@contextmanager
def opened_socket(
    family: int = socket.AF_INET, fileno: int | None = None
) -> Iterator[socket.SocketType]:
    """Open a blocking stream socket; close it at the end.

    `socket.SocketType` is the base class of `socket.socket`, which pytest-socket replaces.

    Args:
        family: the address family, unless `fileno` is given.
        fileno: the descriptor of a socket to use instead of a new one.
    """
    opened = (
        socket.SocketType(family, socket.SOCK_STREAM)
        if fileno is None
        else socket.SocketType(fileno=fileno)
    )
    with closing(opened):
        opened.setblocking(True)  # noqa: FBT003 (whatever socket.setdefaulttimeout says)
        yield opened
