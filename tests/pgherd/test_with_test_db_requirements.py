"""The decorator `with_test_db` needs the plugin and the fixture `pg`, but no superuser."""

from __future__ import annotations

from contextlib import closing

import pytest

from tests.pgherd.support import peewee_project, suites
from tests.pgherd.support.peewee_project import SCHEMA, WRITE

pytestmark = pytest.mark.slow

project = peewee_project.project


def test_without_the_plugin_the_test_fails(project, pytester, monkeypatch):
    """The models are not used, and the message names the option that loads the plugin."""
    suites.load_all(monkeypatch)
    pytester.makeconftest("")
    result = project(
        """
import unittest

@with_test_db((User,))
def test_one():
    User.create(name="ada")

@with_test_db((User,))
class OneTest(unittest.TestCase):
    def test_one(self):
        User.create(name="ada")
""",
        "-pno:pgherd",
        "-pno:xdist",
    )
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*with_test_db has no database for test_one. If the plugin*"])


def test_a_decorated_helper_needs_a_test_with_pg(project):
    """If the calling test does not request `pg`, the message asks for it."""
    result = project(
        """
@with_test_db((User,))
def write():
    User.create(name="ada")

def test_one():
    write()
"""
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*no database for write*let the test request pg"])


@pytest.fixture
def role(connection, run_id, pg_server, monkeypatch):
    """Create a role that is no superuser; the inner run uses it."""
    name = f"pgherd_{run_id}"
    connection.cursor().execute(f"CREATE ROLE {name} LOGIN CREATEDB PASSWORD 'secret'")
    owned = type(pg_server)(pg_server.host, pg_server.port, name, "secret")
    monkeypatch.setenv("PGHERD_URL", owned.database("postgres").url)
    yield name
    with closing(connection.cursor()) as cursor:
        cursor.execute("SELECT datname FROM pg_database WHERE datdba = %s::regrole", [name])
        for (database,) in cursor.fetchall():
            cursor.execute(f'ALTER DATABASE "{database}" WITH IS_TEMPLATE false')
            cursor.execute(f'DROP DATABASE "{database}" WITH (FORCE)')
        cursor.execute(f"DROP ROLE {name}")


def test_a_role_that_is_no_superuser_is_enough(project, pytester, role):
    """The tables of the template are emptied, and the created tables are dropped."""
    # Another fingerprint, because the superuser owns the template of the other tests.
    (pytester.path / "schema.sql").write_text(f"{SCHEMA}-- {role}")
    after = "\n\ndef test_after(tables): assert 'user' not in tables()\n"
    project(WRITE + after).assert_outcomes(passed=4)
