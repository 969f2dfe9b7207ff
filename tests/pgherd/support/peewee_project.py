"""A project with four Peewee models and the decorator `with_test_db`, for runs inside tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.pgherd.support.suites import load_only_xdist

if TYPE_CHECKING:
    from collections.abc import Callable

MODELS = """
import peewee

database = peewee.PostgresqlDatabase("nowhere", host="127.0.0.1", port=1)

class Base(peewee.Model):
    class Meta:
        database = database
        legacy_table_names = False

class User(Base):
    name = peewee.TextField(unique=True)

class Role(Base):
    name = peewee.TextField()

class UserRole(Base):
    user = peewee.ForeignKeyField(User)
    role = peewee.ForeignKeyField(Role)

class Note(Base):
    text = peewee.TextField()
    user = peewee.ForeignKeyField(User, null=True)
"""

# The template has the table role and tables beside it, but not those of the other models.
CONFTEST = """
import pytest
from pgherd import sql_files

@pytest.fixture(scope="session")
def pg_migrations():
    return sql_files("schema.sql")

@pytest.fixture
def tables(pg):
    def names():
        connection = pg.connect()
        cursor = connection.cursor()
        cursor.execute("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
                       " AND relkind = 'r' ORDER BY 1")
        found = [name for (name,) in cursor.fetchall()]
        connection.close()
        return found
    return names

replaced = []

@pytest.fixture(scope="session")
def pg_disconnect():
    return lambda: replaced.append("once")

def pytest_sessionfinish():
    with open("replaced", "a") as file:
        file.write(" ".join(replaced))
"""
SCHEMA = """
CREATE TABLE role (id serial PRIMARY KEY, name text NOT NULL);
INSERT INTO role (name) VALUES ('basic'), ('admin');
CREATE TABLE permission (role_id int REFERENCES role, what text);
INSERT INTO permission VALUES (2, 'all');
CREATE TABLE log (what text);
CREATE FUNCTION log() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN INSERT INTO log VALUES (TG_OP); RETURN NULL; END $$;
CREATE TRIGGER log AFTER DELETE OR TRUNCATE ON role EXECUTE FUNCTION log();
"""
IMPORTS = """
import pytest
from models import Base, Note, Role, User, UserRole, database
from pgherd.peewee import with_test_db
"""
WRITE = """
@pytest.mark.parametrize("name", ["ada", "bob", "cyd"])
@with_test_db((User, UserRole))
def test_write(name):
    assert User.select().count() == UserRole.select().count() == 0
    user = User.create(name=name)
    assert user.id == 1
    UserRole.create(user=user, role=Role.get(name="admin"))
"""


@pytest.fixture
def project(
    pytester: pytest.Pytester, server, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., pytest.RunResult]:
    """Return a function that runs tests in a project with four models, and returns the result."""
    load_only_xdist(monkeypatch)
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(models=MODELS)
    (pytester.path / "schema.sql").write_text(SCHEMA)

    def run(text: str, *arguments: str) -> pytest.RunResult:
        pytester.makepyfile(test_it=IMPORTS + text)
        return pytester.runpytest_subprocess(*(arguments or ("-n0",)))

    return run


@pytest.fixture
def replacements(pytester: pytest.Pytester) -> Callable[[], int]:
    """Return a function that counts how many times the inner run replaced its clone."""
    return lambda: len((pytester.path / "replaced").read_text().split())
