"""The decorator `with_test_db` and the project's own database object: it uses the clone, too."""

from __future__ import annotations

import pytest

from tests.pgherd.support import peewee_project
from tests.pgherd.support.peewee_project import MODELS

pytestmark = pytest.mark.slow

project, replacements = peewee_project.project, peewee_project.replacements

NOWHERE = '"nowhere", host="127.0.0.1", port=1'
PROXY = f"""peewee.DatabaseProxy()
database.initialize(peewee.PostgresqlDatabase({NOWHERE}))"""
DATABASES = {
    "plain": f"peewee.PostgresqlDatabase({NOWHERE}, password='x', sslmode='require')",
    "deferred": "peewee.PostgresqlDatabase(None)",
    "pool": f"PooledPostgresqlDatabase({NOWHERE}, max_connections=2)",
    "proxy": "peewee.DatabaseProxy()",
    "initialized proxy": PROXY,
    "no autoconnect": f"peewee.PostgresqlDatabase({NOWHERE}, autoconnect=False)",
}
IMPORTS = """
import peewee
from contextlib import suppress

def real(database):
    return database.obj if isinstance(database, peewee.Proxy) else database

def settings(database):
    own = real(database)
    return own and (own, own.database, dict(own.connect_params), own.deferred)

def names(pg):
    connection = pg.connect()
    cursor = connection.cursor()
    cursor.execute('SELECT name FROM "user" ORDER BY 1')
    found = [name for (name,) in cursor.fetchall()]
    connection.close()
    return found
"""
# A failure of the fixture is an error of its test.
SETTINGS_STAY = """
@pytest.fixture(autouse=True)
def _the_settings_are_as_before():
    before = settings(database)
    yield
    assert settings(database) == before
    assert real(database) is None or database.is_closed()
"""
TESTS = """
@with_test_db((User,))
def test_connect(pg):
    database.connect()
    User.create(name="ada")
    database.close()
    assert names(pg) == ["ada"]

@with_test_db((User,))
def test_connection_context(pg):
    with database.connection_context():
        User.create(name="ada")
    assert names(pg) == ["ada"]

@with_test_db((User,))
def test_atomic(pg):
    database.connect()
    with database.atomic():
        User.create(name="ada")
        assert names(pg) == []
    with suppress(ZeroDivisionError), database.atomic():
        User.create(name="bob")
        1 / 0
    assert names(pg) == [user.name for user in User] == ["ada"]

@with_test_db((User,))
def test_execute_sql(pg):
    database.connect()
    [(name,)] = database.execute_sql("SELECT current_database()")
    assert name == pg.name
    User.create(name="ada")
    [(name,)] = database.execute_sql('SELECT name FROM "user"')
    assert name == "ada"
    database.execute_sql('INSERT INTO "user" (name) VALUES (%s)', ["bob"])
    assert names(pg) == ["ada", "bob"]

@pytest.mark.xfail(raises=ZeroDivisionError, strict=True)
@with_test_db((User,))
def test_raises():
    database.connect()
    database.begin()
    User.create(name="ada")
    1 / 0
"""
AUTOCONNECT = """
@with_test_db((User,))
def test_autoconnect(pg):
    with database.atomic():
        User.create(name="ada")
    assert names(pg) == ["ada"]
"""


def models(database: str) -> str:
    """Return the module of models, with this expression as their database."""
    own = MODELS[MODELS.index("database = ") : MODELS.index("\n\nclass Base")]
    pool = "from playhouse.pool import PooledPostgresqlDatabase\n"
    return pool + MODELS.replace(own, f"database = {database}")


@pytest.mark.parametrize("kind", DATABASES)
def test_the_own_database_uses_the_clone_during_the_test(project, pytester, replacements, kind):
    """It connects, reads and commits; afterwards, its settings are as before, also on failure."""
    pytester.makepyfile(models=models(DATABASES[kind]))
    tests = TESTS if kind == "no autoconnect" else TESTS + AUTOCONNECT
    result = project(IMPORTS + SETTINGS_STAY + tests)
    result.assert_outcomes(passed=4 + ("test_autoconnect" in tests), xfailed=1)
    assert replacements() == 0


BOUND = """
from pgherd.peewee import bound

@pytest.fixture(scope="session", autouse=True)
def own(pg_database):
    with bound(database, pg_database):
        yield database

def backend():
    with database.connection_context():
        [(process,)] = database.execute_sql("SELECT pg_backend_pid()")
        return process

backends = set()

def test_before(pg):
    backends.add(backend())

@with_test_db((User,))
def test_decorated(pg):
    backends.add(backend())
    with database.connection_context(), database.atomic():
        User.create(name="ada")
    assert names(pg) == ["ada"]

def test_after(pg):
    backends.add(backend())
    assert real(database).database == pg.name
    assert len(backends) == 1
"""


