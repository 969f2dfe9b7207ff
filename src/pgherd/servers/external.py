"""The server you were given: a URL."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, NamedTuple

import psycopg2

from pgherd import admin, budget
from pgherd.address import Address, is_loopback
from pgherd.errors import ServerError, UsageError
from pgherd.servers import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from psycopg2.extensions import connection

    from pgherd.options import Options
    from pgherd.servers import Run

# The first to have DROP DATABASE … WITH (FORCE).
_OLDEST = 13

_FACTS = """
SELECT current_setting('server_version'), current_setting('server_version_num')::int / 10000,
  quote_ident(rolname), rolsuper OR rolcreatedb, pg_is_in_recovery(),
  current_setting('transaction_read_only')::boolean
FROM pg_roles WHERE rolname = current_user
"""

# Between two questions another client of the pool may have its say, but not time and again so that
# each of two sessions comes back to a connection that looks like its own.
_ASKED_TIMES = 3


@contextmanager
def server(options: Options, run: Run, say: Callable[[str], None]) -> Iterator[Server]:  # noqa: ARG001
    """Use a server by its URL, if it can do what a run needs, and leave it running."""
    if not options.url:
        raise UsageError(
            "pgherd_server is external, but no URL is set. "
            "Give one: --pgherd-url=postgresql://user:password@host:port/database"
        )
    address = Address.from_url(options.url)
    if run.host and is_loopback(address.host) and not is_loopback(run.host):
        raise UsageError(
            f"pgherd_url names {address.host}, which is another server on each machine that runs "
            "workers (--tx). Name it as all of them reach it"
        )
    told = f"the PostgreSQL server at {address.host}:{address.port}, which pgherd_url names, cannot"
    try:
        with _connected(address) as link:
            refused = _examine(link, address, run.workers)
            version = admin.version(link)
    except psycopg2.Error as error:
        # What follows the first line are libpq's own guesses.
        reason = str(error).strip().partition("\n")[0]
        raise ServerError(
            f"{told} be used: {reason}. See that it runs, and that the URL is right"
        ) from error
    if refused:
        raise ServerError(f"{told} be used: {refused}")
    yield Server(address, "external", version)


@contextmanager
def _connected(address: Address) -> Iterator[connection]:
    """Lend a connection that changes no setting: behind a pooler the next client would have it."""
    with closing(address.database(address.maintenance).connect()) as link:
        link.autocommit = True
        yield link


def _examine(link: connection, address: Address, workers: int) -> str | None:
    with link.cursor() as cursor:
        cursor.execute(_FACTS)
        (row,) = cursor.fetchall()
    return (
        refusal(Facts(*row))
        or budget.shortage(workers, admin.limits(link))
        or _refusal_of_pool(link, address)
    )


class Facts(NamedTuple):
    """What a server says of itself, and of the role that is connected."""

    version: str
    major: int
    role: str
    may_create: bool
    standby: bool
    read_only: bool


def refusal(facts: Facts) -> str | None:
    """Say why a run is not possible, and what to do about it; None where it is."""
    if facts.major < _OLDEST:
        return (
            f"it is PostgreSQL {facts.version}, and {_OLDEST} is the oldest that will do. "
            "Upgrade it, or give the URL of another"
        )
    if facts.standby:
        return "it is a standby, where nothing can be created. Give the URL of its primary"
    if facts.read_only:
        return (
            f"the transactions of the role {facts.role} are read-only by default. Undo it where it "
            "was set (default_transaction_read_only, for the server, the database or the role), or "
            "add to the URL: ?options=-cdefault_transaction_read_only%3Doff"
        )
    if not facts.may_create:
        return (
            f"the role {facts.role} may not create databases. "
            f"Have an administrator run: ALTER ROLE {facts.role} CREATEDB"
        )
    return None


def _refusal_of_pool(link: connection, address: Address) -> str | None:
    """Refuse what gives one session's transactions to several connections.

    A lock, a setting or a prepared statement would not be found again by who has it. Two sessions
    that are asked in turns for the process that serves them have each their own, if they are
    sessions: https://www.pgbouncer.org/features.html
    """
    with _connected(address) as other:
        served = {_served_by(link, other) for _ in range(_ASKED_TIMES)}
    if len(served) == 1 and len(set(served.pop())) == len((link, other)):
        return None
    return (
        "a pooler in transaction mode (or statement mode) stands before it, so that no session has "
        "a connection of its own. Give the URL of the server itself, or of a pool in session mode"
    )


def _served_by(*links: connection) -> tuple[int, ...]:
    pids = []
    for link in links:
        with link.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            pids += [pid for (pid,) in cursor.fetchall()]
    return tuple(pids)
