"""Bind a project's Peewee database to a clone, and close its connections."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import peewee

from pgherd import lending
from pgherd.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgherd.postgres.address import Database

# Prefixes of libpq's parameters for the server's address, and for the role and its authentication.
# These come from the clone; all others stay as the project has set them:
# https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
_ADDRESS = (
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
_AUTHENTICATION = ("ssl", "gss", "krb", "require", "channel_binding")


@contextmanager
def bound(
    database: peewee.Database | peewee.Proxy, pg_database: Database
) -> Iterator[peewee.Database]:
    """Bind a project's Peewee database to a clone while the block runs.

    Before the clone is replaced, and when the block ends, pgherd closes the database's connections:
    those of all threads, and those of a pool. The project's settings stay, except the server's
    address, the role and its authentication.

    Args:
        database: a `PostgresqlDatabase` or a subclass, deferred or not, or a proxy. A proxy that is
            not initialized, or that stands for another class, gets a new `PostgresqlDatabase`.
        pg_database: the value of the fixture `pg_database` or `pg`.

    Raises:
        UsageError: the database has another class and is not behind a proxy.

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
            with lending.closing_by(partial(disconnect, real)):
                yield real
        finally:
            disconnect(real)
            real.database, real.connect_params, real.deferred = before
            real.server_version = None


def disconnect(database: peewee.Database | peewee.Proxy) -> None:
    """Close all connections of a database: those of all threads, and those of a pool.

    This is for the fixture `pg_disconnect` of a project that does not use `bound`. Open
    transactions are rolled back. The database stays usable: it connects again when needed.

    Args:
        database: the project's database, or a proxy.
    """
    real: Any = database.obj if isinstance(database, peewee.Proxy) else database
    if real is None or real.deferred:
        return
    own = None if real.is_closed() else real.connection()
    # Peewee's close() closes only the connection of the calling thread, and refuses in a
    # transaction. `_state` has the connections of all threads. Without references to them, the
    # driver closes them.
    real._state = type(real._state)()  # noqa: SLF001 (the same in peewee 3 and 4)
    if hasattr(real, "close_all"):
        real.close_all()
    elif own is not None:
        own.close()


def point(database: peewee.Database, pg_database: Database) -> None:
    """Set the address of a database, which must have no open connections, to the clone.

    This sets attributes, because `init` would forget the isolation level and other settings.
    """
    server = pg_database.server
    address = {"host": server.host, "port": server.port, "user": server.user}
    if server.password:
        address["password"] = server.password
    kept = {
        key: value
        for key, value in database.connect_params.items()
        if not key.startswith((*_ADDRESS, *_AUTHENTICATION))
    }
    database.connect_params = {**dict(server.parameters), **kept, **address}
    database.database = pg_database.name
    database.deferred = False
    database.server_version = None


def can_bind(database: peewee.Database | peewee.Proxy | None) -> bool:
    """Whether `bound` accepts a database."""
    return isinstance(database, (peewee.PostgresqlDatabase, peewee.Proxy))


def is_at(database: peewee.Database | peewee.Proxy, pg_database: Database) -> bool:
    """Whether a database is pointed at a clone already."""
    real: Any = database.obj if isinstance(database, peewee.Proxy) else database
    if real is None or real.deferred or real.database != pg_database.name:
        return False
    address = (real.connect_params.get("host"), real.connect_params.get("port"))
    return address == (pg_database.host, pg_database.port)


def class_of(database: peewee.Database | peewee.Proxy | None) -> type[peewee.PostgresqlDatabase]:
    """Return the class of a PostgreSQL database; for any other, `PostgresqlDatabase`."""
    real = database.obj if isinstance(database, peewee.Proxy) else database
    return type(real) if isinstance(real, peewee.PostgresqlDatabase) else peewee.PostgresqlDatabase


@contextmanager
def _postgresql(database: peewee.Database | peewee.Proxy) -> Iterator[peewee.Database]:
    """Find the database behind a proxy, or put one there while the block runs."""
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
            f"a {type(real).__name__} cannot be bound to PostgreSQL. Make the models' database a "
            "peewee.DatabaseProxy() or a PostgresqlDatabase"
        )