@pytest.mark.parametrize("kind", ["pool", "deferred pool", "pool behind a proxy"])
def test_a_bound_database_keeps_its_pool(project, pytester, replacements, kind):
    """If a session fixture binds it, it stays bound, and the same connection serves all tests."""
    expressions = {
        "pool": DATABASES["pool"],
        "deferred pool": "PooledPostgresqlDatabase(None)",
        "pool behind a proxy": "peewee.DatabaseProxy()\n"
        f"database.initialize(PooledPostgresqlDatabase({NOWHERE}))",
    }
    pytester.makepyfile(models=models(expressions[kind]))
    project(IMPORTS + BOUND).assert_outcomes(passed=3)
    assert replacements() == 0


OPEN_BEFORE = """
@with_test_db((User,))
def write(name):
    User.create(name=name)

@with_test_db((User,))
def test_one(pg):
    with database.atomic() as transaction:
        write("ada")
        assert names(pg) == []
        assert database.in_transaction()
        transaction.rollback()
    write("bob")
    assert names(pg) == ["bob"]
"""


def test_a_decorated_helper_leaves_the_transaction_of_its_test_open(project):
    """The test that calls the helper can roll back what the helper wrote."""
    project(IMPORTS + SETTINGS_STAY + OPEN_BEFORE).assert_outcomes(passed=1)


OPENED_ELSEWHERE = """
@pytest.fixture
def elsewhere(pg_server):
    database.init("postgres", host=pg_server.host, port=pg_server.port, user=pg_server.user,
                  password=pg_server.password)
    database.connect()
    yield
    assert database.database == "postgres"
    database.close()

@with_test_db((User,))
def test_one(pg, elsewhere):
    database.connect()
    User.create(name="ada")
    assert names(pg) == ["ada"]
"""


def test_a_database_that_is_connected_elsewhere_can_connect(project):
    """Its connection is closed before the test, so that `connect` opens one to the clone."""
    project(IMPORTS + OPENED_ELSEWHERE).assert_outcomes(passed=1)


TWO_MODELS = """
import peewee

{databases}

class User(peewee.Model):
    name = peewee.TextField(unique=True)
    class Meta:
        database = one

class Note(peewee.Model):
    text = peewee.TextField()
    user = peewee.ForeignKeyField(User)
    class Meta:
        database = two

Base = Role = UserRole = database = None
"""
TWO_TESTS = """
from models import one, two

@pytest.fixture(autouse=True)
def _the_settings_are_as_before():
    before = settings(one), settings(two)
    yield
    assert (settings(one), settings(two)) == before
    assert (User._meta.database, Note._meta.database) == (one, two)
    assert all(real(own) is None or own.is_closed() for own in (one, two))

@pytest.mark.parametrize("listed", [(User,), (Note,), (User, Note)])
def test_both(pg, listed):
    @with_test_db(listed)
    def both():
        for own in (one, two):
            [(name,)] = own.execute_sql("SELECT current_database()")
            assert name == pg.name
        User.create_table()
        Note.create_table()
        with one.atomic():
            user = User.create(name="ada")
        with two.atomic():
            Note.create(text="x", user=user)
        assert [note.user.name for note in Note.select(Note, User).join(User)] == ["ada"]
        assert names(pg) == ["ada"]

    both()
"""
TWO_DATABASES = {
    "plain": """
one = peewee.PostgresqlDatabase("one", host="127.0.0.1", port=1)
two = peewee.PostgresqlDatabase("two", host="127.0.0.1", port=2)
""",
    "proxies": "one, two = peewee.DatabaseProxy(), peewee.DatabaseProxy()",
    "a proxy and its target": """
one = peewee.DatabaseProxy()
two = peewee.PostgresqlDatabase(None)
one.initialize(two)
""",
}


@pytest.mark.parametrize("kind", TWO_DATABASES)
def test_related_models_with_two_databases_use_one_clone(project, pytester, kind):
    """Both databases lead to the clone, and afterwards, each model has its own one again."""
    pytester.makepyfile(models=TWO_MODELS.replace("{databases}", TWO_DATABASES[kind]))
    project(IMPORTS + TWO_TESTS).assert_outcomes(passed=3)


LEFT_OPEN = """
@pytest.fixture(scope="session", autouse=True)
def own(pg_database):
    with bound(database, pg_database):
        yield database

@with_test_db((Role,))
def test_leave(pg):
    {leave}

@with_test_db((Role,))
@pytest.mark.parametrize("number", range(2))
def test_next(pg, number):
    assert Role.select().count() == 0
    Role.create(name="ada")
"""


@pytest.mark.parametrize(
    ("leave", "failed"),
    [
        ("database.begin(); Role.create(name='ada')", 0),
        ("database.session_start(); Role.create(name='ada'); assert 0", 1),
    ],
    ids=["passes", "fails"],
)
def test_a_transaction_left_in_a_bound_database_fails_no_other_test(
    project, pytester, leave: str, failed: int
):
    """The project's database connects again after pgherd has ended its open transaction."""
    pytester.makepyfile(models=models(DATABASES["plain"]))
    text = IMPORTS + "from pgherd.peewee import bound\n" + LEFT_OPEN.replace("{leave}", leave)
    result = project(text)
    outcomes = result.parseoutcomes()
    assert outcomes["passed"] == 3 - failed
    assert outcomes.get("failed", 0) == failed
    assert "errors" not in outcomes
