"""The settings of a server that pgherd started: fast, not durable, with room for every worker."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pgherd.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg2.extensions import connection

NOT_DURABLE = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
}
"""Settings that make a server fast, but let it lose its data in a crash:
https://www.postgresql.org/docs/current/non-durability.html"""

# A worker opens at most three connections of its own: one for its reset, two for its spares. The
# rest is for a pool of the code under test (peewee's has up to 20 connections, SQLAlchemy's 15) and
# for databases of `pg_factory`.
_CONNECTIONS_PER_WORKER = 30
_FURTHER_CONNECTIONS = 100

# The server's lock table has room for this many locks times the number of connections, which is
# 7680 for each worker. Dropping a schema of 500 tables, each with a serial key and two more
# indexes, takes 6004 locks (truncating them takes 3001), and all workers may do so at once. With
# PostgreSQL's default of 64, sixteen workers run "out of shared memory". The room costs 2 MB for
# each worker: https://www.postgresql.org/docs/current/runtime-config-locks.html
_LOCKS_PER_CONNECTION = 256

# A reset looks into each table and sequence. A backend that reaches its limit of open files closes
# one for each that it opens. With the default of 1,000 files, a reset took four times as long:
# https://www.postgresql.org/docs/current/runtime-config-resource.html#GUC-MAX-FILES-PER-PROCESS
_OPEN_FILES = 10_000

# PostgreSQL's default is 0, which would forbid tests of code that commits in two phases.
_PREPARED_TRANSACTIONS = 64

_SCRAM_ITERATIONS_SINCE = 160000


_RESERVED = ("port", "listen_addresses", "unix_socket_directories", "data_directory", "hba_file")
"""The settings that pgherd needs to reach the server."""


def settings(workers: int, chosen: str = "") -> dict[str, str]:
    """Return the settings of a server for a run.

    Args:
        workers: how many processes run tests at once.
        chosen: the value of the option `pgherd_settings`; these settings win.

    Raises:
        UsageError: `chosen` cannot be read, or has a setting that pgherd needs itself.
    """
    return _default_settings(workers) | dict(_read(chosen))


def _read(chosen: str) -> Iterator[tuple[str, str]]:
    for part in re.split(r"[;\n]", chosen):
        name, separator, value = (text.strip() for text in part.partition("="))
        if not part.strip():
            continue
        if not separator or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.]*", name):
            raise UsageError(
                f"pgherd_settings has {part.strip()!r}, which is not name=value. "
                "Write, for example: shared_preload_libraries=pg_stat_statements"
            )
        if name.lower() in _RESERVED:
            raise UsageError(f"pgherd_settings cannot set {name}: pgherd chooses it. Remove it")
        yield name.lower(), value


def _default_settings(workers: int) -> dict[str, str]:
    return NOT_DURABLE | {
        "max_connections": str(_FURTHER_CONNECTIONS + workers * _CONNECTIONS_PER_WORKER),
        "max_locks_per_transaction": str(_LOCKS_PER_CONNECTION),
        "max_files_per_process": str(_OPEN_FILES),
        "max_prepared_transactions": str(_PREPARED_TRANSACTIONS),
    }


def hash_once(connection: connection, password: str) -> None:
    """Let each new connection hash the password once instead of 4096 times, at both ends.

    The many rounds protect passwords that people choose; this one has 128 random bits:
    https://www.postgresql.org/docs/current/runtime-config-connection.html#GUC-SCRAM-ITERATIONS
    """
    if connection.server_version >= _SCRAM_ITERATIONS_SINCE:
        with connection.cursor() as cursor:
            cursor.execute("SET scram_iterations = 1")
            cursor.execute("ALTER ROLE CURRENT_USER PASSWORD %s", [password])
