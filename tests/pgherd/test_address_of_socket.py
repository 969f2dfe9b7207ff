"""A server whose host is the directory of a Unix socket: libpq and other drivers connect to it."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import tempfile
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import dj_database_url
import psycopg2
import pytest
import sqlalchemy
from playhouse import db_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgherd import Address


@pytest.fixture
def socket_directory(pg_server: Address) -> Iterator[str]:
    """Create a directory with a socket that forwards to the run's server."""
    with tempfile.TemporaryDirectory() as place, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(Path(place) / ".s.PGSQL.5433"))
        listener.listen()
        threading.Thread(target=_forward, args=[listener, pg_server], daemon=True).start()
        yield place
        listener.shutdown(socket.SHUT_RDWR)


def _forward(listener: socket.socket, server: Address) -> None:
    """Forward each connection to the server until the listener is shut down."""
    while True:
        try:
            near, _ = listener.accept()
        except OSError:
            return
        far = socket.create_connection((server.host, server.port))
        pumps = [threading.Thread(target=_pump, args=pair) for pair in ((near, far), (far, near))]
        for pump in pumps:
            pump.start()
        for pump in pumps:
            pump.join()
        near.close()
        far.close()


def _pump(source: socket.socket, target: socket.socket) -> None:
    while data := source.recv(65536):
        target.sendall(data)
    target.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("form", ["url", "dsn"])
def test_psycopg2_connects_to_a_socket_directory(
    pg_server: Address, socket_directory: str, form: str
):
    """Both the URL and the connection string lead to the socket in the directory."""
    server = dataclasses.replace(pg_server, host=socket_directory, port=5433)
    database = server.database(server.maintenance)
    with closing(psycopg2.connect(getattr(database, form))) as connection:
        assert connection.info.host == socket_directory
        assert connection.info.dbname == pg_server.maintenance


def by_asyncpg(url: str) -> str:
    """Return the current database through asyncpg, which has its own parser of URLs."""

    async def query() -> str:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval("SELECT current_database()")
        finally:
            await connection.close()

    return asyncio.run(query())


def by_peewee(url: str) -> str:
    """Return the current database through Peewee's `db_url`."""
    with closing(db_url.connect(url)) as database:
        return database.execute_sql("SELECT current_database()").fetchone()[0]


def by_sqlalchemy(url: str) -> str:
    """Return the current database through SQLAlchemy."""
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        return connection.scalar(sqlalchemy.text("SELECT current_database()"))


def by_django(url: str) -> str:
    """Return the current database with the settings that dj-database-url returns for Django."""
    read = dj_database_url.parse(url)
    connection = psycopg2.connect(
        dbname=read["NAME"], user=read["USER"], password=read["PASSWORD"], **read["OPTIONS"]
    )
    with closing(connection), connection.cursor() as cursor:
        cursor.execute("SELECT current_database()")
        return cursor.fetchone()[0]


@pytest.mark.parametrize("current_database", [by_asyncpg, by_peewee, by_sqlalchemy, by_django])
def test_other_drivers_connect_to_a_socket_directory(
    pg_server: Address, socket_directory: str, current_database
):
    """asyncpg, Peewee, SQLAlchemy and Django understand the URL."""
    server = dataclasses.replace(pg_server, host=socket_directory, port=5433)
    assert current_database(server.database("postgres").url) == "postgres"
