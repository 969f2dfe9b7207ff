"""`bound` and `disconnect`: a Peewee database uses a clone, and its connections are closed."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import peewee
import pytest
from playhouse.pool import PooledPostgresqlDatabase

from pgherd import UsageError
from pgherd.peewee import bound, disconnect
from tests.pgherd.support.suites import load_only_xdist

NAME = "SELECT current_database()"


@pytest.fixture
def clone(make_database):
    """Create an empty database."""
    return make_database("clone")


@pytest.fixture
def has_connections(connection):
    """Return a function that waits until a database has a number of connections."""

    def wait(database, expected: int) -> bool:
        with connection.cursor() as cursor:
            for _ in range(200):
                cursor.execute(
                    "SELECT count(*), pg_sleep(0.005) FROM pg_stat_activity WHERE datname = %s",
                    [database.name],
                )
                if cursor.fetchall()[0][0] == expected:
                    return True
        return False

    return wait


def query(database, statement: str = NAME) -> object:
    """Return the one value of a query, over the calling thread's connection."""
    ((value,),) = database.execute_sql(statement).fetchall()
    return value


@pytest.mark.parametrize(
    "make",
    [
        lambda: peewee.PostgresqlDatabase(None),
        lambda: peewee.PostgresqlDatabase("nowhere", host="127.0.0.1", port=1, password="x"),
        lambda: peewee.PostgresqlDatabase("postgresql://nobody@127.0.0.1:1/nowhere"),
        lambda: peewee.PostgresqlDatabase("nowhere", sslmode="require", service="none"),
        lambda: peewee.PostgresqlDatabase(None, thread_safe=False),
        lambda: PooledPostgresqlDatabase(None, max_connections=3),
    ],
    ids=["deferred", "elsewhere", "url", "tls", "one-thread", "pool"],
)
def test_a_bound_database_connects_to_the_clone(make, clone, has_connections):
    """Its own address does not matter; afterwards, its settings are as before, and it is closed."""
    own = make()
    before = (own.database, dict(own.connect_params), own.deferred)
    with bound(own, clone) as lent:
        assert lent is own
        assert query(own) == clone.name
    assert (own.database, own.connect_params, own.deferred) == before
    assert own.is_closed()
    assert has_connections(clone, 0)


@pytest.mark.parametrize(
    "target",
    [None, peewee.PostgresqlDatabase(None), peewee.SqliteDatabase(":memory:")],
    ids=["nothing", "deferred", "sqlite"],
)
def test_a_bound_proxy_leads_to_the_clone(target, clone):
    """Its models use the clone, too; afterwards, it has the same target as before, or none."""
    proxy = peewee.DatabaseProxy()
    if target is not None:
        proxy.initialize(target)
    model = type("Thing", (proxy.Model,), {"name": peewee.TextField()})
    with bound(proxy, clone):
        model.create_table()
        model.create(name="ada")
        assert query(proxy, "SELECT name FROM thing") == "ada"
        with proxy.connection_context(), proxy.atomic():
            assert model.get().name == "ada"
    assert proxy.obj is target


def test_a_bound_database_keeps_its_settings(clone):
    """The connections to the clone have the project's options and its isolation level."""
    own = peewee.PostgresqlDatabase(
        "nowhere", isolation_level=3, options="-c lock_timeout=7s", application_name="own"
    )
    with bound(own, clone):
        assert query(own, "SHOW lock_timeout") == "7s"
        assert query(own, "SHOW application_name") == "own"
        assert own.connection().isolation_level == 3


def test_another_kind_of_database_is_refused(clone):
    """The message names the kinds that can be bound."""
    with (
        pytest.raises(UsageError, match=r"SqliteDatabase cannot be bound.*DatabaseProxy"),
        bound(peewee.SqliteDatabase(":memory:"), clone),
    ):
        pass


def test_the_database_is_restored_after_an_error(clone):
    """After an exception in the block, its settings are as before, and no connection is open."""
    own = peewee.PostgresqlDatabase(None)
    with pytest.raises(peewee.ProgrammingError), bound(own, clone), own.atomic():
        own.execute_sql("SELECT FROM nothing")
    assert own.deferred
    assert own.is_closed()


