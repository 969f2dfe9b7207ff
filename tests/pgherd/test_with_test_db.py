"""The decorator of existing suites: what a test that has it finds, and what it leaves."""

from __future__ import annotations

from contextlib import closing

import pytest

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

# The template has roles, and a table that refers to them; no users.
CONFTEST = """
import pytest
from pgherd import sql_files

@pytest.fixture(scope="session")
def pg_migrations():
    return sql_files("schema.sql")

@pytest.fixture
def tables(pg):
    def names():
        link = pg.connect()
        cursor = link.cursor()
        cursor.execute("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
                       " AND relkind = 'r' ORDER BY 1")
        found = [name for (name,) in cursor.fetchall()]
        link.close()
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


@pytest.fixture
def project(pytester, pg_server, monkeypatch):
    """Give a function that runs tests in a project of four models, and gives the result."""
    monkeypatch.setenv("PGHERD_URL", pg_server.database(pg_server.maintenance).url)
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(models=MODELS)
    (pytester.path / "schema.sql").write_text(SCHEMA)

    def run(text: str, *arguments: str):
        pytester.makepyfile(test_it=IMPORTS + text)
        return pytester.runpytest_subprocess(*(arguments or ("-n0",)))

    return run


@pytest.fixture
def replacements(pytester):
    """Give a function that counts how many times the inner run replaced its clone."""
    return lambda: len((pytester.path / "replaced").read_text().split())


WRITE = """
@pytest.mark.parametrize("name", ["ada", "bob", "cyd"])
@with_test_db((User, UserRole))
def test_write(name):
    assert User.select().count() == UserRole.select().count() == 0
    user = User.create(name=name)
    assert user.id == 1
    UserRole.create(user=user, role=Role.get(name="admin"))
"""


@pytest.mark.parametrize("how", ["-n2", "-n0"])
def test_tables_are_there_and_empty(project, replacements, how):
    """Each test finds the tables, empty and counting from 1, and what it writes is gone."""
    project(WRITE, how).assert_outcomes(passed=3)
    assert replacements() == 0


def test_what_was_created_is_gone(project, replacements):
    """After the test the schema is the template's, and the clone did not have to be replaced."""
    result = project(
        """
@with_test_db((User, Note))
def test_one(tables):
    assert tables() == ["log", "note", "permission", "role", "user"]
    Note.create(text="x", user=User.create(name="ada"))

def test_two(tables):
    assert tables() == ["log", "permission", "role"]
""",
        "-n0",
        "-pno:randomly",
    )
    result.assert_outcomes(passed=2)
    assert replacements() == 0


def test_models_are_bound_to_the_clone(project):
    """The listed models, and those related to them, are on the worker's clone, then on their own.

    So the test sees in its own connection what the models wrote.
    """
    project(
        """
@with_test_db((User,))
def test_one(pg):
    User.create(name="ada")
    assert User._meta.database.database == pg.name
    assert {model._meta.database for model in (User, Role, UserRole, Note)} == {
        User._meta.database}
    link = pg.connect()
    cursor = link.cursor()
    cursor.execute('SELECT name FROM "user"')
    assert cursor.fetchall() == [("ada",)]
    link.close()

def test_two():
    assert {model._meta.database for model in (User, Role, UserRole, Note)} == {database}
""",
        "-n0",
        "-pno:randomly",
    ).assert_outcomes(passed=2)


def test_each_model_gets_its_own_database_back(project):
    """Related models that are bound to different databases are so again after the test."""
    project(
        """
import peewee

@with_test_db((User,))
def test_bound():
    assert Note._meta.database is User._meta.database

def test_all():
    other = peewee.DatabaseProxy()
    Note._meta.set_database(other)
    UserRole._meta.set_database(None)
    pytest.call_in_pg()
    assert (Note._meta.database, UserRole._meta.database) == (other, None)
    assert User._meta.database is database

@pytest.fixture(autouse=True)
def call(pg):
    pytest.call_in_pg = test_bound
    yield
    del pytest.call_in_pg
""",
        "-n0",
    ).assert_outcomes(passed=2)


