"""Migrations with Peewee: the migrations of peewee-migrate, and tables from models."""

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
    """Return a function that writes migrations, and returns their directory."""

    def write(**files: str) -> Path:
        place = tmp_path / "migrations"
        place.mkdir(exist_ok=True)
        for name, text in files.items():
            (place / f"{name.lstrip('_')}.py").write_text(text)
        return place

    return write


def models(database: peewee.Database | peewee.Proxy, **extra: peewee.Field):
    """Return two models; the first of them refers to the second."""

    class Base(peewee.Model):
        class Meta:
            database = None

    Base._meta.set_database(database)  # noqa: SLF001 (documented by Peewee)
    shop = type("Shop", (Base,), {"name": peewee.TextField(unique=True), **extra})
    item = type("Item", (Base,), {"shop": peewee.ForeignKeyField(shop)})
    return [item, shop]


def test_migrations_run_in_order(directory, make_database, execute):
    """They run in the order of their numbers, and peewee-migrate records them in its own table."""
    place = directory(_002_second=SECOND, _001_first=FIRST)
    database = make_database("one")
    PeeweeMigrations(place).apply(database.url)
    assert execute(database, "SELECT * FROM shop") == [(1, "100 %")]
    assert execute(database, "SELECT name FROM migratehistory ORDER BY id") == [
        ("001_first",),
        ("002_second",),
    ]


def test_the_directory_can_be_a_string(directory, make_database, execute):
    """A string works like a `Path`."""
    database = make_database("one")
    PeeweeMigrations(str(directory(_001_first=FIRST))).apply(database.url)
    assert execute(database, TABLES) == [("migratehistory",), ("shop",)]


def test_an_error_names_the_migration(directory, make_database, caplog: pytest.LogCaptureFixture):
    """The exception of the migration is chained as the cause, and pgherd does not log it again."""
    place = directory(_001_first=FIRST, _002_failing=FAILING)
    with pytest.raises(RuntimeError, match=r"/002_failing\.py: of the migration") as raised:
        PeeweeMigrations(place).apply(make_database("one").url)
    assert isinstance(raised.value.__cause__, ValueError)
    assert caplog.messages == []


def test_no_connection_is_left_open(directory, make_database, execute):
    """The connection is closed after the migrations, and also after a failed migration."""
    database = make_database("one")
    PeeweeMigrations(directory(_001_first=FIRST)).apply(database.url)
    with pytest.raises(RuntimeError, match="of the migration"):
        PeeweeMigrations(directory(_002_failing=FAILING)).apply(database.url)
    connected = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND pid <> %s"
    with (
        psycopg2.connect(database.server.database("postgres").dsn) as connection,
        connection.cursor() as cursor,
    ):
        for _ in range(100):
            cursor.execute(connected, [database.name, 0])
            if cursor.fetchall() == [(0,)]:
                break
            connection.rollback()
        else:
            pytest.fail("a connection is still open")
    connection.close()


def test_a_directory_without_migrations_is_refused(tmp_path: Path):
    """If the directory does not exist, the message contains its path."""
    with pytest.raises(UsageError, match=r"there is no migration \(\*\.py\) in /.*none\."):
        PeeweeMigrations(tmp_path / "none").fingerprint()


def test_the_fingerprint_depends_on_the_migrations(directory):
    """A changed migration and a further one change it; other files in the directory do not."""
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


def test_create_tables_creates_tables_with_their_constraints(make_database, execute):
    """A table comes after the tables that it refers to."""
    database = make_database("one")
    unused = peewee.PostgresqlDatabase("nowhere")
    create_tables(unused, models(unused)).apply(database.url)
    execute(database, "INSERT INTO shop (name) VALUES ('Ada')")
    execute(database, "INSERT INTO item (shop_id) VALUES (1)")
    with pytest.raises(psycopg2.errors.UniqueViolation):
        execute(database, "INSERT INTO shop (name) VALUES ('Ada')")
    with pytest.raises(psycopg2.errors.ForeignKeyViolation):
        execute(database, "INSERT INTO item (shop_id) VALUES (2)")


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
def test_create_tables_does_not_use_the_own_database(own, make_database, execute):
    """The models stay bound to their own database, and it does not connect."""
    database = make_database("one")
    classes = models(own)
    create_tables(own, classes).apply(database.url)
    assert execute(database, TABLES) == [("item",), ("shop",)]
    assert {model._meta.database for model in classes} == {own}  # noqa: SLF001
    if not isinstance(own, peewee.Proxy):
        assert own.is_closed()


def test_create_tables_accepts_an_initialized_proxy(make_database, execute):
    """The models of a proxy get their tables like those of a database."""
    own = peewee.DatabaseProxy()
    own.initialize(peewee.PostgresqlDatabase("nowhere"))
    database = make_database("one")
    create_tables(own, models(own)).apply(database.url)
    assert execute(database, TABLES) == [("item",), ("shop",)]


def test_the_fingerprint_depends_on_the_models():
    """A field, its type, an index and a constraint change it; pgherd connects to no server."""
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


def test_the_same_models_have_the_same_fingerprint():
    """The fingerprint is the same if models are defined again, or have another database."""
    one, two = peewee.PostgresqlDatabase("one"), peewee.DatabaseProxy()
    assert (
        create_tables(one, models(one)).fingerprint()
        == create_tables(one, tuple(models(one))).fingerprint()
        == create_tables(two, models(two)).fingerprint()
    )
    assert one.is_closed()


def test_create_tables_creates_the_sequences_of_models(make_database, execute):
    """A model that names its sequence gets the sequence, and another fingerprint."""
    own = peewee.PostgresqlDatabase("nowhere")
    database = make_database("one")
    tables = create_tables(own, models(own, number=peewee.IntegerField(sequence="numbers")))
    assert tables.fingerprint() != create_tables(own, models(own)).fingerprint()
    tables.apply(database.url)
    assert execute(database, "SELECT nextval('numbers')") == [(1,)]


def test_migrations_run_with_special_characters_in_the_url(
    directory, connection, run_id: str, execute, pg_server
):
    """Role, password and database name may contain each character that has a meaning in a URL."""
    role, password, name = f"pgherd {run_id}@é", "p@ss:w/rd?#%&=+ '\"", f"pgherd_{run_id}_a?b é%20"
    names = {"role": sql.Identifier(role), "name": sql.Identifier(name)}
    connection.cursor().execute(
        sql.SQL("CREATE ROLE {role} LOGIN PASSWORD {}").format(sql.Literal(password), **names)
    )
    try:
        connection.cursor().execute(sql.SQL("CREATE DATABASE {name} OWNER {role}").format(**names))
        owned = type(pg_server)(pg_server.host, pg_server.port, role, password).database(name)
        PeeweeMigrations(directory(_001_first=FIRST)).apply(owned.url)
        assert execute(owned, TABLES) == [("migratehistory",), ("shop",)]
    finally:
        connection.cursor().execute(
            sql.SQL("DROP DATABASE IF EXISTS {name} (FORCE)").format(**names)
        )
        connection.cursor().execute(sql.SQL("DROP ROLE {role}").format(**names))
