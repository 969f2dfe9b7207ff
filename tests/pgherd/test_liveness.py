"""The locks that show other runs that a run is alive."""

from __future__ import annotations

from contextlib import closing

import pytest

from pgherd.postgres import locks, naming
from pgherd.run import liveness
from pgherd.run.liveness import Liveness
from tests.pgherd.support.waiting import wait_until


@pytest.fixture(autouse=True)
def _short_interval(monkeypatch):
    """Check the connection every 0.3 seconds instead of every five."""
    monkeypatch.setattr(liveness, "_CHECK_EVERY", 0.3)


@pytest.fixture
def is_held(connection, run_id):
    """Return a function that checks whether one of this test's locks is held."""
    return lambda name: locks.is_held(connection, f"{name} of {run_id}")


@pytest.fixture
def end_connection_of(connection, run_id, is_held):
    """Return a function that ends the connection that holds a lock."""

    def end(name: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks"
                " WHERE locktype = 'advisory' AND classid::bigint = %s AND objid::bigint = %s",
                locks._halves(locks.naming.lock_key(f"{name} of {run_id}")),  # noqa: SLF001
            )
        wait_until(lambda: not is_held(name), 10)

    return end


def test_locks_are_held_until_the_run_ends(pg_server, run_id, is_held):
    """The run holds its locks until `close`, and they are free afterwards."""
    with closing(Liveness(pg_server, f"id of {run_id}")) as run_locks:
        run_locks.hold(f"use of {run_id}")
        assert is_held("id")
        assert is_held("use")
    wait_until(lambda: not is_held("id") and not is_held("use"), 10)


def test_lost_locks_are_taken_again(pg_server, run_id, is_held, end_connection_of, caplog):
    """If the connection is lost, the run takes all locks again, and logs a warning."""
    with closing(Liveness(pg_server, f"id of {run_id}")) as run_locks:
        run_locks.hold(f"use of {run_id}")
        end_connection_of("id")
        wait_until(lambda: is_held("id") and is_held("use"), 10)
    assert "lost the connection that holds the locks of this run" in caplog.text


def test_next_lock_brings_back_the_lost_ones(
    pg_server, run_id, is_held, end_connection_of, monkeypatch
):
    """If the connection is lost, `hold` takes the new lock and all earlier ones."""
    monkeypatch.setattr(liveness, "_CHECK_EVERY", 60)
    with closing(Liveness(pg_server, f"id of {run_id}")) as run_locks:
        end_connection_of("id")
        run_locks.hold(f"use of {run_id}")
        assert is_held("id")
        assert is_held("use")


def test_outer_run_holds_its_lock(pg_database, connection):
    """The outer run holds its lock. Without it, an inner run would drop its databases."""
    assert locks.is_held(connection, naming.run_of(pg_database.name))