def test_seeded_tables_are_emptied(project, replacements):
    """Listed tables of the template lose their rows, and those that refer to them, for the test.

    No trigger notices, and the reset brings everything back.
    """
    result = project(
        """
COUNT = "SELECT (SELECT count(*) FROM role), (SELECT count(*) FROM permission), "
COUNT += "(SELECT count(*) FROM log)"

@pytest.fixture
def count(pg):
    def rows():
        link = pg.connect()
        cursor = link.cursor()
        cursor.execute(COUNT)
        ((found),) = cursor.fetchall()
        link.close()
        return found
    return rows

@with_test_db((Role,))
def test_one(count):
    assert count() == (0, 0, 0)
    assert Role.create(name="own").id == 1

def test_two(count):
    assert count() == (2, 1, 0)

@with_test_db((UserRole,))
def test_three(count):
    assert count() == (2, 1, 0)
    assert User.select().count() == 0
""",
        "-n0",
        "-pno:randomly",
    )
    result.assert_outcomes(passed=3)
    assert replacements() == 0


def test_stacked(project, replacements):
    """Decorators can be stacked, in any order and with the same model in two of them."""
    project(
        """
@with_test_db((User,))
@with_test_db((User, UserRole))
@with_test_db((Note,))
def test_one(tables):
    assert {"user", "user_role", "note"} < set(tables())
    Note.create(text="x", user=User.create(name="ada"))

@with_test_db((UserRole,))
@with_test_db((User,))
def test_two(tables):
    assert {"user", "user_role"} < set(tables())
    assert User.select().count() == 0

def test_three(tables):
    assert tables() == ["log", "permission", "role"]
""",
        "-n0",
        "-pno:randomly",
    ).assert_outcomes(passed=3)
    assert replacements() == 0


def test_arguments_and_fixtures(project):
    """Fixtures, parameters, mocks and marks reach the test through the decorator."""
    project(
        """
from unittest.mock import patch

@pytest.fixture
def name():
    return "ada"

@with_test_db((User,))
@pytest.mark.parametrize("number", [1, 2])
@patch("models.database")
def test_one(mocked, name, number, *, tmp_path):
    assert (name, tmp_path.is_dir(), number in (1, 2)) == ("ada", True, True)
    assert mocked is not None
    User.create(name=name)

@pytest.mark.xfail(raises=ZeroDivisionError, strict=True)
@with_test_db((User,))
def test_two(request):
    assert "two" in request.node.name
    1 / 0
"""
    ).assert_outcomes(passed=2, xfailed=1)


def test_classes(project, replacements):
    """On a class it is on each test method, inherited ones and static ones included."""
    project(
        """
class Inherited:
    def test_inherited(self):
        assert not hasattr(self, "seen")
        User.create(name="ada")

@with_test_db((User,))
class TestAll(Inherited):
    def test_one(self, pg):
        User.create(name="ada")

    @pytest.mark.parametrize("name", ["ada", "bob"])
    def test_two(self, name):
        assert User.create(name=name).id == 1

    @with_test_db((Note,))
    def test_three(self):
        Note.create(text="x", user=User.create(name="ada"))

    @staticmethod
    def test_static(tables):
        assert "user" in tables()

    @classmethod
    def test_class(cls):
        User.create(name="ada")
"""
    ).assert_outcomes(passed=7)
    assert replacements() == 0


def test_unittest_classes(project):
    """On a TestCase, setUp and tearDown have the tables too; single methods can have it as well."""
    project(
        """
import unittest

@with_test_db((User,))
class AllTest(unittest.TestCase):
    def setUp(self):
        self.user = User.create(name="ada")

    def tearDown(self):
        assert User.select().count() == 1

    def test_one(self):
        self.assertEqual(self.user.id, 1)

    def test_two(self):
        self.assertEqual(self.user.id, 1)

class DerivedTest(AllTest):
    @with_test_db((Note,))
    def test_three(self):
        Note.create(text="x", user=self.user)

class OneTest(unittest.TestCase):
    @with_test_db((User,))
    def test_one(self):
        User.create(name="ada")

@with_test_db((User,))
class AsyncTest(unittest.IsolatedAsyncioTestCase):
    async def test_one(self):
        User.create(name="ada")

    @with_test_db((Note,))
    async def test_two(self):
        Note.create(text="x", user=User.create(name="ada"))
"""
    ).assert_outcomes(passed=8)


def test_async_functions(project):
    """An async function is still one, and has the tables while it is awaited."""
    project(
        """
import asyncio, inspect

@with_test_db((User,))
async def write(name):
    await asyncio.sleep(0)
    return User.create(name=name).name

def test_one(pg):
    assert inspect.iscoroutinefunction(write)
    assert asyncio.run(write("ada")) == "ada"
"""
    ).assert_outcomes(passed=1)


