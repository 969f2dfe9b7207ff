"""Row security: a reset by an ordinary role never overlooks rows that a policy hides from it."""

from __future__ import annotations

import secrets

import pytest

pytestmark = pytest.mark.slow

CONFTEST = """
import pytest
from pgherd import sql_files

@pytest.fixture(scope="session")
def pg_migrations():
    return sql_files("schema.sql")
"""
SCHEMA = """
CREATE TABLE invoice (id uuid PRIMARY KEY, tenant text);
ALTER TABLE invoice ENABLE ROW LEVEL SECURITY;
ALTER TABLE invoice FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON invoice USING (tenant = current_setting('app.tenant', true));
"""
TESTS = """
import uuid, pytest

@pytest.mark.parametrize("number", range(3))
def test_write(pg, number):
    connection = pg.connect()
    cursor = connection.cursor()
    cursor.execute("SET app.tenant = 'acme'")
    cursor.execute("SELECT count(*) FROM invoice")
    assert cursor.fetchall() == [(0,)]
    cursor.execute("INSERT INTO invoice VALUES (%s, 'acme')", [str(uuid.uuid4())])
    connection.commit()
    connection.close()
"""


@pytest.fixture
def ordinary_url(pg_server, connection):
    """Return the server's URL for a new role that may create databases and nothing more."""
    name = f"pgherd_{secrets.token_hex(4)}"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {name} LOGIN CREATEDB PASSWORD 'x'")
    yield f"postgresql://{name}:x@{pg_server.host}:{pg_server.port}/postgres"
    with connection.cursor() as cursor:
        cursor.execute("SELECT datname FROM pg_database WHERE pg_get_userbyid(datdba) = %s", [name])
        for (database,) in cursor.fetchall():
            cursor.execute(f'ALTER DATABASE "{database}" IS_TEMPLATE false')
            cursor.execute(f'DROP DATABASE "{database}" WITH (FORCE)')
        cursor.execute(f"DROP ROLE {name}")


def test_hidden_rows_do_not_stay(pytester, ordinary_url: str):
    """The rows of a tenant are gone after each test, although the reset cannot see them."""
    pytester.makeconftest(CONFTEST)
    (pytester.path / "schema.sql").write_text(SCHEMA)
    pytester.makepyfile(TESTS)
    result = pytester.runpytest_subprocess("-n0", f"--pgherd-url={ordinary_url}")
    result.assert_outcomes(passed=3)
