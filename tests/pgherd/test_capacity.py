"""Capacity: whether a server has enough connections and locks for a run."""

from __future__ import annotations

import re

import pytest

from pgherd.postgres import capacity
from pgherd.postgres.capacity import Limit, LockTable, connection_shortage


@pytest.mark.parametrize(
    ("workers", "value", "taken"), [(1, 6, 0), (8, 34, 0), (8, 97, 63), (8, -1, 1000)]
)
def test_enough_connections_are_no_shortage(workers: int, value: int, taken: int):
    """A run needs four connections for each worker and two more; -1 means no limit."""
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
def test_shortage_names_a_way_out(workers: int, value: int, taken: int, message: str):
    """The message has the figures, the setting, and a number of workers if a smaller one fits."""
    assert re.search(
        message, str(connection_shortage(workers, [Limit("max_connections", value, taken)]))
    )


def test_named_number_of_workers_fits():
    """A run with the number of workers that the message names fits; one more does not."""
    limit = Limit("max_connections", 50, 13)
    assert "-n 8," in str(connection_shortage(16, [limit]))
    assert connection_shortage(8, [limit]) is None
    assert connection_shortage(9, [limit])


def test_lower_limit_of_the_role_counts():
    """If the role's limit is lower than the server's, the message names the role's limit."""
    limits = [Limit("max_connections", 100, 0), Limit("the CONNECTION LIMIT of the role r", 9, 0)]
    assert "or raise the CONNECTION LIMIT of the role r from 9 to 10" in str(
        connection_shortage(2, limits)
    )


def test_shortage_of_locks_names_a_way_out():
    """A run needs one lock for each table, index and sequence, in each worker."""
    table = LockTable(64, 100)
    assert table.shortage(8, 800) is None
    assert table.shortage(8, 801) == (
        "it has room for 6400 locks, and this run needs 6408: one for each of 801 tables, indexes "
        "and sequences, in each of 8 workers. Run with -n 7, or raise max_locks_per_transaction "
        "from 64 to 65"
    )
    assert ". Raise max_locks_per_transaction from 64 to 70" in str(table.shortage(1, 7000))


def test_limits_are_read_from_the_server(connection, run_id):
    """The limits are the values of the server's settings, and open connections count as taken."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW max_connections")
        ((maximum,),) = cursor.fetchall()
        cursor.execute("SHOW max_locks_per_transaction")
        ((locks,),) = cursor.fetchall()
        cursor.execute("SHOW max_prepared_transactions")
        ((prepared,),) = cursor.fetchall()
    whole, role, database = capacity.connection_limits(connection)
    assert (whole.setting, whole.value) == ("max_connections", int(maximum))
    assert 4 <= whole.taken < int(maximum)  # three are reserved, and `run_id` holds one
    assert (role.value, database.value) == (-1, -1)
    assert capacity.lock_table(connection) == LockTable(int(locks), int(maximum) + int(prepared))
