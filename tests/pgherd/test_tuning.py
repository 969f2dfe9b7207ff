"""The size of a server: the owner knows the number of workers and starts a server for them."""

from __future__ import annotations

import pytest

from pgherd.servers import tuning

WRITE_WORKERS = """
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
def test_owner_knows_the_number_of_workers(pytester, monkeypatch, how: str, workers: int):
    """The owner counts the processes that run tests, by whichever option of pytest-xdist."""
    pytester.makeconftest(WRITE_WORKERS)
    pytester.makepyfile("def test_one(): pass")
    pytester.runpytest_subprocess(*how.split()).assert_outcomes(passed=1)
    assert int((pytester.path / "workers").read_text()) == workers


@pytest.mark.parametrize("workers", [1, 16, 64])
def test_each_worker_may_open_a_pool_and_drop_a_large_schema(workers: int):
    """The server has 24 connections and 6004 locks for each worker, and some to spare.

    Of the connections, 20 are the project's and 4 are pgherd's.
    """
    settings = tuning.settings(workers)
    connections = int(settings["max_connections"])
    assert connections >= 50 + 24 * workers
    assert connections * int(settings["max_locks_per_transaction"]) >= 6004 * workers
