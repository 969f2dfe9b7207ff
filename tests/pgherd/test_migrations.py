"""Migrations: what turns an empty database into a current one."""

from __future__ import annotations

import dataclasses
import os
import sys
import sysconfig
from typing import TYPE_CHECKING

import psycopg2
import pytest

import pgherd
from pgherd import MigrationError, UsageError
from pgherd.template.migrations import NoMigrations

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TABLES = "SELECT relname::text FROM pg_class WHERE oid >= 16384 AND relkind = 'r' ORDER BY 1"


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    """Give a function that writes a file, and makes the directories that it is in."""

    def write(name: str, text: str = "") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_no_migrations(empty, ask):
    """The default leaves the database empty, and has one fingerprint."""
    database = empty("one")
    NoMigrations().apply(database.url)
    assert ask(database, TABLES) == []
    assert NoMigrations().fingerprint() == "none"


def test_sql_files_run_in_the_order_given(file, empty, ask):
    """Files are run in the order of the arguments, not of their names."""
    last = file("1.sql", "ALTER TABLE one RENAME TO two")
    first = file("2.sql", "CREATE TABLE one (); CREATE TABLE three ()")
    database = empty("one")
    pgherd.sql_files(first, str(last)).apply(database.url)
    assert ask(database, TABLES) == [("three",), ("two",)]


def test_a_directory_stands_for_its_sql(file, empty, ask, tmp_path: Path):
    """A directory's SQL is run in the order of the names; other files are not, nor deeper ones."""
    file("b.sql", "ALTER TABLE a RENAME TO b")
    file("a.sql", "CREATE TABLE a ()")
    file("c.txt", "nonsense")
    file("old/a.sql", "nonsense")
    database = empty("one")
    pgherd.sql_files(tmp_path).apply(database.url)
    assert ask(database, TABLES) == [("b",)]


def test_sql_is_not_formatted(file, empty, ask):
    """Percent signs, braces and letters beyond ASCII arrive as they are written."""
    path = file("a.sql", "CREATE TABLE t AS SELECT '100 %, %s, {é}' AS a")
    database = empty("one")
    pgherd.sql_files(path).apply(database.url)
    assert ask(database, "SELECT a FROM t") == [("100 %, %s, {é}",)]


@pytest.mark.parametrize("text", ["", "\n", "-- nothing yet\n", "\ufeffSELECT 1;\n"])
def test_sql_that_does_nothing(file, empty, ask, text: str):
    """A file that is empty, a mere comment, or begins with a byte order mark is no error."""
    database = empty("one")
    pgherd.sql_files(file("a.sql", text)).apply(database.url)
    assert ask(database, TABLES) == []


def test_a_file_is_a_transaction(file, empty, ask):
    """What a failing file did is undone; what the files before it did is not."""
    first = file("1.sql", "CREATE TABLE one ()")
    second = file("2.sql", "CREATE TABLE two (); SELECT nonsense")
    database = empty("one")
    with pytest.raises(RuntimeError):
        pgherd.sql_files(first, second).apply(database.url)
    assert ask(database, TABLES) == [("one",)]


def test_a_failing_file_is_named(file, empty):
    """An error says in which file it is, and what PostgreSQL says about it, with the line."""
    path = file("a.sql", "SELECT 1;\nSELECT nonsense")
    with pytest.raises(RuntimeError) as caught:
        pgherd.sql_files(path).apply(empty("one").url)
    assert str(caught.value).startswith(f'{path}: column "nonsense" does not exist\nLINE 2: ')
    assert isinstance(caught.value.__cause__, psycopg2.errors.UndefinedColumn)


@pytest.mark.parametrize("name", ["none.sql", "none", "nothing"])
def test_no_sql(name: str, file, tmp_path: Path):
    """A file that is not there, or a directory without SQL, is told by its path."""
    file("nothing/readme.txt")
    with pytest.raises(UsageError) as caught:
        pgherd.sql_files(tmp_path / name).fingerprint()
    assert str(tmp_path / name) in str(caught.value)


def test_a_command_gets_the_url(file, empty, ask):
    """The command finds the database's URL in DATABASE_URL, beside the rest of the environment."""
    path = file(
        "migrate.py",
        "import os, psycopg2\n"
        "link = psycopg2.connect(os.environ['DATABASE_URL'])\n"
        "link.cursor().execute('CREATE TABLE of_command ()')\n"
        "link.commit()\n"
        "assert os.environ['PATH']\n",
    )
    database = empty("one")
    pgherd.command(f"{sys.executable} {path}", inputs=[path]).apply(database.url)
    assert ask(database, TABLES) == [("of_command",)]


def test_a_command_may_read_another_variable(file, tmp_path: Path):
    """The URL can be given under another name."""
    path = file("a")
    line = f'printf %s "$PG_URL" > {tmp_path}/told'
    pgherd.command(line, inputs=[path], variable="PG_URL").apply("postgresql://ada@db/shop")
    assert (tmp_path / "told").read_text() == "postgresql://ada@db/shop"


