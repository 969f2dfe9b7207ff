"""The SQL that makes, freezes, lists and drops databases, and that locks names."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg2
import pytest

from pgherd.postgres import connections, databases, locks
from tests.pgherd.support.waiting import wait_until

if TYPE_CHECKING:
    from pgherd import Address

ODD = "ü \"'%s; --"


def catalog(connection, name: str) -> tuple | None:
    """Read what the server says about a database."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT datistemplate, datallowconn FROM pg_database WHERE datname = %s", [name]
        )
        return cursor.fetchone()


def test_connected_lends_the_maintenance_database(pg_server: Address):
    """The connection leads to the maintenance database, commits each statement, and is closed."""
    with connections.maintenance(pg_server) as connection:
        assert connection.info.dbname == pg_server.maintenance
        assert connection.autocommit
    assert connection.closed


@pytest.mark.parametrize("name", ["plain", "MiXed", ODD])
def test_create_and_drop(connection, run_id: str, name: str):
    """A database is there after its creation, whatever its name, and gone after its drop."""
    database = f"pgherd_{run_id}_{name}"
    databases.create(connection, database)
    assert catalog(connection, database) == (False, True)
    databases.drop(connection, database)
    assert catalog(connection, database) is None


def test_an_empty_database_has_nothing_of_template1(connection, run_id: str, execute, pg_server: Address):
    """What somebody added to template1 is in no database of ours."""
    template1 = pg_server.database("template1")
    execute(template1, f"CREATE TABLE of_{run_id} ()")
    try:
        databases.create(connection, f"pgherd_{run_id}_one")
    finally:
        execute(template1, f"DROP TABLE of_{run_id}")
    tables = "SELECT relname FROM pg_class WHERE oid >= 16384"
    assert execute(pg_server.database(f"pgherd_{run_id}_one"), tables) == []


def test_create_clones_a_template(connection, run_id: str, make_database, execute, pg_server: Address):
    """A database made from another has its tables and rows."""
    execute(make_database("one"), "CREATE TABLE t AS SELECT 42 AS answer")
    databases.create(connection, f"pgherd_{run_id}_{ODD}", f"pgherd_{run_id}_one")
    assert execute(pg_server.database(f"pgherd_{run_id}_{ODD}"), "SELECT answer FROM t") == [(42,)]


def test_a_name_that_is_taken(connection, run_id: str, make_database):
    """Two databases cannot have one name: PostgreSQL's own error is raised."""
    make_database("one")
    with pytest.raises(psycopg2.errors.DuplicateDatabase):
        databases.create(connection, f"pgherd_{run_id}_one")


def test_a_frozen_template_refuses_connections(connection, run_id: str, make_database):
    """Not even a superuser connects to what is frozen."""
    database = make_database(ODD)
    databases.freeze(connection, database.name)
    assert catalog(connection, database.name) == (True, False)
    with pytest.raises(psycopg2.OperationalError, match="not currently accepting connections"):
        database.connect()


def test_a_frozen_template_cannot_be_dropped(connection, run_id: str, make_database):
    """A finished template is safe from a drop."""
    database = make_database("one")
    databases.freeze(connection, database.name)
    with pytest.raises(psycopg2.errors.WrongObjectType, match="cannot drop a template database"):
        databases.drop(connection, database.name)
    assert catalog(connection, database.name) == (True, False)


def test_is_frozen(connection, run_id: str, make_database):
    """A database is frozen, or it is not, or there is none."""
    database = make_database("one")
    assert databases.is_frozen(connection, database.name) is False
    databases.freeze(connection, database.name)
    assert databases.is_frozen(connection, database.name) is True
    assert databases.is_frozen(connection, f"pgherd_{run_id}_none") is False


def test_drop_ends_connections(connection, run_id: str, make_database):
    """A database is dropped at once, although somebody is connected and in a transaction."""
    database = make_database("one")
    with closing(database.connect()) as other, other.cursor() as cursor:
        cursor.execute("CREATE TABLE t ()")
        began = time.monotonic()
        databases.drop(connection, database.name)
        assert time.monotonic() - began < 3
        with pytest.raises(psycopg2.OperationalError):
            cursor.execute("SELECT 1")


def test_drop_of_nothing(connection, run_id: str):
    """A database that is not there is none to complain about."""
    databases.drop(connection, f"pgherd_{run_id}_none")
    assert catalog(connection, f"pgherd_{run_id}_none") is None


def test_disconnect_ends_all_but_the_own_connection(connection, run_id: str, make_database):
    """Whoever is connected to a database is thrown out, except for who asks."""
    database = make_database("one")
    with closing(database.connect()) as own, closing(database.connect()) as other:
        own.autocommit = True
        connections.end(own, database.name)
        own.cursor().execute("SELECT 1")
        with pytest.raises(psycopg2.OperationalError):
            other.cursor().execute("SELECT 1")


def test_names_are_those_that_begin_so(connection, run_id: str, make_database):
    """Names are listed in order; what means something in LIKE or a pattern means nothing here."""
    for name in ("b", "a", "%", "a_b"):
        make_database(name)
    beginning = f"pgherd_{run_id}_"
    assert databases.names(connection, f"{beginning}a") == [f"{beginning}a", f"{beginning}a_b"]
    assert databases.names(connection, f"{beginning}%") == [f"{beginning}%"]
    assert databases.names(connection, f"pgherd.{run_id}") == []
    assert len(databases.names(connection, beginning)) == 4