def test_threads(project, replacements):
    """Threads have connections of their own, see what was committed, and leave nothing."""
    project(
        """
from concurrent.futures import ThreadPoolExecutor

pool = ThreadPoolExecutor(4)

@pytest.mark.parametrize("number", range(3))
@with_test_db((User,))
def test_one(number):
    list(pool.map(lambda name: User.create(name=name), "abcdefgh"))
    assert User.select().count() == 8
"""
    ).assert_outcomes(passed=3)
    assert replacements() == 0


def test_same_name_other_columns(project):
    """Two suites may have models of the same table with other columns."""
    project(
        """
import peewee

class Other(Base):
    size = peewee.IntegerField()
    class Meta:
        table_name = "user"

@with_test_db((User,))
def test_one():
    User.create(name="ada")

@with_test_db((Other,))
def test_two():
    Other.create(size=1)
"""
    ).assert_outcomes(passed=2)


@pytest.mark.parametrize(
    "leave",
    [
        "User._meta.database.begin()",
        "User._meta.database.execute_sql('BEGIN'); User.create(name='bob')",
        "User._meta.database.close()",
        "User.drop_table()",
        "User._meta.database.execute_sql('CREATE VIEW v AS SELECT * FROM \"user\"')",
        "User._meta.database.execute_sql('DROP SCHEMA pgherd CASCADE')",
        "User._meta.database.execute_sql('SET search_path = pg_catalog')",
        "pytest.link = pg.connect(); pytest.link.cursor().execute('SELECT FROM \"user\"')",
        "1 / 0",
    ],
)
@pytest.mark.parametrize("same", ["((User,))", "((User, UserRole))"])
def test_whatever_a_test_leaves(project, leave, same):
    """The next test finds its tables, and the one after that finds the template's."""
    result = project(
        f"""
@with_test_db((User,))
def test_leave(pg):
    User.create(name="ada")
    {leave}

@with_test_db{same}
def test_after():
    assert User.select().count() == 0
    User.create(name="ada")

def test_undecorated(tables):
    assert tables() == ["log", "permission", "role"]
""",
        "-n0",
        "-pno:randomly",
    )
    failed = int(leave == "1 / 0")
    result.assert_outcomes(passed=3 - failed, failed=failed, warnings=int("link" in leave))


def test_called_twice_in_a_test(project, replacements):
    """A function that has it finds the tables empty each time that a test calls it."""
    project(
        """
@with_test_db((User, Role))
def write():
    assert Role.select().count() == 0
    Role.create(name="own")
    return User.create(name="ada").id

def test_one(pg):
    assert [write(), write()] == [1, 1]
"""
    ).assert_outcomes(passed=1)
    assert replacements() == 0


def test_plugin_switched_off(project, pytester):
    """Without the plugin nothing is written anywhere: the test fails and is told what to do."""
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


def test_function_outside_of_a_test_with_a_database(project):
    """A decorated function that a test calls without the fixture is told to ask for it."""
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
def humble(link, run, pg_server, monkeypatch):
    """Give the name of a role that is no superuser, and its URL to the inner run."""
    role = f"pgherd_{run}"
    link.cursor().execute(f"CREATE ROLE {role} LOGIN CREATEDB PASSWORD 'humble'")
    owned = type(pg_server)(pg_server.host, pg_server.port, role, "humble")
    monkeypatch.setenv("PGHERD_URL", owned.database("postgres").url)
    yield role
    with closing(link.cursor()) as cursor:
        cursor.execute("SELECT datname FROM pg_database WHERE datdba = %s::regrole", [role])
        for (name,) in cursor.fetchall():
            cursor.execute(f'ALTER DATABASE "{name}" WITH IS_TEMPLATE false')
            cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        cursor.execute(f"DROP ROLE {role}")


def test_no_superuser(project, pytester, humble):
    """On a server where one is no superuser it works, too."""
    # The template is its own: another of the same fingerprint could belong to the superuser.
    (pytester.path / "schema.sql").write_text(f"{SCHEMA}-- {humble}")
    after = "\n\ndef test_after(tables): assert 'user' not in tables()\n"
    project(WRITE + after).assert_outcomes(passed=4)
