"""The command line, and how the service finds its database."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

from app import create_app
from app.db import DatabaseURLError

FLASK = [sys.executable, "-m", "flask", "--app", "app"]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def environment(pg):
    """The environment variables of a command that uses this test's database."""
    return {**os.environ, "DATABASE_URL": pg.url, "PYTHONUNBUFFERED": "1"}


def test_migrate_an_empty_database(app, sql):
    """The command applies all migrations and prints their names."""
    sql("DROP SCHEMA public CASCADE")
    sql("CREATE SCHEMA public")
    result = app.test_cli_runner().invoke(args=["migrate"])
    assert result.exit_code == 0
    assert result.output.splitlines()[0] == "applied 001_users_and_roles"
    assert result.output.splitlines()[-1] == "applied 007_audit"
    assert sql("SELECT name FROM role ORDER BY id") == [("basic",), ("admin",)]


@pytest.mark.usefixtures("pg")
def test_migrate_a_current_database(app):
    """The command prints "nothing to apply" on a current database."""
    assert app.test_cli_runner().invoke(args=["migrate"]).output == "nothing to apply\n"


def test_migrate_from_the_shell(environment, sql):
    """The command reads the URL from the environment of its own process."""
    sql("DROP SCHEMA public CASCADE")
    sql("CREATE SCHEMA public")
    subprocess.run([*FLASK, "migrate"], env=environment, cwd=ROOT, check=True, capture_output=True)
    assert sql("SELECT count(*) FROM migratehistory") == [(7,)]


@pytest.mark.usefixtures("ada")
def test_run_from_the_shell(environment):
    """The development server answers with a row of the database."""
    command = [*FLASK, "run", "--port", "0"]
    with subprocess.Popen(
        command, env=environment, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as server:
        try:
            line = next(line for line in server.stderr if b"Running on" in line)
            address = line.split()[-1].decode()
            request = urllib.request.Request(f"{address}/users/1", headers={"X-User-Id": "1"})
            with closing(urllib.request.urlopen(request, timeout=5)) as response:
                assert b'"ada@example.com"' in response.read()
        finally:
            server.kill()


def test_missing_url_is_an_error_without_a_traceback(environment, sql):
    """Without DATABASE_URL, the command prints an error and changes nothing."""
    sql("DELETE FROM migratehistory WHERE name = '007_audit'")
    del environment["DATABASE_URL"]
    result = subprocess.run(
        [*FLASK, "migrate"], env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert result.stderr.startswith("Error: DATABASE_URL is not set")
    assert "Traceback" not in result.stderr
    assert sql("SELECT count(*) FROM migratehistory") == [(6,)]


def test_url_from_the_environment(ada, pg, monkeypatch):
    """Without a configuration, the service reads the URL from the environment."""
    monkeypatch.setenv("DATABASE_URL", pg.url)
    service = create_app()
    response = service.test_client().get("/users/1", headers={"X-User-Id": str(ada.id)})
    assert response.json["name"] == "ada"


def test_url_from_the_configuration_wins(ada, pg, monkeypatch):
    """The URL in the configuration overrides the URL in the environment."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://nowhere.invalid/none")
    service = create_app({"DATABASE_URL": pg.url})
    response = service.test_client().get("/users/1", headers={"X-User-Id": str(ada.id)})
    assert response.status_code == 200


def test_no_url_is_an_error(client, monkeypatch):
    """Without a URL, create_app raises an error, and the first service still works."""
    monkeypatch.delenv("DATABASE_URL", raising=False)
    with pytest.raises(
        DatabaseURLError, match="Set it in the environment or pass it to create_app"
    ):
        create_app()
    assert client.post("/users/create", json={"email": "a@b.cd", "name": "A"}).status_code == 200


def test_url_of_another_database_is_an_error(client):
    """A URL of another kind is an error, whose text does not contain the password."""
    with pytest.raises(DatabaseURLError) as raised:
        create_app({"DATABASE_URL": "mysql://root:secret@localhost/shop"})
    assert "secret" not in str(raised.value)
    assert client.post("/users/create", json={"email": "a@b.cd", "name": "A"}).status_code == 200