@pytest.mark.parametrize("kind", [peewee.PostgresqlDatabase, PooledPostgresqlDatabase])
def test_connections_of_all_threads_are_closed(kind, clone, has_connections):
    """Threads that still run lose their connections, and each of them can connect again."""
    own = kind(None)
    meeting = threading.Barrier(3)

    def begin() -> None:
        own.connect()
        own.begin()
        meeting.wait()

    with bound(own, clone), ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: begin(), range(3)))
        own.connect()
        own.begin()
        assert has_connections(clone, 4)
        disconnect(own)
        assert has_connections(clone, 0)
        assert own.is_closed()
        assert list(pool.map(lambda _: query(own), range(3))) == [clone.name] * 3
        assert query(own) == clone.name


def test_idle_connections_of_a_pool_are_closed(clone, has_connections):
    """A pool for one connection can open a new one afterwards."""
    own = PooledPostgresqlDatabase(None, max_connections=1)
    with bound(own, clone):
        for _ in range(3):
            with own.connection_context():
                assert query(own) == clone.name
            assert has_connections(clone, 1)
            disconnect(own)
            assert has_connections(clone, 0)


@pytest.mark.parametrize("own", [peewee.PostgresqlDatabase(None), peewee.DatabaseProxy()])
def test_disconnect_accepts_a_database_without_connections(own):
    """A deferred database and an uninitialized proxy are no error."""
    disconnect(own)


CONFTEST = """
import peewee
import pytest
from playhouse.pool import PooledPostgresqlDatabase
from pgherd.peewee import bound, create_tables, disconnect

database = {database}

class Thing(peewee.Model):
    name = peewee.TextField()
    class Meta:
        database = database

@pytest.fixture(scope="session")
def pg_migrations():
    return create_tables(database, [Thing])
"""
BOUND = """
@pytest.fixture(scope="session")
def own(pg_database):
    with bound(database, pg_database):
        yield database
"""
# A project whose application connects by itself, such as app/.
BY_ITSELF = """
@pytest.fixture(scope="session")
def own(pg_database):
    database.init(pg_database.name, host=pg_database.host, port=pg_database.port,
                  user=pg_database.server.user, password=pg_database.server.password)
    return database

@pytest.fixture(scope="session")
def pg_disconnect():
    return lambda: disconnect(database)
"""
TESTS = """
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import Thing

threads = ThreadPoolExecutor(2)

@pytest.fixture
def things(own, pg):
    yield own
    assert {name for (name,) in own.execute_sql("SELECT current_database()")} == {pg.name}

@pytest.mark.parametrize("number", range(3))
def test_commit(things, number):
    assert Thing.select().count() == 0
    with things.atomic():
        Thing.create(name="ada")

@pytest.mark.parametrize("number", range(3))
def test_schema_change(things, number):
    assert Thing.select().count() == 0
    things.execute_sql("ALTER TABLE thing ADD COLUMN size int")

@pytest.mark.parametrize("number", range(3))
def test_threads(things, number):
    list(threads.map(lambda name: Thing.create(name=name), "abcd"))
    assert Thing.select().count() == 4

@pytest.mark.parametrize("number", range(3))
def test_requests(things, number):
    def request(name):
        with things.connection_context():
            Thing.create(name=name)
    things.close()
    request("main")
    list(threads.map(lambda name: (things.close(), request(name)), "abcd"))
    assert Thing.select().count() == 5
"""


@pytest.mark.parametrize(
    "database",
    [
        "peewee.PostgresqlDatabase(None)",
        "PooledPostgresqlDatabase(None, max_connections=4)",
    ],
    ids=["plain", "pool"],
)
@pytest.mark.parametrize("how", [BOUND, BY_ITSELF], ids=["bound", "by-itself"])
def test_a_database_connects_again_after_its_clone_was_replaced(
    pytester, server, monkeypatch, database, how
):
    """This holds in the main thread, in other threads and in requests."""
    load_only_xdist(monkeypatch)
    pytester.makeconftest(CONFTEST.format(database=database) + how)
    pytester.makepyfile(TESTS)
    # The tests import their models from the conftest.
    result = pytester.runpytest_subprocess("-n2", "--import-mode=prepend")
    result.assert_outcomes(passed=12)
