"""Whatever was done to a clone, its dump after the reset is the template's.

`make soak` runs many more histories. A part is named by its seed, and comes out the same again:
`PGHERD_SEED=… PGHERD_HISTORIES=50 pytest tests/pgherd/test_histories.py`.
"""

from __future__ import annotations

import os

import pytest

from tests.pgherd.support import histories

A_PART = 50
NUMBER = int(os.environ.get("PGHERD_HISTORIES", "200"))
FIRST = int(os.environ.get("PGHERD_SEED", "1"))


@pytest.mark.parametrize("seed", range(FIRST, FIRST + max(NUMBER // A_PART, 1)))
def test_histories(subject: histories.Subject, seed: int):
    """No history leaves a trace."""
    histories.run(subject, min(A_PART, NUMBER), seed)
