"""Advisory locks: each has a name, and one holder on the whole server unless it is shared."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pgherd.postgres import connections, locks
from tests.pgherd.support.waiting import wait_until

if TYPE_CHECKING:
    from pgherd import Address


@pytest.fixture
def lock(run_id: str) -> str:
    """Return the name of a lock that no other test uses."""
    return f"{run_id} lock"


def test_held_lock_is_seen_from_every_database(pg_server: Address, run_id: str, lock: str):
    """A connection to another database sees that this lock is held, and that another is not."""
    with closing(pg_server.database("template1").connect()) as other:
        with connections.maintenance(pg_server) as holder, locks.exclusive(holder, lock):
            assert locks.is_held(other, lock)
            assert not locks.is_held(other, f"{run_id} other lock")
        assert not locks.is_held(other, lock)


def test_exclusive_lock_has_one_holder_on_the_whole_server(pg_server: Address, lock: str):
    """Six threads in two databases take one lock in turn, and every thread gets it."""
    inside, most, turns = [], [], []

    def take(maintenance: str) -> None:
        server = replace(pg_server, maintenance=maintenance)
        for _ in range(3):
            with connections.maintenance(server) as holder, locks.exclusive(holder, lock):
                inside.append(maintenance)
                time.sleep(0.01)
                most.append(len(inside))
                turns.append(inside.pop())

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(take, ["template1", "postgres"] * 3)) == [None] * 6
    assert max(most) == 1
    assert len(turns) == 18


def test_shared_lock_is_held_until_its_last_holder_ends(
    pg_server: Address, connection, run_id: str
):
    """Connections in two databases share a lock; it is free when both have ended."""
    with closing(pg_server.database("template1").connect()) as other:
        with connections.maintenance(pg_server) as holder:
            for each in (holder, holder, other):
                locks.take_shared(each, f"{run_id} use")
        assert locks.is_held(connection, f"{run_id} use")
    wait_until(lambda: not locks.is_held(connection, f"{run_id} use"), 5)


@pytest.mark.parametrize("sign", ["above zero", "below zero"])
def test_held_lock_is_seen_whatever_the_sign_of_its_key(pg_server: Address, connection, sign: str):
    """A key is a signed number; a held lock is seen whether its key is above zero or below."""
    names = {"above zero": "0123abcd", "below zero": "a"}
    with connections.maintenance(pg_server) as holder, locks.exclusive(holder, names[sign]):
        assert locks.is_held(connection, names[sign])


def test_second_holder_waits_for_the_first(pg_server: Address, connection, lock: str):
    """A thread that wants a held lock waits until the holder frees it."""
    order = []

    def wait() -> None:
        with connections.maintenance(pg_server) as waiting, locks.exclusive(waiting, lock):
            order.append("second")

    thread = threading.Thread(target=wait)
    with connections.maintenance(pg_server) as holder, locks.exclusive(holder, lock):
        thread.start()
        until = time.monotonic() + 5
        waiting = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        with connection.cursor() as cursor:
            while time.monotonic() < until and not order:
                cursor.execute(waiting)
                if cursor.fetchall():
                    break
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]


def test_lock_is_free_after_its_connection_is_closed(pg_server: Address, connection, lock: str):
    """If the holder's connection is closed, the lock is free and the holder raises no error."""
    with connections.maintenance(pg_server) as holder, locks.exclusive(holder, lock):
        holder.close()
        wait_until(lambda: not locks.is_held(connection, lock), 5)


def test_lock_is_free_after_an_error(pg_server: Address, connection, lock: str):
    """An exception in the block frees the lock."""
    with connections.maintenance(pg_server) as holder:
        with pytest.raises(ZeroDivisionError), locks.exclusive(holder, lock):
            raise ZeroDivisionError
        assert not locks.is_held(connection, lock)
