"""Random histories of tests: after each reset, the clone's dump equals the template's.

`make soak` runs many more histories. To run one part again, set its seed, which is in the name of
the test: `PGHERD_SEED=… PGHERD_HISTORIES=50 pytest tests/pgherd/test_histories.py`.
"""

from __future__ import annotations

import os

import pytest

from tests.pgherd.support import histories

pytestmark = pytest.mark.slow

HISTORIES_PER_TEST = 50
HISTORIES = int(os.environ.get("PGHERD_HISTORIES", "200"))
FIRST_SEED = int(os.environ.get("PGHERD_SEED", "1"))
SEEDS = range(FIRST_SEED, FIRST_SEED + max(HISTORIES // HISTORIES_PER_TEST, 1))


@pytest.mark.parametrize("seed", SEEDS)
def test_no_history_leaves_a_difference(subject: histories.Subject, seed: int):
    """After every test of a random history, the clone equals the template."""
    histories.run(subject, min(HISTORIES_PER_TEST, HISTORIES), seed)
