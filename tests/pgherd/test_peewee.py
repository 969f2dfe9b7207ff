"""The adapter for Peewee: migrations of peewee-migrate, and tables from models."""

from __future__ import annotations

from pathlib import Path

import peewee
import psycopg2
import pytest
from playhouse.pool import PooledPostgresqlDatabase
from psycopg2 import sql

from pgherd import UsageError
from pgherd.peewee import PeeweeMigrations, create_tables

TABLES = "SELECT relname::text FROM pg_class WHERE oid >= 16384 AND relkind = 'r' ORDER BY 1"

FIRST = """
def migrate(migrator, database, *, fake=False):
    migrator.sql("CREATE TABLE shop (id serial PRIMARY KEY)")
"""
SECOND = """
def migrate(migrator, database, *, fake=False):
    migrator.sql("ALTER TABLE shop ADD COLUMN name text")
    migrator.sql("INSERT INTO shop (name) VALUES ('100 %%')")
"""
FAILING = """
def migrate(migrator, database, *, fake=False):
    migrator.sql("CREATE TABLE half ()")
    raise ValueError("of the migration")
"""


@pytest.fixture
def directory(tmp_path: Path):
    """Give a function that writes migrations and gives their directory."""

    def write(**files: str) -> Path:
        place = tmp_path / "migrations"
        place.mkdir(exist_ok=True)
        for name, text in files.items():
            (place / f"{name.lstrip('_')}.py").write_text(text)
        return place

    return write


def models(database: peewee.Database | peewee.Proxy, **extra: peewee.Field):
    """Make two models, the second of which refers to the first."""

    class Base(peewee.Model):
        class Meta:
            database = None

    Base._meta.set_database(database)  # noqa: SLF001 (Peewee's documented place for it)
    shop = type("Shop", (Base,), {"name": peewee.TextField(unique=True), **extra})
    item = type("Item", (Base,), {"shop": peewee.ForeignKeyField(shop)})
    return [item, shop]


def test_migrations_are_applied_in_order(directory, empty, ask):
    """All migrations are run by their numbers, and noted in peewee-migrate's own table."""
    place = directory(_002_second=SECOND, _001_first=FIRST)
    database = empty("one")
    PeeweeMigrations(place).apply(database.url)
    assert ask(database, "SELECT * FROM shop") == [(1, "100 %")]
    assert ask(database, "SELECT name FROM migratehistory ORDER BY id") == [
        ("001_first",),
        ("002_second",),
    ]


def test_a_directory_may_be_text(directory, empty, ask):
    """The directory can be given as text, too."""
    database = empty("one")
    PeeweeMigrations(str(directory(_001_first=FIRST))).apply(database.url)
    assert ask(database, TABLES) == [("migratehistory",), ("shop",)]


def test_a_failing_migration_is_named(directory, empty, caplog: pytest.LogCaptureFixture):
    """peewee-migrate runs it as "<string>"; what it raises is the cause, and not logged besides."""
    place = directory(_001_first=FIRST, _002_failing=FAILING)
    with pytest.raises(RuntimeError, match=r"/002_failing\.py: of the migration") as raised:
        PeeweeMigrations(place).apply(empty("one").url)
    assert isinstance(raised.value.__cause__, ValueError)
    assert caplog.messages == []


def test_no_connection_is_left(directory, empty, ask):
    """After the migrations, or after their failure, nobody is connected."""
    database = empty("one")
    PeeweeMigrations(directory(_001_first=FIRST)).apply(database.url)
    with pytest.raises(RuntimeError, match="of the migration"):
        PeeweeMigrations(directory(_002_failing=FAILING)).apply(database.url)
    connected = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND pid <> %s"
    with psycopg2.connect(database.server.database("postgres").dsn) as link, link.cursor() as run:
        for _ in range(100):
            run.execute(connected, [database.name, 0])
            if run.fetchall() == [(0,)]:
                break
            link.rollback()
        else:
            pytest.fail("somebody is still connected")
    link.close()


def test_a_directory_without_migrations(tmp_path: Path):
    """A directory that is empty or not there is told by its path."""
    with pytest.raises(UsageError, match=r"there is no migration \(\*\.py\) in /.*none\."):
        PeeweeMigrations(tmp_path / "none").fingerprint()


def test_the_fingerprint_of_migrations(directory):
    """Another content or one migration more changes the fingerprint; other files do not."""
    migrations = PeeweeMigrations(directory(_001_first=FIRST))
    first = migrations.fingerprint()
    directory(_001_first=f"{FIRST}\n# changed")
    changed = migrations.fingerprint()
    directory(_001_first=FIRST, _002_second=SECOND)
    longer = migrations.fingerprint()
    assert len({first, changed, longer}) == 3
    (Path(migrations.directory) / "readme.txt").write_text("text")
    (Path(migrations.directory) / "__pycache__").mkdir()
    (Path(migrations.directory) / "__pycache__" / "001_first.pyc").write_text("text")
    assert migrations.fingerprint() == longer