@pytest.mark.parametrize("path", [None, "/usr/bin:/bin", "activated"])
def test_a_command_finds_what_is_installed_beside_pytest(file, monkeypatch, tmp_path, path):
    """A program of the virtual environment is found, activated or not, and others as before."""
    scripts = sysconfig.get_path("scripts")
    if path is None:
        monkeypatch.delenv("PATH")
    else:
        monkeypatch.setenv("PATH", path.replace("activated", f"/usr/bin:/bin:{scripts}"))
    line = f'pytest --version && cat /dev/null && printf %s "$PATH" > {tmp_path}/told'
    pgherd.command(line, inputs=[file("a")]).apply("postgresql://ada@db/shop")
    expected = {
        None: f"{scripts}:{os.defpath}",
        "/usr/bin:/bin": f"{scripts}:/usr/bin:/bin",
        "activated": f"/usr/bin:/bin:{scripts}",
    }
    assert (tmp_path / "told").read_text() == expected[path]


def test_a_command_that_fails(file):
    """An error has the command, its code and all that it printed."""
    migrations = pgherd.command("echo said; echo told >&2; exit 3", inputs=[file("a")])
    with pytest.raises(RuntimeError) as caught:
        migrations.apply("postgresql://ada@db/shop")
    assert str(caught.value) == (
        "'echo said; echo told >&2; exit 3' ended with code 3:\nsaid\ntold\n"
    )


def test_a_command_that_asks(file):
    """A command that waits for somebody to type gets the end of the file."""
    pgherd.command("! read answer", inputs=[file("a")]).apply("postgresql://ada@db/shop")


def test_a_command_without_its_inputs(tmp_path: Path):
    """An input that is not there is told by its path."""
    with pytest.raises(UsageError) as caught:
        pgherd.command("true", inputs=[tmp_path / "none"]).fingerprint()
    assert str(tmp_path / "none") in str(caught.value)


MAKERS = pytest.mark.parametrize(
    "make",
    [
        pgherd.sql_files,
        lambda path: pgherd.command("migrate", inputs=[path]),
    ],
    ids=["sql_files", "command"],
)


@MAKERS
def test_a_fingerprint_stays(make, file, tmp_path: Path):
    """The same files have the same fingerprint wherever they lie, whatever lies beside them."""
    file("one/sql/a.sql", "A")
    file("two/sql/a.sql", "A")
    file("two/other.sql", "B")
    file("two/sql/__pycache__/a.pyc", "C")
    assert (
        make(tmp_path / "one" / "sql").fingerprint() == make(tmp_path / "two" / "sql").fingerprint()
    )


@MAKERS
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"a.sql": "A"}, {"a.sql": "B"}),
        ({"a.sql": "A"}, {"b.sql": "A"}),
        ({"a.sql": "A"}, {"a.sql": "A", "b.sql": ""}),
        ({"a.sql": "A", "b.sql": "B"}, {"a.sql": "B", "b.sql": "A"}),
        ({"a.sql": "Ab.sql", "b.sql": ""}, {"a.sql": "A", "b.sql": "b.sql"}),
    ],
)
def test_a_fingerprint_changes(make, file, tmp_path: Path, before: dict, after: dict):
    """Another content, another name, one file more: another fingerprint."""
    prints = []
    for place, files in (("before", before), ("after", after)):
        for name, text in files.items():
            file(f"{place}/{name}", text)
        prints.append(make(tmp_path / place).fingerprint())
    assert prints[0] != prints[1]


def test_the_order_of_files_counts(file):
    """The same files in another order make another template."""
    one, two = file("1.sql", "A"), file("2.sql", "B")
    assert pgherd.sql_files(one, two).fingerprint() != pgherd.sql_files(two, one).fingerprint()


def test_a_command_looks_into_directories(file, tmp_path: Path):
    """A file that moves from one of an input's directories to another changes the fingerprint."""
    file("before/versions/a.py", "A")
    file("after/old/a.py", "A")
    before, after = (pgherd.command("m", inputs=[tmp_path / n]) for n in ("before", "after"))
    assert before.fingerprint() != after.fingerprint()


def test_a_command_is_part_of_its_fingerprint(file):
    """Another command line, or another variable, makes another template."""
    inputs = [file("a")]
    prints = {
        pgherd.command("one", inputs=inputs).fingerprint(),
        pgherd.command("two", inputs=inputs).fingerprint(),
        pgherd.command("one", inputs=inputs, variable="PG_URL").fingerprint(),
    }
    assert len(prints) == 3


def test_a_fingerprint_is_of_now(file):
    """A file that is changed later changes the fingerprint of the same object."""
    path = file("a.sql", "A")
    migrations = pgherd.sql_files(path)
    before = migrations.fingerprint()
    path.write_text("B")
    assert migrations.fingerprint() != before


def test_migrations_are_values(file):
    """Two that were made alike are equal, and none can be changed."""
    path = file("a.sql", "A")
    migrations = pgherd.sql_files(path)
    assert migrations == pgherd.sql_files(str(path))
    with pytest.raises(dataclasses.FrozenInstanceError):
        migrations.paths = ()


def test_an_error_is_shown_without_our_frames(file, empty):
    """What the person reads has the cause and the file, and no line of pgherd's own."""
    path = file("a.sql", "SELECT nonsense")
    with pytest.raises(RuntimeError) as caught:
        pgherd.sql_files(path).apply(empty("one").url)
    text = str(MigrationError.caused_by(caught.value))
    assert f'{path}: column "nonsense" does not exist' in text
    assert "pgherd/migrations.py" not in text
