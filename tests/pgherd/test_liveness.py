"""What a run holds for other runs to see: for as long as it lives, and not longer."""

from __future__ import annotations

from contextlib import closing

import pytest

from pgherd.postgres import locks, naming
from pgherd.run import liveness
from pgherd.run.liveness import Liveness
from tests.pgherd.support.waiting import wait_until


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    """Look more often than each five seconds, and not at once."""
    monkeypatch.setattr(liveness, "_CHECK_EVERY", 0.3)


@pytest.fixture
def held(connection, run_id):
    """Give a function that says whether somebody holds one of the locks of this test."""
    return lambda name: locks.is_held(connection, f"{name} of {run_id}")


@pytest.fixture
def lose(connection, run_id, held):
    """Give a function that ends the connection that holds a lock."""

    def end(name: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks"
                " WHERE locktype = 'advisory' AND classid::bigint = %s AND objid::bigint = %s",
                locks._halves(locks.naming.lock_key(f"{name} of {run_id}")),  # noqa: SLF001
            )
        wait_until(lambda: not held(name), 10)

    return end


def test_it_lasts_as_long_as_the_run(pg_server, run_id, held):
    """The locks are held until the end, and free afterwards."""
    with closing(Liveness(pg_server, f"id of {run_id}")) as ours:
        ours.hold(f"use of {run_id}")
        assert held("id")
        assert held("use")
    wait_until(lambda: not held("id") and not held("use"), 10)


def test_what_was_lost_is_taken_again(pg_server, run_id, held, lose, caplog):
    """Whoever ends the connection does not end the run: soon it holds all again, and says so."""
    with closing(Liveness(pg_server, f"id of {run_id}")) as ours:
        ours.hold(f"use of {run_id}")
        lose("id")
        wait_until(lambda: held("id") and held("use"), 10)
    assert "the connection that shows that this run is alive was lost" in caplog.text


def test_who_takes_one_more_finds_out_what_was_lost(pg_server, run_id, held, lose, monkeypatch):
    """With the next lock it takes those again that it had."""
    monkeypatch.setattr(liveness, "_CHECK_EVERY", 60)
    with closing(Liveness(pg_server, f"id of {run_id}")) as ours:
        lose("id")
        ours.hold(f"use of {run_id}")
        assert held("id")
        assert held("use")


def test_this_run_is_seen_to_live(pg_database, connection):
    """Its lock is held on whatever server it has, also one of its own, or our tests drop it."""
    assert locks.is_held(connection, naming.run_of(pg_database.name))
