"""The budget: what a run needs is compared with what a server has."""

from __future__ import annotations

import re

import pytest

from pgherd.postgres import capacity
from pgherd.postgres.capacity import Limit, LockTable, connection_shortage


@pytest.mark.parametrize(
    ("workers", "value", "taken"), [(1, 6, 0), (8, 34, 0), (8, 97, 63), (8, -1, 1000)]
)
def test_what_fits_is_fine(workers: int, value: int, taken: int):
    """Four for each worker and two more are enough, and -1 is no limit."""
    assert connection_shortage(workers, [Limit("max_connections", value, taken)]) is None


@pytest.mark.parametrize(
    ("workers", "value", "taken", "message"),
    [
        (
            1,
            5,
            0,
            "5 connections left, and this run needs 6: .*. Raise max_connections from 5 to 6",
        ),
        (
            8,
            33,
            0,
            "has 33 .* needs 34: 4 for each worker .8. and 2 more. Run with -n 7, or raise ",
        ),
        (8, 100, 90, "it has 10 .*. Run with -n 2, or raise max_connections from 100 to 124"),
        (8, 100, 95, r"it has 5 .*more\. Raise max_connections from 100 to 129"),
        (8, 10, 20, "it has 0 connections left"),
    ],
)
def test_shortage_names_what_fits(workers: int, value: int, taken: int, message: str):
    """The message has the figures, a number of workers that fits if any does, and the setting."""
    assert re.search(
        message, str(connection_shortage(workers, [Limit("max_connections", value, taken)]))
    )


def test_the_number_that_is_named_fits():
    """What one message asks for is not refused by the next; one more would be."""
    limit = Limit("max_connections", 50, 13)
    assert "-n 8," in str(connection_shortage(16, [limit]))
    assert connection_shortage(8, [limit]) is None
    assert connection_shortage(9, [limit])


def test_every_limit_counts():
    """A role's own limit may be lower than the server's."""
    limits = [Limit("max_connections", 100, 0), Limit("the CONNECTION LIMIT of the role r", 9, 0)]
    assert "or raise the CONNECTION LIMIT of the role r from 9 to 10" in str(
        connection_shortage(2, limits)
    )


def test_lock_table():
    """As many locks as tables, indexes and sequences for each worker."""
    table = LockTable(64, 100)
    assert table.shortage(8, 800) is None
    assert table.shortage(8, 801) == (
        "it keeps 6400 locks, and this run needs 6408: one for each of 801 tables, indexes and "
        "sequences, in each of 8 workers. Run with -n 7, or raise max_locks_per_transaction "
        "from 64 to 65"
    )
    assert ". Raise max_locks_per_transaction from 64 to 70" in str(table.shortage(1, 7000))


def test_a_server_tells_its_limits(pg_server, connection, run_id):
    """What the server says is what it was set to, and who is connected is counted."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW max_connections")
        ((most,),) = cursor.fetchall()
        cursor.execute("SHOW max_locks_per_transaction")
        ((locks,),) = cursor.fetchall()
        cursor.execute("SHOW max_prepared_transactions")
        ((prepared,),) = cursor.fetchall()
    whole, role, database = capacity.connection_limits(connection)
    assert (whole.setting, whole.value) == ("max_connections", int(most))
    assert 4 <= whole.taken < int(most)  # three are reserved, and the test's run has its own
    assert (role.value, database.value) == (-1, -1)
    assert capacity.lock_table(connection) == LockTable(int(locks), int(most) + int(prepared))
