"""A server that exists already: a URL."""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg2

from pgherd.errors import ServerError, UsageError
from pgherd.postgres import capacity, connections
from pgherd.postgres.address import Address, is_loopback
from pgherd.servers import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from psycopg2.extensions import connection

    from pgherd.options import Options
    from pgherd.servers import Run

_OLDEST = 13
"""The first version of PostgreSQL that has DROP DATABASE … WITH (FORCE)."""

_FACTS = """
SELECT current_setting('server_version'), current_setting('server_version_num')::int / 10000,
  quote_ident(rolname), rolsuper OR rolcreatedb, pg_is_in_recovery(),
  current_setting('transaction_read_only')::boolean
FROM pg_roles WHERE rolname = current_user
"""

# By chance, a pooler could serve two sessions by two different backends. It is unlikely to choose
# the same two three times in a row.
_POOLER_CHECKS = 3


@contextmanager
def server(options: Options, run: Run, say: Callable[[str], None]) -> Iterator[Server]:
    """Use the server of a URL if it can do what a run needs, and leave it running."""
    if not options.url:
        raise UsageError(
            "pgherd_server is external, but no URL is set. "
            "Set one: --pgherd-url=postgresql://user:password@host:port/database"
        )
    if options.settings:
        say(
            "pgherd_settings does not apply to the server of pgherd_url: set them there: "
            f"{'; '.join(options.settings.splitlines())}"
        )
    address = Address.from_url(options.url)
    if run.host and is_loopback(address.host) and not is_loopback(run.host):
        raise UsageError(
            f"pgherd_url names {address.host}, which is a different server on each machine that "
            "runs workers (--tx). Use a host that all of them reach"
        )
    where = f"the PostgreSQL server at {address.host}:{address.port}, which pgherd_url names,"
    try:
        with _connected(address) as connection:
            refused = _examine(connection, address, run.workers)
            version = connections.server_version(connection)
    except psycopg2.Error as error:
        # After the first line, libpq adds guesses.
        reason = str(error).strip().partition("\n")[0]
        raise ServerError(
            f"{where} cannot be used: {reason}. Check that it runs, and that the URL is right"
        ) from error
    if refused:
        raise ServerError(f"{where} cannot be used: {refused}")
    yield Server(address, "external", version)


@contextmanager
def _connected(address: Address) -> Iterator[connection]:
    """Open a connection without changing settings: a pooler would give them to the next client."""
    with closing(address.database(address.maintenance).connect()) as connection:
        connection.autocommit = True
        yield connection


def _examine(connection: connection, address: Address, workers: int) -> str | None:
    with connection.cursor() as cursor:
        cursor.execute(_FACTS)
        (row,) = cursor.fetchall()
    return (
        refusal(Facts(*row))
        or capacity.connection_shortage(workers, capacity.connection_limits(connection))
        or _pooler_refusal(connection, address)
    )


@dataclass(frozen=True)
class Facts:
    """What a server reports of itself, and of the role that is connected."""

    version: str
    major: int
    role: str
    may_create: bool
    standby: bool
    read_only: bool


def refusal(facts: Facts) -> str | None:
    """Return why a run is not possible, and what to do; None if it is possible."""
    if facts.major < _OLDEST:
        return (
            f"it is PostgreSQL {facts.version}, and pgherd needs {_OLDEST} or later. "
            "Upgrade it, or use the URL of another server"
        )
    if facts.standby:
        return "it is a standby, on which nothing can be created. Use the URL of its primary"
    if facts.read_only:
        return (
            f"the transactions of the role {facts.role} are read-only by default. Undo this where "
            "it was set (default_transaction_read_only, for the server, the database or the role), "
            "or add to the URL: ?options=-cdefault_transaction_read_only%3Doff"
        )
    if not facts.may_create:
        return (
            f"the role {facts.role} may not create databases. "
            f"Have an administrator run: ALTER ROLE {facts.role} CREATEDB"
        )
    return None


def _pooler_refusal(connection: connection, address: Address) -> str | None:
    """Return a refusal if a pooler serves a session by several backends; else None.

    Behind it, a session cannot keep a lock, a setting or a prepared statement. Two connections each
    report the backend that serves them, several times in turn. If each has a session of its own, it
    always reports the same backend: https://www.pgbouncer.org/features.html
    """
    with _connected(address) as other:
        served = {_backends(connection, other) for _ in range(_POOLER_CHECKS)}
    if len(served) == 1 and len(set(served.pop())) == len((connection, other)):
        return None
    return (
        "a pooler in transaction mode (or statement mode) is between pgherd and the server, so a "
        "session may change its backend. Use the URL of the server itself, or of a pool in session "
        "mode"
    )


def _backends(*sessions: connection) -> tuple[int, ...]:
    """Return the process id of the backend that serves each connection now."""
    pids = []
    for session in sessions:
        with session.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            pids += [pid for (pid,) in cursor.fetchall()]
    return tuple(pids)
