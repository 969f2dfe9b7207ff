"""Every published import, fixture, mark, option and attribute still exists."""

from __future__ import annotations

import importlib
import inspect

import pytest

from pgherd import Address, Database

PGHERD = [
    "Address",
    "Database",
    "LeftBehindWarning",
    "MigrationError",
    "Migrations",
    "PgherdError",
    "ServerError",
    "UsageError",
    "command",
    "sql_files",
]
PEEWEE = ["PeeweeMigrations", "bound", "create_tables", "disconnect", "with_test_db"]
FIXTURES = {
    "pg": "function",
    "pg_database": "session",
    "pg_disconnect": "session",
    "pg_factory": "function",
    "pg_migrations": "session",
    "pg_server": "session",
    "pg_template": "session",
}
OPTIONS = ["server", "image", "bin", "url", "listen"]


@pytest.mark.parametrize(("module", "names"), [("pgherd", PGHERD), ("pgherd.peewee", PEEWEE)])
def test_public_names_can_be_imported(module: str, names: list[str]):
    """The public names of the first version exist, and `__all__` lists them."""
    found = importlib.import_module(module)
    assert [name for name in names if not hasattr(found, name)] == []
    assert set(names) <= set(found.__all__)


def test_plugin_module_can_be_imported():
    """A project that disables autoloading of plugins writes `-p pgherd.plugin`."""
    assert inspect.isfunction(importlib.import_module("pgherd.plugin").pytest_configure)


def test_fixtures_exist_with_their_scopes(pytester: pytest.Pytester):
    """`pytest --fixtures` lists the seven fixtures, each with its scope."""
    pytester.makepyfile("")
    lines = pytester.runpytest_subprocess("--fixtures", "-pno:randomly").outlines
    for name, scope in FIXTURES.items():
        shown = f"{name} [{scope} scope]" if scope != "function" else name
        assert any(line.startswith(f"{shown} -- ") for line in lines), name


@pytest.mark.parametrize("name", OPTIONS)
def test_option_exists_with_its_three_names(pytester: pytest.Pytester, name: str):
    """`--help` shows the flag, the environment variable and the ini name."""
    text = pytester.runpytest_subprocess("--help").stdout.str()
    for shown in (f"--pgherd-{name}=", f"PGHERD_{name.upper()}", f"pgherd_{name} "):
        assert shown in text


def test_mark_is_registered(pytester: pytest.Pytester):
    """`pytest --markers` lists the mark, so `--strict-markers` accepts it."""
    text = pytester.runpytest_subprocess("--markers").stdout.str()
    assert '@pytest.mark.pg(isolation="clone")' in text


def test_database_has_its_attributes(pg_database: Database):
    """`pg` and `pg_database` have the published attributes."""
    assert isinstance(pg_database, Database)
    assert isinstance(pg_database.server, Address)
    assert pg_database.url.startswith("postgresql://")
    assert f"dbname={pg_database.name}" in pg_database.dsn
    assert (pg_database.host, pg_database.port) == (
        pg_database.server.host,
        pg_database.server.port,
    )
    pg_database.connect().close()
