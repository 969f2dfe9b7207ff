"""pgherd's own connections to the maintenance database, and those that it ends."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg2
import pytest

from pgherd.postgres import connections

if TYPE_CHECKING:
    from pgherd import Address


def test_maintenance_opens_an_autocommit_connection_and_closes_it(pg_server: Address):
    """`maintenance` connects to the maintenance database, and closes the connection at the end."""
    with connections.maintenance(pg_server) as connection:
        assert connection.info.dbname == pg_server.maintenance
        assert connection.autocommit
    assert connection.closed


@pytest.mark.parametrize("setting", ["statement_timeout", "lock_timeout", "idle_session_timeout"])
def test_maintenance_connection_has_no_timeout(pg_server: Address, connection, setting: str):
    """A time-out that is set for other connections does not apply to pgherd's own."""
    if setting == "idle_session_timeout" and connection.server_version < 140000:
        pytest.skip("idle_session_timeout is new in PostgreSQL 14")
    impatient = replace(pg_server, parameters=(("options", f"-c{setting}=1s"),))
    with (
        closing(impatient.database("postgres").connect()) as other,
        connections.maintenance(impatient) as ours,
    ):
        for each, expected in ((other, "1s"), (ours, "0")):
            with each.cursor() as cursor:
                cursor.execute(f"SELECT current_setting('{setting}')")
                assert cursor.fetchall() == [(expected,)]


def test_end_ends_all_connections_but_its_own(make_database):
    """`end` ends every connection to a database, except the one that it uses itself."""
    database = make_database("one")
    with closing(database.connect()) as own, closing(database.connect()) as other:
        own.autocommit = True
        connections.end(own, database.name)
        own.cursor().execute("SELECT 1")
        with pytest.raises(psycopg2.OperationalError):
            other.cursor().execute("SELECT 1")


def test_server_version_has_two_numbers(connection):
    """The version has a dot between two numbers, without the text that a packager appended."""
    major, _, minor = connections.server_version(connection).partition(".")
    assert int(major) == connection.server_version // 10000
    assert minor.isdecimal()
