"""The migrations: forward from an empty database, and back."""

from __future__ import annotations

import pytest
from peewee import PostgresqlDatabase
from peewee_migrate import Router

from app.db import MIGRATIONS

NAMES = [
    "001_users_and_roles",
    "002_teams",
    "003_invitations",
    "004_tasks",
    "005_tags",
    "006_task_search",
    "007_audit",
]


@pytest.fixture
def router(pg):
    """A router that applies the migrations to this database, on its own connection."""
    database = PostgresqlDatabase(pg.url)
    with database.connection_context():
        yield Router(database, migrate_dir=MIGRATIONS)


@pytest.fixture
def empty(sql):
    """Drop all tables of the database."""
    sql("DROP SCHEMA public CASCADE")
    sql("CREATE SCHEMA public")


@pytest.fixture
def tables(sql):
    """A function that returns the names of all tables."""

    def tables() -> list[str]:
        rows = sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
        return [name for (name,) in rows]

    return tables


def test_template_is_current(router):
    """The database of a test has all migrations, in order."""
    assert (router.done, list(router.diff)) == (NAMES, [])


def test_tables_of_a_current_database(tables):
    """A current database has eleven tables of the app and one of peewee-migrate."""
    assert tables() == [
        "audit_entry",
        "comment",
        "invitation",
        "membership",
        "migratehistory",
        "role",
        "tag",
        "task",
        "task_tag",
        "team",
        "user",
        "user_role",
    ]


@pytest.mark.usefixtures("empty")
def test_empty_database_becomes_current(router, tables):
    """An empty database gets all seven migrations."""
    assert tables() == []
    assert router.run() == NAMES
    assert len(tables()) == 12


@pytest.mark.usefixtures("empty")
def test_stop_and_continue(router, tables, sql):
    """If the migrations stop halfway, the next run applies the rest."""
    assert router.run("002_teams") == NAMES[:2]
    assert tables() == ["membership", "migratehistory", "role", "team", "user", "user_role"]
    sql("""INSERT INTO "user" (email, name) VALUES ('ada@example.com', 'Ada')""")
    assert router.run() == NAMES[2:]
    assert sql("""SELECT name FROM "user" """) == [("Ada",)]


def test_run_on_a_current_database_does_nothing(router, sql):
    """A second run applies nothing, and inserts no role twice."""
    assert router.run() == []
    assert sql("SELECT count(*) FROM role") == [(2,)]


def test_rollback_of_everything(router, tables):
    """The rollback of all migrations leaves only the table of peewee-migrate."""
    for _ in NAMES:
        router.rollback()
    assert tables() == ["migratehistory"]


def test_rollback_of_the_last_keeps_the_data(router, task, sql):
    """After the rollback of the audit trail, tasks stay and can change."""
    task("Oil")
    router.rollback()
    sql("UPDATE task SET title = 'Grease'")
    assert sql("SELECT title FROM task") == [("Grease",)]


def test_search_is_added_to_existing_tasks(router, task, sql):
    """The search migration makes existing tasks searchable."""
    task("Oil the engine")
    router.rollback()
    router.rollback()
    assert router.run() == NAMES[5:]
    assert sql("SELECT title FROM task WHERE search @@ to_tsquery('english', 'engines')") == [
        ("Oil the engine",)
    ]


@pytest.mark.parametrize(
    ("index", "method"),
    [("task_search", "gin"), ("task_open", "btree"), ("user_email_key", "btree")],
)
def test_index_exists(sql, index, method):
    """Each index that the service needs exists, with its method."""
    rows = sql(
        "SELECT amname FROM pg_class JOIN pg_am ON pg_am.oid = relam WHERE relname = %s", index
    )
    assert rows == [(method,)]


def test_audited_tables(sql):
    """Exactly three tables have an audit trigger."""
    rows = sql("SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'audit' ORDER BY 1")
    assert rows == [('"user"',), ("task",), ("team",)]


def test_cascades_are_indexed(sql):
    """Every foreign key with ON DELETE CASCADE has an index."""
    rows = sql(
        "SELECT conrelid::regclass::text, conname FROM pg_constraint"
        " WHERE contype = 'f' AND confdeltype = 'c' AND NOT EXISTS ("
        "  SELECT FROM pg_index WHERE indrelid = conrelid AND indkey[0] = conkey[1]"
        " ) ORDER BY 2"
    )
    assert rows == []
