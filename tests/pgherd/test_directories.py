"""Directories with migrations of their own: a test gets the database of the nearest override."""

from __future__ import annotations

import pytest

from tests.pgherd.support.runs import clones, databases
from tests.pgherd.support.suites import HELPERS, load_only_xdist

pytestmark = pytest.mark.slow

CONFTEST = (
    HELPERS
    + """
from pathlib import Path

from pgherd import sql_files

@pytest.fixture(scope="session")
def pg_migrations():
    return sql_files(Path(__file__).with_name("{name}.sql"))

@pytest.fixture(scope="session")
def names(pg_database):
    record(pg_database)
    return tables(pg_database)
"""
)
TESTS = (
    HELPERS
    + """
@pytest.mark.parametrize("number", range(2))
def test_{name}_{part}(pg, names, number):
    assert names == ["{name}"]
    execute(pg, "INSERT INTO {name} VALUES (1)")
"""
)
TEST_AT_THE_TOP = (
    HELPERS
    + """
def test_top(pg_database):
    assert tables(pg_database) == []
"""
)


@pytest.fixture
def directories(pytester: pytest.Pytester, server, monkeypatch) -> pytest.Pytester:
    """Return a project with two directories that override `pg_migrations`, and a test above."""
    load_only_xdist(monkeypatch)
    for name in ("shop", "forum"):
        pytester.mkdir(name)
        (pytester.path / name / f"{name}.sql").write_text(f"CREATE TABLE {name} (id int UNIQUE)")
        (pytester.path / name / "conftest.py").write_text(CONFTEST.replace("{name}", name))
        for part in "ab":
            text = TESTS.replace("{name}", name).replace("{part}", part)
            (pytester.path / name / f"test_{name}_{part}.py").write_text(text)
    pytester.makepyfile(test_top=TEST_AT_THE_TOP)
    return pytester


@pytest.mark.parametrize("how", ["-n0", "-n2"])
def test_each_directory_has_the_database_of_its_own_migrations(directories, server, how):
    """The nearest `pg_migrations` counts, whatever database the process used before."""
    files = ["shop/test_shop_a.py", "test_top.py", "forum", "shop/test_shop_b.py"]
    result = directories.runpytest_subprocess(how, *files)
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
    """A decorated test names no fixture, and still gets the database of the nearest override."""
    decorated = directories.path / "forum" / "test_decorated.py"
    decorated.write_text(WITH_TEST_DB.replace("{name}", "forum"))
    directories.runpytest_subprocess("-n0", *files).assert_outcomes(passed=5)


EXTENDS = (
    HELPERS
    + """
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

@pytest.fixture
def all_names(pg):
    return tables(pg)
"""
)


