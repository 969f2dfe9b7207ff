"""Wait until another process, or the server, has done something."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def wait_until(condition: Callable[[], object], seconds: float = 30.0) -> float:
    """Wait until a condition is true, and return how many seconds that took.

    Raises:
        AssertionError: the condition is still false after this many seconds.
    """
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"the condition is still false after {seconds} s"
        time.sleep(0.005)
    return time.monotonic() - began
