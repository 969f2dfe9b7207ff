"""Peewee's databases: point one at a clone, and close whatever it keeps open."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import peewee

from pgherd import current
from pgherd.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgherd.address import Database

# What libpq is told about where the server is and as whom to connect; the rest is the project's:
# https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
_WHERE = (
    "host",
    "port",
    "user",
    "passw",
    "passfile",
    "service",
    "dbname",
    "target_session",
    "load",
)
_AS_WHOM = ("ssl", "gss", "krb", "require", "channel_binding")


@contextmanager
def bound(
    database: peewee.Database | peewee.Proxy, pg_database: Database
) -> Iterator[peewee.Database]:
    """Bind a project's database to a clone; as it was before when the block ends.

    Its connections, those of all threads and of a pool, are closed before the clone is replaced and
    when the block ends. The project's settings stay, but for where the server is.

    Args:
        database: a `PostgresqlDatabase` or a subclass, deferred or not, or a proxy. A proxy of
            nothing, or of another kind of database, is given a `PostgresqlDatabase`.
        pg_database: what the fixture of this name gives.

    Raises:
        UsageError: the database is of another kind, and not behind a proxy.

    Example:
        @pytest.fixture(scope="session")
        def database(pg_database):
            with bound(app.database, pg_database) as database:
                yield database
    """
    with _postgresql(database) as real:
        before = (real.database, real.connect_params, real.deferred)
        disconnect(real)
        point(real, pg_database)
        try:
            with current.closed_by(partial(disconnect, real)):
                yield real
        finally:
            disconnect(real)
            real.database, real.connect_params, real.deferred = before
            real.server_version = None


def disconnect(database: peewee.Database | peewee.Proxy) -> None:
    """Close all connections of a database: those of other threads, and those of a pool, too.

    For a project's fixture `pg_disconnect`, where it does not use `bound`. What was in a
    transaction is rolled back. The database can be used on: it connects anew.
    """
    real: Any = database.obj if isinstance(database, peewee.Proxy) else database
    if real is None or real.deferred:
        return
    link = None if real.is_closed() else real.connection()
    # Peewee closes the calling thread's connection only, and that not in a transaction. Without
    # this object no thread has one any more: the driver closes a connection that nobody refers to.
    real._state = type(real._state)()  # noqa: SLF001 (the same in peewee 3 and 4)
    if hasattr(real, "close_all"):
        real.close_all()
    elif link is not None:
        link.close()


def point(database: peewee.Database, pg_database: Database) -> None:
    """Let a database that has no connection make its connections to the clone from now on.

    By attributes, since `init` would forget the isolation level and other settings.
    """
    server = pg_database.server
    told = {"host": server.host, "port": server.port, "user": server.user}
    if server.password:
        told["password"] = server.password
    kept = {
        key: value
        for key, value in database.connect_params.items()
        if not key.startswith((*_WHERE, *_AS_WHOM))
    }
    database.connect_params = {**dict(server.parameters), **kept, **told}
    database.database = pg_database.name
    database.deferred = False
    database.server_version = None


def kind_of(database: peewee.Database | peewee.Proxy | None) -> type[peewee.PostgresqlDatabase]:
    """Give the class of a database for PostgreSQL, or the plain one for models of another."""
    real = database.obj if isinstance(database, peewee.Proxy) else database
    return type(real) if isinstance(real, peewee.PostgresqlDatabase) else peewee.PostgresqlDatabase


@contextmanager
def _postgresql(database: peewee.Database | peewee.Proxy) -> Iterator[peewee.Database]:
    """Find the database behind a proxy, or put one there as long as the block lasts."""
    real: Any = database.obj if isinstance(database, peewee.Proxy) else database
    if isinstance(real, peewee.PostgresqlDatabase):
        yield real
    elif isinstance(database, peewee.Proxy):
        database.initialize(peewee.PostgresqlDatabase(None))
        try:
            yield database.obj
        finally:
            database.initialize(real)
    else:
        raise UsageError(
            f"a {type(real).__name__} cannot be bound to PostgreSQL: let the models' database be "
            "a peewee.DatabaseProxy(), or a PostgresqlDatabase"
        )
