"""The pytest hooks, in the order pytest calls them."""

from __future__ import annotations

import os
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import pytest

from pgherd import current, options
from pgherd.coordinator import Coordinator, Reception, RemoteCoordinator
from pgherd.errors import PgherdError
from pgherd.fixtures import (
    _pg_resetter,
    _pg_spares,
    coordination,
    follow_migrations,
    pg,
    pg_database,
    pg_disconnect,
    pg_factory,
    pg_migrations,
    pg_server,
    pg_template,
    worker_id,
)
from pgherd.report import say

if TYPE_CHECKING:
    from pgherd.options import Options

__all__ = [
    "_pg_resetter",
    "_pg_spares",
    "pg",
    "pg_database",
    "pg_disconnect",
    "pg_factory",
    "pg_migrations",
    "pg_server",
    "pg_template",
]

_owner = pytest.StashKey[Coordinator]()
_reception = pytest.StashKey[Reception]()
_opened = pytest.StashKey[ExitStack]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Announce each option under its names for the command line and for ini files."""
    group = parser.getgroup("pgherd", "a PostgreSQL database for every worker")
    for option in options.declared():
        text = (
            f"{option.help} (default: {option.default or 'none'}; environment: {option.variable})"
        )
        group.addoption(option.flag, dest=option.ini, default=None, help=text)
        parser.addini(option.ini, option.help, default=option.default)


def pytest_configure(config: pytest.Config) -> None:
    """Make this process the run's owner, or a worker of the owner that started it."""
    config.addinivalue_line(
        "markers",
        'pg(isolation="clone"): replace the database after the test instead of resetting it',
    )
    opened = config.stash[_opened] = ExitStack()
    worker_input: dict[str, Any] | None = getattr(config, "workerinput", None)
    if worker_input is not None:
        line = RemoteCoordinator(worker_input["pgherd"], worker_input["workerid"])
        config.stash[worker_id] = worker_input["workerid"]
        config.stash[coordination] = opened.enter_context(closing(line))
        return
    owner = Coordinator(_options(config), lambda text: say(config, text), _workers(config))
    config.stash[worker_id] = "main"
    config.stash[coordination] = config.stash[_owner] = opened.enter_context(closing(owner))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell an xdist worker, before it starts, how to reach the owner."""
    stash = node.config.stash
    if _reception not in stash:
        reception = Reception(stash[_owner])
        stash[_reception] = stash[_opened].enter_context(closing(reception))
    node.workerinput["pgherd"] = stash[_reception].invitation


def pytest_itemcollected(item: pytest.Item) -> None:
    """Set `pg` up for a test that asks for it without naming it, before its other fixtures."""
    asking = (getattr(item, "function", None), getattr(item, "cls", None))
    names: list[str] = getattr(item, "fixturenames", [])
    if "pg" not in names and any(hasattr(each, current.ASKS) for each in asking):
        names.insert(0, "pg")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Change to the database of the test's own directory before its fixtures are set up."""
    follow_migrations(item)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Drop the clones and stop the server, when all else has let go of them.

    A run that had no server ends like one that was called wrongly: with exit code 4.
    """
    stash = session.config.stash
    if _owner in stash and stash[_owner].failed:
        session.exitstatus = pytest.ExitCode.USAGE_ERROR
    stash[_opened].close()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Do the same for a session that ended before it had begun."""
    if _opened in config.stash:
        config.stash[_opened].close()


def _workers(config: pytest.Config) -> int:
    """Count the processes that will run tests: those of xdist, which has resolved `-n auto`.

    Each item of `tx` is one worker, or several: `4*popen//python=python3.12`.
    """
    specs: list[str] = config.getoption("tx", None) or []
    numbers = [spec.partition("*")[0] for spec in specs if "*" in spec]
    several = sum(int(number) - 1 for number in numbers if number.isdecimal())
    return max(1, len(specs) + several) if config.getoption("dist", "no") != "no" else 1


def _options(config: pytest.Config) -> Options:
    try:
        return options.read(config.getoption, os.environ, config.getini)
    except PgherdError as error:
        raise pytest.UsageError(f"pgherd: {error}") from error
