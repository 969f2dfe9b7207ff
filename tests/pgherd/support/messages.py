"""The message of a run that cannot start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from _pytest.pytester import RunResult

TWO_TESTS = """
def test_one(pg):
    pass

def test_two(pg):
    pass
"""
"""A suite for the inner run: two tests that need a database."""


def only_message(result: RunResult) -> str:
    """Return what the run printed, after checks that every message has to pass.

    The summary is left out. In it, pytest repeats the beginning of each message, or the whole
    message if the variable CI is set.
    """
    text = result.stdout.str().partition("short test summary info")[0]
    assert result.ret == pytest.ExitCode.USAGE_ERROR, text
    assert "Traceback" not in text
    assert "src/pgherd" not in text
    assert result.stderr.str() == ""
    return text
