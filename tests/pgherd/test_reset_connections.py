"""The reset and open connections: it ends those that are in a transaction, and reports them."""

from __future__ import annotations

import threading
from contextlib import closing
from typing import TYPE_CHECKING

import psycopg2
import pytest

from pgherd.reset.resetter import Resetter
from tests.pgherd.support.waiting import wait_until

if TYPE_CHECKING:
    from pgherd import Address
    from tests.pgherd.support.reset_clones import Clone

OTHERS = (
    "SELECT pid FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


def test_writes_of_a_connection_that_stays_open_are_reset(shop: Clone):
    """A connection can be used again after the reset has undone what it committed."""
    with closing(shop.database.connect()) as connection:
        for _ in range(3):
            with connection, connection.cursor() as cursor:
                cursor.execute("INSERT INTO role (name) VALUES ('boss') RETURNING id")
                assert cursor.fetchall() == [(3,)]
            shop.assert_reset()


@pytest.mark.parametrize("statement", ["INSERT INTO role (name) VALUES ('boss')", "SELECT 1"])
def test_a_connection_in_a_transaction_is_ended(shop: Clone, statement: str):
    """A connection left in a transaction is ended and reported, even if it only read."""
    with closing(shop.database.connect()) as connection:
        connection.cursor().execute(statement)
        pid = connection.info.backend_pid
        [left] = shop.resetter.end_blocking_connections()
        assert (left.pid, left.state, left.query) == (pid, "idle in transaction", statement)
        assert 0 <= left.age < 10
        assert str(left).endswith(
            f"Its state: idle in transaction. Its last statement: {statement}"
        )
        with pytest.raises(psycopg2.OperationalError):
            connection.cursor().execute("SELECT 1")
    shop.assert_reset()


def test_a_connection_in_an_aborted_transaction_is_ended(shop: Clone):
    """A connection that must roll back after an error is ended, too."""
    with closing(shop.database.connect()) as connection:
        with pytest.raises(psycopg2.errors.UndefinedTable):
            connection.cursor().execute("SELECT * FROM nothing")
        [left] = shop.resetter.end_blocking_connections()
        assert left.state == "idle in transaction (aborted)"
    shop.assert_reset()


def test_a_running_statement_is_ended(shop: Clone):
    """A statement that still runs when its test ends does not delay the reset."""
    errors = []

    def sleep() -> None:
        try:
            shop.execute("INSERT INTO role (name) SELECT 'boss' FROM pg_sleep(60)")
        except psycopg2.OperationalError as error:
            errors.append(error)

    sleeper = threading.Thread(target=sleep)
    sleeper.start()
    asleep = (
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        " AND wait_event = 'PgSleep'"
    )
    wait_until(lambda: shop.execute(asleep), 5)
    [left] = shop.resetter.end_blocking_connections()
    assert left.state == "active"
    sleeper.join(5)
    assert len(errors) == 1
    shop.assert_reset()


def test_two_connections_in_transactions_are_ended(shop: Clone):
    """All connections in a transaction are ended and reported, even if one waits for a lock."""
    with closing(shop.database.connect()) as one, closing(shop.database.connect()) as two:
        one.cursor().execute("LOCK TABLE role")
        two.cursor().execute("INSERT INTO pet DEFAULT VALUES")
        assert len(shop.resetter.end_blocking_connections()) == 2
    shop.assert_reset()


def test_a_prepared_transaction_is_rolled_back_and_named(shop: Clone):
    """A prepared transaction holds its locks without a connection, so the reset rolls it back."""
    with closing(shop.database.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("LOCK TABLE role; INSERT INTO pet DEFAULT VALUES")
        cursor.execute(f"PREPARE TRANSACTION '{shop.database.name}'")
    assert shop.resetter.reset() is True
    [left] = shop.resetter.left
    assert shop.database.name in str(left)
    prepared = "SELECT FROM pg_prepared_xacts WHERE database = current_database()"
    assert shop.execute(prepared) == []
    shop.assert_reset()


def test_connections_in_no_transaction_stay_open(shop: Clone, pg_server: Address):
    """The reset ends neither an idle connection nor a connection to another database."""
    other = pg_server.database("template1")
    with closing(shop.database.connect()) as idle, closing(other.connect()) as foreign:
        with idle:
            idle.cursor().execute("INSERT INTO pet DEFAULT VALUES")
        foreign.cursor().execute("SELECT 1")
        assert shop.resetter.end_blocking_connections() == []
        idle.cursor().execute("SELECT 1")
        foreign.cursor().execute("SELECT 1")


def test_a_connection_that_was_just_closed_is_not_reported(shop: Clone):
    """The server ends a connection that was closed in a transaction, and pgherd waits for it."""
    for _ in range(5):
        connection = shop.database.connect()
        connection.cursor().execute("INSERT INTO pet DEFAULT VALUES")
        connection.close()
        assert shop.resetter.end_blocking_connections() == []
    shop.assert_reset()


def test_a_resetter_connects_again_if_its_connection_was_ended(shop: Clone):
    """If a test ends every connection to its database, the next reset opens a new one."""
    shop.assert_reset()
    shop.execute(
        "INSERT INTO pet DEFAULT VALUES; SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    shop.assert_reset()


def test_a_closed_resetter_leaves_no_connection(shop: Clone):
    """The resetter's connection is gone soon after the resetter was closed."""
    with closing(Resetter(shop.database)) as resetter:
        assert resetter.reset() is True
    # The server may need a moment to notice that the client has gone.
    assert any(shop.execute(OTHERS) == [] for _ in range(100)), "a connection is still open"


def test_a_transaction_is_ended_although_its_session_reports_nothing(shop: Clone):
    """With track_activities = off, PostgreSQL shows no state, only the transaction's lock."""
    with closing(shop.database.connect()) as connection:
        connection.autocommit = True
        connection.cursor().execute("SET track_activities = off")
        connection.autocommit = False
        connection.cursor().execute("INSERT INTO role (name) VALUES ('hidden')")
        assert shop.resetter.reset()
        [left] = shop.resetter.left
        assert left.pid == connection.info.backend_pid
