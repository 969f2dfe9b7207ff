"""Migrations by SQL files, and the default: no migrations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg2
import pytest

import pgherd
from pgherd import MigrationError, UsageError
from pgherd.template.migrations import NoMigrations
from tests.pgherd.support import files

if TYPE_CHECKING:
    from pathlib import Path

file = files.file

TABLES = "SELECT relname::text FROM pg_class WHERE oid >= 16384 AND relkind = 'r' ORDER BY 1"


def test_without_migrations_the_database_stays_empty(make_database, execute):
    """The default creates no table, and its fingerprint is a constant."""
    database = make_database("one")
    NoMigrations().apply(database.url)
    assert execute(database, TABLES) == []
    assert NoMigrations().fingerprint() == "none"


def test_sql_files_run_in_the_order_given(file, make_database, execute):
    """The order of the arguments counts, not the order of the names."""
    last = file("1.sql", "ALTER TABLE one RENAME TO two")
    first = file("2.sql", "CREATE TABLE one (); CREATE TABLE three ()")
    database = make_database("one")
    pgherd.sql_files(first, str(last)).apply(database.url)
    assert execute(database, TABLES) == [("three",), ("two",)]


def test_the_sql_files_of_a_directory_run_in_the_order_of_their_names(
    file, make_database, execute, tmp_path: Path
):
    """Other files and files in subdirectories are not run."""
    file("b.sql", "ALTER TABLE a RENAME TO b")
    file("a.sql", "CREATE TABLE a ()")
    file("c.txt", "nonsense")
    file("old/a.sql", "nonsense")
    database = make_database("one")
    pgherd.sql_files(tmp_path).apply(database.url)
    assert execute(database, TABLES) == [("b",)]


def test_sql_is_sent_unchanged(file, make_database, execute):
    """Percent signs, braces and letters outside ASCII reach the server as they are in the file."""
    path = file("a.sql", "CREATE TABLE t AS SELECT '100 %, %s, {é}' AS a")
    database = make_database("one")
    pgherd.sql_files(path).apply(database.url)
    assert execute(database, "SELECT a FROM t") == [("100 %, %s, {é}",)]


@pytest.mark.parametrize("text", ["", "\n", "-- nothing yet\n", "\ufeffSELECT 1;\n"])
def test_a_file_without_a_statement_is_accepted(file, make_database, execute, text: str):
    """An empty file and a comment are accepted, and a file that begins with a byte order mark."""
    database = make_database("one")
    pgherd.sql_files(file("a.sql", text)).apply(database.url)
    assert execute(database, TABLES) == []


def test_each_file_is_one_transaction(file, make_database, execute):
    """If a file fails, its changes are rolled back, and those of earlier files stay."""
    first = file("1.sql", "CREATE TABLE one ()")
    second = file("2.sql", "CREATE TABLE two (); SELECT nonsense")
    database = make_database("one")
    with pytest.raises(RuntimeError):
        pgherd.sql_files(first, second).apply(database.url)
    assert execute(database, TABLES) == [("one",)]


def test_an_error_names_the_file(file, make_database):
    """The message has the path of the file, and PostgreSQL's message with the line."""
    path = file("a.sql", "SELECT 1;\nSELECT nonsense")
    with pytest.raises(RuntimeError) as caught:
        pgherd.sql_files(path).apply(make_database("one").url)
    assert str(caught.value).startswith(f'{path}: column "nonsense" does not exist\nLINE 2: ')
    assert isinstance(caught.value.__cause__, psycopg2.errors.UndefinedColumn)


@pytest.mark.parametrize("name", ["none.sql", "none", "nothing"])
def test_a_path_without_sql_is_refused(name: str, file, tmp_path: Path):
    """If a file is missing, or a directory has no SQL file, the message contains the path."""
    file("nothing/readme.txt")
    with pytest.raises(UsageError) as caught:
        pgherd.sql_files(tmp_path / name).fingerprint()
    assert str(tmp_path / name) in str(caught.value)


def test_a_migration_error_hides_the_frames_of_pgherd(file, make_database):
    """The message has the cause and the file, and no line of pgherd's own code."""
    path = file("a.sql", "SELECT nonsense")
    with pytest.raises(RuntimeError) as caught:
        pgherd.sql_files(path).apply(make_database("one").url)
    text = str(MigrationError.caused_by(caught.value))
    assert f'{path}: column "nonsense" does not exist' in text
    assert "pgherd/migrations.py" not in text


@pytest.mark.parametrize(
    "text",
    [
        "CREATE TABLE t (a int);\nCOPY public.t (a) FROM stdin;\n1\n\\.\n",
        "\\connect other\nSELECT 1;\n",
        "\\restrict abc\nSELECT 1;\n",
    ],
)
def test_a_file_that_needs_psql_is_explained(file, make_database, text: str):
    """The message for a dump of pg_dump names the file and `pgherd.command`."""
    path = file("dump.sql", text)
    with pytest.raises(RuntimeError, match=r"(?s)dump\.sql.*needs psql.*pgherd\.command") as raised:
        pgherd.sql_files(path).apply(make_database("one").url)
    assert str(path) in str(raised.value)


def test_a_file_in_another_encoding_is_named(tmp_path: Path, make_database):
    """The message for a Latin-1 file names the file."""
    path = tmp_path / "latin.sql"
    path.write_bytes("SELECT 'é'".encode("latin-1"))
    with pytest.raises(RuntimeError, match=r"latin\.sql is not encoded in UTF-8"):
        pgherd.sql_files(path).apply(make_database("one").url)


def test_a_pattern_is_explained(tmp_path: Path):
    """A pattern is not expanded; the message says to name the directory."""
    with pytest.raises(UsageError, match="Name the directory instead of a pattern"):
        pgherd.sql_files(tmp_path / "*.sql").fingerprint()
