"""The size of a server that a run starts: how many workers there are is known, and is enough."""

from __future__ import annotations

import pytest

from pgherd.servers import tuning

TELL_THE_WORKERS = """
import pathlib
from pgherd import plugin

def pytest_sessionstart(session):
    stash = session.config.stash
    if owner := stash[plugin._process].owner:
        pathlib.Path("workers").write_text(str(owner.coordinator._workers))
"""


@pytest.mark.parametrize(
    ("how", "workers"),
    [
        ("-pno:xdist", 1),
        ("-n0", 1),
        ("-n3", 3),
        ("-n4 --maxprocesses=2", 2),
        ("--dist=load --tx=2*popen --tx=popen//id=one", 3),
        ("--dist=no --tx=2*popen", 1),
    ],
)
def test_owner_knows_how_many_workers_there_are(pytester, how: str, workers: int):
    """Whichever option of xdist says it, the owner counts the processes that will run tests."""
    pytester.makeconftest(TELL_THE_WORKERS)
    pytester.makepyfile("def test_one(): pass")
    pytester.runpytest_subprocess(*how.split()).assert_outcomes(passed=1)
    assert int((pytester.path / "workers").read_text()) == workers


@pytest.mark.parametrize("workers", [1, 16, 64])
def test_every_worker_may_open_a_pool_and_drop_a_big_schema(workers: int):
    """Twenty connections and four of ours for each, 6004 locks for each, and some to spare."""
    sized = tuning.settings(workers)
    connections = int(sized["max_connections"])
    assert connections >= 50 + 24 * workers
    assert connections * int(sized["max_locks_per_transaction"]) >= 6004 * workers