def test_a_lock_is_seen_from_every_database(pg_server: Address, connection, run_id: str):
    """A held lock is seen by a connection to another database; a lock of another name is none."""
    with closing(pg_server.database("template1").connect()) as other:
        with connections.maintenance(pg_server) as holder, locks.exclusive(holder, f"{run_id} lock"):
            assert locks.is_held(other, f"{run_id} lock")
            assert not locks.is_held(other, f"{run_id} other lock")
        assert not locks.is_held(other, f"{run_id} lock")


def test_a_lock_is_one_for_all_databases(pg_server: Address, run_id: str):
    """Of many in two databases that want one lock, one at a time has it, and all come to it."""
    inside, most, turns = [], [], []

    def take(maintenance: str) -> None:
        server = replace(pg_server, maintenance=maintenance)
        for _ in range(3):
            with connections.maintenance(server) as connection, locks.exclusive(connection, f"{run_id} lock"):
                inside.append(maintenance)
                time.sleep(0.01)
                most.append(len(inside))
                turns.append(inside.pop())

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(take, ["template1", "postgres"] * 3)) == [None] * 6
    assert max(most) == 1
    assert len(turns) == 18


def test_a_lock_can_be_shared(pg_server: Address, connection, run_id: str):
    """Several hold it, in whatever database, and it is held until the last of them has ended."""
    with closing(pg_server.database("template1").connect()) as other:
        with connections.maintenance(pg_server) as holder:
            for each in (holder, holder, other):
                locks.take_shared(each, f"{run_id} use")
        assert locks.is_held(connection, f"{run_id} use")
    wait_until(lambda: not locks.is_held(connection, f"{run_id} use"), 5)


@pytest.mark.parametrize("setting", ["statement_timeout", "lock_timeout", "idle_session_timeout"])
def test_what_waits_is_not_given_up(pg_server: Address, connection, setting: str):
    """Whatever a role is set to, a connection of ours may wait, and may be idle."""
    if setting == "idle_session_timeout" and connection.server_version < 140000:
        pytest.skip("idle_session_timeout is new in PostgreSQL 14")
    hasty = replace(pg_server, parameters=(("options", f"-c{setting}=1s"),))
    show = f"SELECT current_setting('{setting}')"
    with (
        closing(hasty.database("postgres").connect()) as other,
        connections.maintenance(hasty) as ours,
    ):
        for each, shown in ((other, "1s"), (ours, "0")):
            with each.cursor() as cursor:
                cursor.execute(show)
                assert cursor.fetchall() == [(shown,)]


@pytest.mark.parametrize("sign", ["above zero", "below zero"])
def test_a_key_of_either_sign_is_seen(pg_server: Address, connection, run_id: str, sign: str):
    """A lock is seen whether its key is above zero or below."""
    names = {"above zero": "0123abcd", "below zero": "a"}
    with connections.maintenance(pg_server) as holder, locks.exclusive(holder, names[sign]):
        assert locks.is_held(connection, names[sign])


def test_a_lock_that_is_waited_for_is_held_once(pg_server: Address, connection, run_id: str):
    """Who waits for a lock does not have it yet, and gets it when it is free."""
    order = []

    def wait() -> None:
        with connections.maintenance(pg_server) as waiting, locks.exclusive(waiting, run_id + "lock"):
            order.append("second")

    thread = threading.Thread(target=wait)
    with connections.maintenance(pg_server) as holder, locks.exclusive(holder, run_id + "lock"):
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


def test_a_lock_ends_with_its_connection(pg_server: Address, connection, run_id: str):
    """A holder whose connection is cut has lost the lock, and says no more about it."""
    with connections.maintenance(pg_server) as holder, locks.exclusive(holder, run_id + "lock"):
        holder.close()
        wait_until(lambda: not locks.is_held(connection, run_id + "lock"), 5)


def test_a_lock_is_given_back_after_an_error(pg_server: Address, connection, run_id: str):
    """An error inside does not keep the lock."""
    with connections.maintenance(pg_server) as holder:
        with pytest.raises(ZeroDivisionError), locks.exclusive(holder, run_id + "lock"):
            raise ZeroDivisionError
        assert not locks.is_held(connection, run_id + "lock")


def test_version(connection):
    """The version is a number with a dot, without what a packager appended."""
    major, _, minor = connections.server_version(connection).partition(".")
    assert int(major) == connection.server_version // 10000
    assert minor.isdecimal()


def test_the_log_says_what_is_done(connection, run_id: str, caplog: pytest.LogCaptureFixture):
    """What is created, cloned, frozen and dropped is in the log, by its name."""
    one, two = f"pgherd_{run_id}_one", f"pgherd_{run_id}_two"
    with caplog.at_level(logging.INFO, logger="pgherd"):
        databases.create(connection, one)
        databases.freeze(connection, one)
        databases.create(connection, two, one)
        databases.drop(connection, two)
        databases.drop(connection, two)
    assert caplog.messages == [
        f"created database {one}",
        f"froze template {one}",
        f"created database {two} from {one}",
        f"dropped database {two}",
    ]