def test_tables_are_created(empty, ask):
    """Each model has its table, those first that others refer to, with its constraints."""
    database = empty("one")
    unused = peewee.PostgresqlDatabase("nowhere")
    create_tables(unused, models(unused)).apply(database.url)
    ask(database, "INSERT INTO shop (name) VALUES ('Ada')")
    ask(database, "INSERT INTO item (shop_id) VALUES (1)")
    with pytest.raises(psycopg2.errors.UniqueViolation):
        ask(database, "INSERT INTO shop (name) VALUES ('Ada')")
    with pytest.raises(psycopg2.errors.ForeignKeyViolation):
        ask(database, "INSERT INTO item (shop_id) VALUES (2)")


@pytest.mark.parametrize(
    "own",
    [
        peewee.PostgresqlDatabase(None),
        peewee.PostgresqlDatabase("postgresql://nobody@127.0.0.1:1/nowhere"),
        PooledPostgresqlDatabase("nowhere"),
        peewee.SqliteDatabase(":memory:"),
        peewee.DatabaseProxy(),
    ],
    ids=["deferred", "unreachable", "pooled", "sqlite", "proxy"],
)
def test_the_own_database_is_left_alone(own, empty, ask):
    """Whatever the models are bound to is neither connected to nor bound anew."""
    database = empty("one")
    classes = models(own)
    create_tables(own, classes).apply(database.url)
    assert ask(database, TABLES) == [("item",), ("shop",)]
    assert {model._meta.database for model in classes} == {own}  # noqa: SLF001
    if not isinstance(own, peewee.Proxy):
        assert own.is_closed()


def test_a_proxy_that_was_initialized(empty, ask):
    """A proxy of a database is as good as the database."""
    own = peewee.DatabaseProxy()
    own.initialize(peewee.PostgresqlDatabase("nowhere"))
    database = empty("one")
    create_tables(own, models(own)).apply(database.url)
    assert ask(database, TABLES) == [("item",), ("shop",)]


def test_the_fingerprint_of_models():
    """A field more, another type, an index, a constraint: another fingerprint, without a server."""
    own = peewee.PostgresqlDatabase("postgresql://nobody@127.0.0.1:1/nowhere")
    prints = [
        create_tables(own, models(own, **extra)).fingerprint()
        for extra in (
            {},
            {"size": peewee.IntegerField()},
            {"size": peewee.BigIntegerField()},
            {"size": peewee.IntegerField(index=True)},
            {"size": peewee.IntegerField(null=True)},
            {"size": peewee.IntegerField(constraints=[peewee.Check("size > 0")])},
        )
    ]
    assert len(set(prints)) == 6


def test_the_fingerprint_of_models_stays():
    """The same models, defined twice or bound to another database, have the same fingerprint."""
    one, two = peewee.PostgresqlDatabase("one"), peewee.DatabaseProxy()
    assert (
        create_tables(one, models(one)).fingerprint()
        == create_tables(one, tuple(models(one))).fingerprint()
        == create_tables(two, models(two)).fingerprint()
    )
    assert one.is_closed()


def test_a_model_with_a_sequence(empty, ask):
    """A model that names its sequence has a fingerprint and a table like any other."""
    own = peewee.PostgresqlDatabase("nowhere")
    database = empty("one")
    tables = create_tables(own, models(own, number=peewee.IntegerField(sequence="numbers")))
    assert tables.fingerprint() != create_tables(own, models(own)).fingerprint()
    tables.apply(database.url)
    assert ask(database, "SELECT nextval('numbers')") == [(1,)]


def test_an_odd_password_and_name(directory, link, run: str, ask, pg_server):
    """What means something in a URL may be in a password and in the names of user and database."""
    role, password, name = f"pgherd {run}@é", "p@ss:w/rd?#%&=+ '\"", f"pgherd_{run}_a?b é%20"
    names = {"role": sql.Identifier(role), "name": sql.Identifier(name)}
    link.cursor().execute(
        sql.SQL("CREATE ROLE {role} LOGIN PASSWORD {}").format(sql.Literal(password), **names)
    )
    try:
        link.cursor().execute(sql.SQL("CREATE DATABASE {name} OWNER {role}").format(**names))
        owned = type(pg_server)(pg_server.host, pg_server.port, role, password).database(name)
        PeeweeMigrations(directory(_001_first=FIRST)).apply(owned.url)
        assert ask(owned, TABLES) == [("migratehistory",), ("shop",)]
    finally:
        link.cursor().execute(sql.SQL("DROP DATABASE IF EXISTS {name} (FORCE)").format(**names))
        link.cursor().execute(sql.SQL("DROP ROLE {role}").format(**names))
