"""Directories with migrations of their own: a test gets the database of the nearest override."""

from __future__ import annotations

import pytest

from tests.pgherd.support.runs import clones, databases

DIRECTORY = """
import pytest
from pgherd import sql_files
from pathlib import Path

@pytest.fixture(scope="session")
def pg_migrations():
    return sql_files(Path(__file__).with_name("{name}.sql"))

@pytest.fixture(scope="session")
def tables(pg_database):
    link = pg_database.connect()
    cursor = link.cursor()
    cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    found = [name for (name,) in cursor.fetchall()]
    link.close()
    with open("clones", "a") as file:
        file.write(pg_database.name + " ")
    return found
"""
DIRECTORIES_TEST = """
import pytest

@pytest.mark.parametrize("number", range(2))
def test_{name}_{part}(pg, tables, number):
    assert tables == ["{name}"]
    link = pg.connect()
    link.cursor().execute("INSERT INTO {name} VALUES (1)")
    link.commit()
    link.close()
"""


@pytest.fixture
def directories(pytester, server):
    """Give a project with two directories that override `pg_migrations`, and one that does not."""
    for name in ("shop", "forum"):
        pytester.mkdir(name)
        (pytester.path / name / f"{name}.sql").write_text(f"CREATE TABLE {name} (id int UNIQUE)")
        (pytester.path / name / "conftest.py").write_text(DIRECTORY.replace("{name}", name))
        for part in "ab":
            text = DIRECTORIES_TEST.replace("{name}", name).replace("{part}", part)
            (pytester.path / name / f"test_{name}_{part}.py").write_text(text)
    pytester.makepyfile(
        test_bare="""
def test_bare(pg_database):
    link = pg_database.connect()
    cursor = link.cursor()
    cursor.execute("SELECT FROM pg_tables WHERE schemaname = 'public'")
    assert cursor.fetchall() == []
    link.close()
"""
    )
    return pytester


@pytest.mark.parametrize("how", ["-n0", "-n2"])
def test_each_directory_has_the_database_of_its_own_migrations(directories, server, how):
    """A test gets what the `pg_migrations` nearest to it makes, whatever was asked for before."""
    files = ["shop/test_shop_a.py", "test_bare.py", "forum", "shop/test_shop_b.py"]
    result = directories.runpytest_subprocess("-pno:randomly", how, *files)
    result.assert_outcomes(passed=9)
    assert clones(directories)
    assert not clones(directories) & databases(server)


WITH_TEST_DB = """
import peewee
from pgherd.peewee import with_test_db

class {name}(peewee.Model):
    id = peewee.IntegerField(primary_key=True)

@with_test_db(({name},))
def test_{name}():
    assert {name}._meta.database.get_tables() == ["{name}"]
"""


@pytest.mark.parametrize(
    "files",
    [
        ["shop/test_shop_a.py", "forum/test_decorated.py", "shop/test_shop_b.py"],
        ["forum/test_decorated.py", "shop/test_shop_a.py", "forum/test_forum_a.py"],
    ],
)
def test_with_test_db_has_the_database_of_its_directory(directories, files):
    """The decorator names no fixture, and still its test follows the nearest `pg_migrations`."""
    decorated = directories.path / "forum" / "test_decorated.py"
    decorated.write_text(WITH_TEST_DB.replace("{name}", "forum"))
    result = directories.runpytest_subprocess("-pno:randomly", "-n0", *files)
    result.assert_outcomes(passed=5)


EXTENDS = """
import pytest

class Extended:
    def __init__(self, base):
        self.base = base

    def fingerprint(self):
        return self.base.fingerprint() + " extended"

    def apply(self, url):
        import psycopg2
        self.base.apply(url)
        connection = psycopg2.connect(url)
        connection.cursor().execute("CREATE TABLE more (id int)")
        connection.commit()
        connection.close()

@pytest.fixture(scope="session")
def pg_migrations(pg_migrations):
    return Extended(pg_migrations)
"""
SEEN = """
import pytest

@pytest.fixture{scope}
def seen({database}):
    connection = {database}.connect()
    cursor = connection.cursor()
    cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    found = [name for (name,) in cursor.fetchall()]
    connection.close()
    return found
"""


@pytest.fixture
def extended(directories):
    """Return a project with a directory whose override extends the one of the directory above."""
    inner = directories.mkpydir("shop/inner")
    (inner / "conftest.py").write_text(EXTENDS + SEEN.format(scope="", database="pg"))
    (inner / "test_inner.py").write_text(
        "def test_inner(pg, seen):\n    assert seen == ['more', 'shop']\n"
    )
    return directories


@pytest.mark.parametrize(
    "files",
    [
        ["shop/inner", "shop/test_shop_a.py", "shop/inner"],
        ["shop/test_shop_a.py", "shop/inner", "shop/test_shop_b.py"],
        ["shop/inner", "forum", "shop/test_shop_a.py"],
    ],
)
def test_an_override_may_extend_the_one_above_it(extended, files):
    """The extended migrations apply in their directory alone, in whatever order tests come."""
    result = extended.runpytest_subprocess("-pno:randomly", "-n0", "--keep-duplicates", *files)
    outcomes = result.parseoutcomes()
    assert set(outcomes) <= {"passed"}
    assert outcomes["passed"] >= 3


LEVELS = """
import pytest
from pgherd import sql_files

@pytest.fixture(scope="session")
def pg_migrations():
    return sql_files("module.sql")

def tables(database):
    connection = database.connect()
    cursor = connection.cursor()
    cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    found = [name for (name,) in cursor.fetchall()]
    connection.close()
    return found

def test_before(pg):
    assert tables(pg) == ["of_module"]

class TestOwn:
    @pytest.fixture(scope="session")
    def pg_migrations(self):
        return sql_files("class.sql")

    def test_class(self, pg):
        assert tables(pg) == ["of_class"]

def test_after(pg):
    assert tables(pg) == ["of_module"]
"""


def test_a_module_and_a_class_may_override(pytester, server):
    """Pytest lets a module and a class override fixtures, so pgherd follows these, too."""
    pytester.makepyfile(LEVELS)
    (pytester.path / "module.sql").write_text("CREATE TABLE of_module ()")
    (pytester.path / "class.sql").write_text("CREATE TABLE of_class ()")
    pytester.runpytest_subprocess("-pno:randomly", "-n0").assert_outcomes(passed=3)


DYNAMIC = """
import pytest

def tables(database):
    connection = database.connect()
    cursor = connection.cursor()
    cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    found = [name for (name,) in cursor.fetchall()]
    connection.close()
    return found

@pytest.fixture
def helper(request):
    return request.getfixturevalue("pg")

def test_dynamic(request):
    assert tables(request.getfixturevalue("pg")) == ["{name}"]

def test_through_a_fixture(helper):
    assert tables(helper) == ["{name}"]

def test_session_fixture(request):
    assert tables(request.getfixturevalue("pg_database")) == ["{name}"]
"""


def test_a_dynamic_request_gets_the_database_of_its_directory(directories):
    """`request.getfixturevalue` names no fixture beforehand, and still the override applies."""
    files = []
    for number, name in enumerate(["shop", "forum", "shop", "forum"]):
        path = directories.path / name / f"test_dynamic_{name}_{number}.py"
        path.write_text(DYNAMIC.replace("{name}", name))
        files += [path, f"{name}/test_{name}_{'ab'[number // 2]}.py"]
    result = directories.runpytest_subprocess("-pno:randomly", "-n0", *files)
    result.assert_outcomes(passed=4 * 3 + 4 * 2)
