"""How a throwaway server is configured: nothing is to survive it, and every worker is to fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from psycopg2.extensions import connection

# Nothing has to survive a crash: https://www.postgresql.org/docs/current/non-durability.html
_NOT_DURABLE = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
}

# A worker opens three of its own at most: its reset, and two for its spares. The rest is for a pool
# of the code under test (peewee's has 20, SQLAlchemy's 15 at most) and some more, such as one to
# each database of `pg_factory`.
_CONNECTIONS_OF_A_WORKER = 30
_CONNECTIONS_BESIDES = 100

# The lock table is one for all, with room for this many locks times the number of connections: 7680
# for each worker. What drops a schema of 500 tables, each with a serial key and two more indexes,
# holds 6004 locks (what truncates them, 3001), and all workers may do so at once. With the default,
# 64, sixteen of them end in "out of shared memory". It costs 2 MB for each worker:
# https://www.postgresql.org/docs/current/runtime-config-locks.html
_LOCKS_OF_A_CONNECTION = 256

# A reset looks into each table and sequence. A backend that may not keep all of their files open
# closes one for each that it opens: at 1,000 of them, the default, a reset took four times as long.
# https://www.postgresql.org/docs/current/runtime-config-resource.html#GUC-MAX-FILES-PER-PROCESS
_OPEN_FILES = 10_000

# Off by default; code that commits in two phases can be tested.
_PREPARED_TRANSACTIONS = 64

_SCRAM_ITERATIONS_SINCE = 160000


def sized(workers: int) -> dict[str, str]:
    """Give the settings of a throwaway server.

    Args:
        workers: how many processes run tests at once.
    """
    return _NOT_DURABLE | {
        "max_connections": str(_CONNECTIONS_BESIDES + workers * _CONNECTIONS_OF_A_WORKER),
        "max_locks_per_transaction": str(_LOCKS_OF_A_CONNECTION),
        "max_files_per_process": str(_OPEN_FILES),
        "max_prepared_transactions": str(_PREPARED_TRANSACTIONS),
    }


def hash_once(link: connection, password: str) -> None:
    """Have the password hashed once instead of 4096 times, at both ends of each new connection.

    The many rounds protect passwords that people make up; this one is 128 random bits:
    https://www.postgresql.org/docs/current/runtime-config-connection.html#GUC-SCRAM-ITERATIONS
    """
    if link.server_version >= _SCRAM_ITERATIONS_SINCE:
        with link.cursor() as run:
            run.execute("SET scram_iterations = 1")
            run.execute("ALTER ROLE CURRENT_USER PASSWORD %s", [password])
