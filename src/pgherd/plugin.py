"""The pytest hooks, in the order pytest calls them."""

from __future__ import annotations

import os
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from pgherd import lending, options
from pgherd.errors import PgherdError, UsageError
from pgherd.fixtures import (
    _pg_prefetched,
    _pg_worker_database,
    coordination,
    pg,
    pg_database,
    pg_disconnect,
    pg_factory,
    pg_migrations,
    pg_server,
    pg_template,
    worker_database,
    worker_id,
)
from pgherd.overrides import Overrides
from pgherd.postgres.address import Endpoint
from pgherd.run.coordinator import Coordinator
from pgherd.run.transport import Reception, RemoteCoordinator
from pgherd.terminal import write_line

if TYPE_CHECKING:
    from pgherd.options import Options

__all__ = [
    "_pg_prefetched",
    "_pg_worker_database",
    "pg",
    "pg_database",
    "pg_disconnect",
    "pg_factory",
    "pg_migrations",
    "pg_server",
    "pg_template",
]


@dataclass
class _Owner:
    """What the owner keeps for its workers."""

    coordinator: Coordinator
    local: Reception | None = None
    """The reception for workers on this machine, opened with the first of them."""
    remote: Reception | None = None
    """The reception for workers on other machines."""


@dataclass
class _Process:
    """What this process keeps while pytest runs."""

    overrides: Overrides
    opened: ExitStack = field(default_factory=ExitStack)
    owner: _Owner | None = None


_process = pytest.StashKey[_Process]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare each option for the command line and for ini files."""
    group = parser.getgroup("pgherd", "a PostgreSQL database for every worker")
    for option in options.declared():
        text = (
            f"{option.help} (default: {option.default or 'none'}; environment: {option.variable})"
        )
        group.addoption(option.flag, dest=option.ini, default=None, help=text)
        default: Any = [] if option.lines else option.default
        kind: Any = "linelist" if option.lines else None
        parser.addini(option.ini, option.help, type=kind, default=default)


def pytest_configure(config: pytest.Config) -> None:
    """Make this process the run's owner, or a worker of the owner that started it."""
    config.addinivalue_line(
        "markers",
        'pg(isolation="clone"): replace the database after the test, even if it could be reset',
    )
    overrides = Overrides(lambda: _close_connections(config))
    process = config.stash[_process] = _Process(overrides)
    worker_input: dict[str, Any] | None = getattr(config, "workerinput", None)
    if worker_input is not None:
        remote = RemoteCoordinator(worker_input["pgherd"], worker_input["workerid"])
        config.stash[worker_id] = worker_input["workerid"]
        config.stash[coordination] = process.opened.enter_context(closing(remote))
        return
    try:
        _become_owner(config, process)
    except PgherdError as error:
        raise pytest.UsageError(f"pgherd: {error}") from error


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell an xdist worker, before it starts, how to reach the owner."""
    process = node.config.stash[_process]
    reception = _reception(process, str(node.gateway.spec))
    node.workerinput["pgherd"] = reception.invitation


def pytest_itemcollected(item: pytest.Item) -> None:
    """Request `pg`, before other fixtures, for a test that needs it without naming it."""
    requesters = (getattr(item, "function", None), getattr(item, "cls", None))
    names: list[str] = getattr(item, "fixturenames", [])
    if "pg" not in names and any(hasattr(each, lending.REQUESTS_PG) for each in requesters):
        names.insert(0, "pg")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Apply the migrations of the test's directory; mark an unreset database as dirty."""
    item.config.stash[_process].overrides.test_begins(item)
    if (database := item.config.stash.get(worker_database, None)) is not None:
        database.test_begins()


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> None:
    """Record which definition of `pg_migrations` applies."""
    request.config.stash[_process].overrides.fixture_set_up(fixturedef, request)


def pytest_fixture_post_finalizer(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> None:
    """Do not trust a reset if a fixture that has the database is torn down after it."""
    database = request.config.stash.get(worker_database, None)
    if database is not None:
        overrides = request.config.stash[_process].overrides
        if overrides.may_write(fixturedef.argname):
            database.fixture_ends()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Close what this process opened, after all other plugins have finished.

    The owner then drops the clones and stops the server. If the server failed to start, or is too
    small for the run, pytest exits with code 4 (usage error).
    """
    process = session.config.stash[_process]
    if process.owner is not None and process.owner.coordinator.failed:
        session.exitstatus = pytest.ExitCode.USAGE_ERROR
    process.opened.close()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Close what this process opened, if pytest stopped before the session started."""
    if _process in config.stash:
        config.stash[_process].opened.close()


def _close_connections(config: pytest.Config) -> None:
    if (database := config.stash.get(worker_database, None)) is not None:
        database.close_connections()


def _become_owner(config: pytest.Config, process: _Process) -> None:
    specs = _worker_specs(config)
    chosen = options.read(config.getoption, os.environ, config.getini)
    endpoint = _endpoint(chosen, specs)
    host = endpoint.host if endpoint else ""
    coordinator = Coordinator(
        chosen, lambda text: write_line(config, text), max(1, len(specs)), host
    )
    config.stash[worker_id] = "main"
    config.stash[coordination] = process.opened.enter_context(closing(coordinator))
    process.owner = _Owner(coordinator)
    if endpoint:
        process.owner.remote = process.opened.enter_context(
            closing(Reception(coordinator, endpoint))
        )


def _reception(process: _Process, spec: str) -> Reception:
    owner = process.owner
    assert owner is not None  # noqa: S101 (for mypy: only the owner has workers)
    if owner.remote is not None and _may_be_remote(spec):
        return owner.remote
    if owner.local is None:
        owner.local = process.opened.enter_context(closing(Reception(owner.coordinator)))
    return owner.local


def _worker_specs(config: pytest.Config) -> list[str]:
    """List the specifications of xdist's workers, one each; xdist has resolved `-n auto`.

    Each item of `tx` is one worker, or several: `4*popen//python=python3.12`.
    """
    found: list[str] = []
    if config.getoption("dist", "no") != "no":
        for spec in config.getoption("tx", None) or []:
            number, _, repeated = spec.partition("*")
            found += [repeated] * int(number) if number.isdecimal() else [spec]
    return found


def _may_be_remote(spec: str) -> bool:
    """Whether a worker may be on another machine; with `via=`, its gateway may be on one."""
    keys = {part.partition("=")[0] for part in spec.split("//")}
    return "popen" not in keys or "via" in keys


def _endpoint(chosen: Options, specs: list[str]) -> Endpoint | None:
    """Return where workers on other machines reach this one; None if no worker is remote."""
    remote = [spec for spec in specs if _may_be_remote(spec)]
    if remote and not chosen.listen:
        raise UsageError(
            f"the worker --tx {remote[0]} may be on another machine, but pgherd_listen is not set. "
            "Set it to an address of this machine that the worker can reach: --pgherd-listen=host"
        )
    return Endpoint.read(chosen.listen) if remote else None
