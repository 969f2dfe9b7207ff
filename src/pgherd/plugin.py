"""The pytest hooks, in the order pytest calls them."""

from __future__ import annotations

import os
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import pytest

from pgherd import current, options
from pgherd.address import Endpoint
from pgherd.coordinator import Coordinator, Reception, RemoteCoordinator
from pgherd.errors import PgherdError, UsageError
from pgherd.fixtures import (
    _pg_resetter,
    _pg_spares,
    coordination,
    follow_migrations,
    note_use,
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
_receptions = pytest.StashKey[dict[bool, Reception]]()
"""One for workers on this machine, which is False, and one for those on others."""
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
    try:
        _become_owner(config, opened)
    except PgherdError as error:
        raise pytest.UsageError(f"pgherd: {error}") from error


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell an xdist worker, before it starts, how to reach the owner."""
    stash = node.config.stash
    receptions, remote = stash[_receptions], _is_remote(str(node.gateway.spec))
    if remote not in receptions:
        receptions[remote] = stash[_opened].enter_context(closing(Reception(stash[_owner])))
    node.workerinput["pgherd"] = receptions[remote].invitation


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


def pytest_runtest_teardown(item: pytest.Item) -> None:
    """See that what a test did without `pg` does not stay for one with it."""
    note_use(item)


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


def _become_owner(config: pytest.Config, opened: ExitStack) -> None:
    specs = _specs(config)
    chosen = options.read(config.getoption, os.environ, config.getini)
    endpoint = _endpoint(chosen, specs)
    host = endpoint.host if endpoint else ""
    owner = Coordinator(chosen, lambda text: say(config, text), max(1, len(specs)), host)
    config.stash[worker_id] = "main"
    config.stash[coordination] = config.stash[_owner] = opened.enter_context(closing(owner))
    receptions = config.stash[_receptions] = {}
    if endpoint:
        receptions[True] = opened.enter_context(closing(Reception(owner, endpoint)))


def _specs(config: pytest.Config) -> list[str]:
    """List what xdist makes its workers from, one each; it has resolved `-n auto`.

    Each item of `tx` is one worker, or several: `4*popen//python=python3.12`.
    """
    found: list[str] = []
    if config.getoption("dist", "no") != "no":
        for spec in config.getoption("tx", None) or []:
            number, _, repeated = spec.partition("*")
            found += [repeated] * int(number) if number.isdecimal() else [spec]
    return found


def _is_remote(spec: str) -> bool:
    """Say whether a worker may be on another machine; one behind a proxy is where the proxy is."""
    keys = {part.partition("=")[0] for part in spec.split("//")}
    return "popen" not in keys or "via" in keys


def _endpoint(chosen: Options, specs: list[str]) -> Endpoint | None:
    """Give where workers on other machines reach this one; None where there are none."""
    remote = [spec for spec in specs if _is_remote(spec)]
    if remote and not chosen.listen:
        raise UsageError(
            f"the worker --tx {remote[0]} may be on another machine, but it was not said where it "
            "reaches this one. Name this machine's address, as the workers reach it: "
            "--pgherd-listen=host"
        )
    return Endpoint.read(chosen.listen) if remote else None