@pytest.fixture
def extended(directories: pytest.Pytester) -> pytest.Pytester:
    """Add a directory whose override extends the override of the directory above it."""
    inner = directories.mkpydir("shop/inner")
    (inner / "conftest.py").write_text(EXTENDS)
    (inner / "test_inner.py").write_text(
        "def test_inner(pg, all_names):\n    assert all_names == ['more', 'shop']\n"
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
def test_an_override_can_extend_the_one_above_it(extended, files):
    """The extended migrations apply only in their directory, in any order of the tests."""
    result = extended.runpytest_subprocess("-n0", "--keep-duplicates", *files)
    outcomes = result.parseoutcomes()
    assert set(outcomes) <= {"passed"}
    assert outcomes["passed"] >= 3


LEVELS = (
    HELPERS
    + """
from pgherd import sql_files

@pytest.fixture(scope="session")
def pg_migrations():
    return sql_files("module.sql")

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
)


def test_a_module_and_a_class_can_override(pytester, server, monkeypatch):
    """In pytest, a module and a class can override a fixture, so pgherd follows these, too."""
    load_only_xdist(monkeypatch)
    pytester.makepyfile(LEVELS)
    (pytester.path / "module.sql").write_text("CREATE TABLE of_module ()")
    (pytester.path / "class.sql").write_text("CREATE TABLE of_class ()")
    pytester.runpytest_subprocess("-n0").assert_outcomes(passed=3)


DYNAMIC = (
    HELPERS
    + """
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
)


def test_a_dynamic_request_gets_the_database_of_its_directory(directories):
    """A test that calls `request.getfixturevalue` gets the database of the nearest override."""
    files = []
    for number, name in enumerate(["shop", "forum", "shop", "forum"]):
        path = directories.path / name / f"test_dynamic_{name}_{number}.py"
        path.write_text(DYNAMIC.replace("{name}", name))
        files += [path, f"{name}/test_{name}_{'ab'[number // 2]}.py"]
    result = directories.runpytest_subprocess("-n0", *files)
    result.assert_outcomes(passed=4 * 3 + 4 * 2)


@pytest.mark.parametrize("how", ["-n0", "-n1"])
def test_spares_of_two_directories_do_not_collide(directories, how: str):
    """A worker that replaces clones in two directories, back and forth, gives each its own."""
    files = []
    for number, name in enumerate(["shop", "forum", "shop", "forum"]):
        path = directories.path / name / f"test_replace_{number}.py"
        path.write_text(REPLACE.replace("{name}", name))
        files.append(path)
    result = directories.runpytest_subprocess(how, *files)
    result.assert_outcomes(passed=4 * 3)


REPLACE = """
import pytest

@pytest.mark.pg(isolation="clone")
@pytest.mark.parametrize("number", range(3))
def test_replace(pg, number):
    connection = pg.connect()
    cursor = connection.cursor()
    cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert cursor.fetchall() == [("{name}",)]
    cursor.execute("ALTER TABLE {name} ADD COLUMN more int")
    connection.commit()
    connection.close()
"""


DEPENDENCY = """
import pytest
from pgherd import sql_files

@pytest.fixture(scope="session")
def schema():
    return "top.sql"

@pytest.fixture(scope="session")
def pg_migrations(schema, pytestconfig):
    return sql_files(pytestconfig.rootpath / schema)
"""
OF_DEPENDENCY = (
    HELPERS
    + """
@pytest.mark.parametrize("number", range(2))
def test_tables(pg, number):
    assert tables(pg) == ["{name}"]
"""
)


@pytest.mark.parametrize("order", [["test_top.py", "deep", "test_top_2.py"], ["deep", "."]])
def test_a_directory_may_override_what_pg_migrations_depends_on(pytester, server, order):
    """A directory overrides a fixture that `pg_migrations` requests, and gets its own database."""
    pytester.makeconftest(DEPENDENCY)
    deep = pytester.mkdir("deep")
    (deep / "conftest.py").write_text(
        "import pytest\n\n@pytest.fixture(scope='session')\ndef schema():\n    return 'deep.sql'\n"
    )
    for name, path in {"top": pytester.path, "deep": deep}.items():
        (pytester.path / f"{name}.sql").write_text(f"CREATE TABLE {name} ()")
        for suffix in ("", "_2"):
            text = OF_DEPENDENCY.replace("{name}", name)
            (path / f"test_{name}{suffix}.py").write_text(text)
    result = pytester.runpytest_subprocess("-n0", *order)
    assert set(result.parseoutcomes()) == {"passed"}


PARAMETRIZED = (
    HELPERS
    + """
from pgherd import sql_files

def test_before(pg):
    assert tables(pg) == []

@pytest.mark.parametrize("pg_migrations", [sql_files("x.sql")], scope="session")
def test_parameter(pg, pg_migrations):
    assert tables(pg) == ["x"]

def test_after(pg):
    assert tables(pg) == []
"""
)


def test_a_test_may_parametrize_pg_migrations(pytester, server):
    """The parameter applies to its test alone."""
    pytester.makepyfile(PARAMETRIZED)
    (pytester.path / "x.sql").write_text("CREATE TABLE x ()")
    pytester.runpytest_subprocess("-n0").assert_outcomes(passed=3)


KEPT = (
    HELPERS
    + """
import psycopg2

kept = {}

@pytest.fixture(scope="session")
def pg_disconnect():
    return lambda: kept.pop("connection").close() if kept else None

@pytest.mark.parametrize("number", range(2))
def test_keep(pg, number):
    if "connection" not in kept:
        kept["connection"] = psycopg2.connect(pg.url)
        kept["connection"].autocommit = True
    kept["connection"].cursor().execute("SELECT 1")
"""
)


def test_connections_are_closed_before_the_database_changes(directories):
    """`pg_disconnect` is called when a directory's migrations replace the worker's database."""
    conftest = "import pytest, kept\nfrom kept import pg_disconnect\n"
    (directories.path / "kept.py").write_text(KEPT)
    (directories.path / "conftest.py").write_text(conftest)
    for name in ("shop", "forum"):
        (directories.path / name / f"test_kept_{name}.py").write_text(
            "from kept import test_keep\n"
        )
    result = directories.runpytest_subprocess(
        "-n0", "shop/test_kept_shop.py", "forum/test_kept_forum.py"
    )
    result.assert_outcomes(passed=4)


FAILS = """
import pytest

@pytest.fixture(scope="session")
def pg_disconnect():
    def fail():
        raise RuntimeError("cannot close")

    return fail
"""


def test_pg_disconnect_that_raises_leaves_no_database_of_another_directory(directories):
    """The first test after the change has the error; the next has its own directory's database."""
    (directories.path / "conftest.py").write_text(FAILS)
    files = ["shop/test_shop_a.py", "forum/test_forum_a.py"]
    result = directories.runpytest_subprocess("-n0", *files)
    result.assert_outcomes(passed=3, errors=1)
