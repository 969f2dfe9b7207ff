"""Migrations by a shell command: its environment, and its errors."""

from __future__ import annotations

import os
import sys
import sysconfig
from typing import TYPE_CHECKING

import pytest

import pgherd
from pgherd import UsageError
from tests.pgherd.support import files

if TYPE_CHECKING:
    from pathlib import Path

file = files.file

TABLES = "SELECT relname::text FROM pg_class WHERE oid >= 16384 AND relkind = 'r' ORDER BY 1"


def test_a_command_gets_the_url(file, make_database, execute):
    """The URL is in DATABASE_URL, and the rest of the environment stays."""
    path = file(
        "migrate.py",
        "import os, psycopg2\n"
        "connection = psycopg2.connect(os.environ['DATABASE_URL'])\n"
        "connection.cursor().execute('CREATE TABLE of_command ()')\n"
        "connection.commit()\n"
        "assert os.environ['PATH']\n",
    )
    database = make_database("one")
    pgherd.command(f"{sys.executable} {path}", inputs=[path]).apply(database.url)
    assert execute(database, TABLES) == [("of_command",)]


def test_the_url_can_be_in_another_variable(file, tmp_path: Path):
    """The argument `variable` names it."""
    path = file("a")
    line = f'printf %s "$PG_URL" > {tmp_path}/printed'
    pgherd.command(line, inputs=[path], variable="PG_URL").apply("postgresql://ada@db/shop")
    assert (tmp_path / "printed").read_text() == "postgresql://ada@db/shop"


@pytest.mark.parametrize("path", [None, "/usr/bin:/bin", "activated"])
def test_a_command_finds_the_programs_of_the_virtual_environment(file, monkeypatch, tmp_path, path):
    """They are found even if it is not activated, and other programs are found as before."""
    scripts = sysconfig.get_path("scripts")
    if path is None:
        monkeypatch.delenv("PATH")
    else:
        monkeypatch.setenv("PATH", path.replace("activated", f"/usr/bin:/bin:{scripts}"))
    line = f'pytest --version && cat /dev/null && printf %s "$PATH" > {tmp_path}/printed'
    pgherd.command(line, inputs=[file("a")]).apply("postgresql://ada@db/shop")
    expected = {
        None: f"{scripts}:{os.defpath}",
        "/usr/bin:/bin": f"{scripts}:/usr/bin:/bin",
        "activated": f"/usr/bin:/bin:{scripts}",
    }
    assert (tmp_path / "printed").read_text() == expected[path]


def test_a_failed_command_is_shown_with_its_output(file):
    """The message has the command line, its exit code, its stdout and its stderr."""
    migrations = pgherd.command("echo out; echo err >&2; exit 3", inputs=[file("a")])
    with pytest.raises(RuntimeError) as caught:
        migrations.apply("postgresql://ada@db/shop")
    assert str(caught.value) == ("'echo out; echo err >&2; exit 3' ended with code 3:\nout\nerr\n")


def test_a_command_that_reads_stdin_gets_its_end(file):
    """A command that asks the user a question does not wait forever."""
    pgherd.command("! read answer", inputs=[file("a")]).apply("postgresql://ada@db/shop")


def test_a_missing_input_is_refused(tmp_path: Path):
    """The message contains the path of the input."""
    with pytest.raises(UsageError) as caught:
        pgherd.command("true", inputs=[tmp_path / "none"]).fingerprint()
    assert str(tmp_path / "none") in str(caught.value)


def environment_of_a_command(tmp_path: Path, file, url: str) -> dict[str, str]:
    """Run a command that prints its environment; return the variables that begin with PG."""
    printed = tmp_path / "printed"
    pgherd.command(f"env -0 > {printed}", inputs=[file("a")]).apply(url)
    pairs = (line.partition("=") for line in printed.read_text().split("\0"))
    return {name: value for name, _, value in pairs if name.startswith("PG")}


@pytest.fixture
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove libpq's and pgherd's variables from the environment."""
    for name in [name for name in os.environ if name.startswith("PG")]:
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("_no_variables")
def test_a_command_gets_the_variables_of_libpq(file, tmp_path: Path):
    """The parts of the URL are in them, without the quoting of a URL."""
    url = "postgresql://ada:p%40ss@db.example.com:5433/a%20shop?sslmode=require"
    assert environment_of_a_command(tmp_path, file, url) == {
        "PGHOST": "db.example.com",
        "PGPORT": "5433",
        "PGUSER": "ada",
        "PGPASSWORD": "p@ss",
        "PGDATABASE": "a shop",
        "PGSSLMODE": "require",
    }


@pytest.mark.usefixtures("_no_variables")
def test_the_variables_of_the_shell_do_not_reach_a_command(file, monkeypatch, tmp_path: Path):
    """Those of libpq could lead it to another server; the options of pgherd stay."""
    for name in ("PGHOST", "PGHOSTADDR", "PGSERVICE", "PGSSLMODE", "PGDATABASE", "PGHERD_SERVER"):
        monkeypatch.setenv(name, "of_the_shell")
    assert environment_of_a_command(tmp_path, file, "postgresql://ada:b@db:5433/shop") == {
        "PGHOST": "db",
        "PGPORT": "5433",
        "PGUSER": "ada",
        "PGPASSWORD": "b",
        "PGDATABASE": "shop",
        "PGHERD_SERVER": "of_the_shell",
    }


def test_a_command_connects_with_the_variables_alone(file, make_database, execute, monkeypatch):
    """A program that gives libpq no argument creates its table in the database."""
    database = make_database("one")
    monkeypatch.setenv("PGHOSTADDR", "192.0.2.1")
    monkeypatch.setenv("PGSERVICE", "none")
    path = file(
        "migrate.py",
        "import psycopg2\n"
        "connection = psycopg2.connect('')\n"
        "connection.cursor().execute('CREATE TABLE of_command ()')\n"
        "connection.commit()\n",
    )
    pgherd.command(f"{sys.executable} {path}", inputs=[path]).apply(database.url)
    monkeypatch.delenv("PGHOSTADDR")
    monkeypatch.delenv("PGSERVICE")
    assert execute(database, TABLES) == [("of_command",)]
