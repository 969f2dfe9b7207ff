"""The fixtures: each calls one stage of a database's life, or is there to be overridden."""

from __future__ import annotations

import logging
from contextlib import closing, contextmanager
from enum import Enum
from typing import TYPE_CHECKING

import pytest

from pgherd.errors import PgherdError
from pgherd.run import shared_template
from pgherd.run.worker_database import WorkerDatabase, close_nothing
from pgherd.template.migrations import NoMigrations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pgherd.postgres.address import Address, Database
    from pgherd.run import Coordination
    from pgherd.template.migrations import Migrations

coordination: pytest.StashKey[Coordination] = pytest.StashKey()
worker_id = pytest.StashKey[str]()
worker_database = pytest.StashKey[WorkerDatabase]()

log = logging.getLogger("pgherd")


class Isolation(Enum):
    """How `pg` makes the database pristine after a test: the values of its mark."""

    RESET = "reset"
    CLONE = "clone"


@pytest.fixture(scope="session")
def pg_server(request: pytest.FixtureRequest) -> Address:
    """Return the address of the run's PostgreSQL server; requesting it starts the server."""
    with _ending_the_run(request):
        return request.config.stash[coordination].server()


@pytest.fixture(scope="session")
def pg_migrations() -> Migrations:
    """Override this fixture: return what migrates an empty database. By default, it stays empty."""
    return NoMigrations()


@pytest.fixture(scope="session")
def pg_template(
    request: pytest.FixtureRequest, pg_migrations: Migrations, pg_server: Address
) -> str:
    """Return the name of the frozen template; the first worker builds it, the others wait."""
    stash = request.config.stash
    with _ending_the_run(request):
        return shared_template.provide(
            stash[coordination], stash[worker_id], pg_server, pg_migrations
        )


@pytest.fixture(scope="session")
def _pg_worker_database(
    request: pytest.FixtureRequest, pg_server: Address, pg_template: str
) -> Iterator[WorkerDatabase]:
    stash = request.config.stash
    with _ending_the_run(request):
        name = stash[coordination].clone_name(stash[worker_id])
        opened = WorkerDatabase(pg_server, pg_template, name)
    with closing(opened):
        stash[worker_database] = opened
        yield opened
        del stash[worker_database]


@pytest.fixture(scope="session")
def pg_database(_pg_worker_database: WorkerDatabase) -> Database:
    """Return this worker's database: `.url`, `.dsn`, `.name`, `.host`, `.port`, `.connect()`."""
    return _pg_worker_database.database


@pytest.fixture(scope="session")
def pg_disconnect() -> Callable[[], None]:
    """Override this fixture if your code keeps connections: return a function that closes them.

    pgherd calls the function before it replaces a clone, which ends every connection to it.
    """
    return close_nothing


@pytest.fixture(scope="session")
def _pg_prefetched(
    request: pytest.FixtureRequest, _pg_worker_database: WorkerDatabase
) -> WorkerDatabase:
    """Make the first spare early if a test of this run will replace its database for certain."""
    if any(_isolation(item) == Isolation.CLONE.value for item in request.session.items):
        _pg_worker_database.spares.prefetch()
    return _pg_worker_database


@pytest.fixture
def pg(
    request: pytest.FixtureRequest,
    pg_disconnect: Callable[[], None],
    _pg_prefetched: WorkerDatabase,
) -> Iterator[Database]:
    """Return this worker's database, pristine before the test, and reset it after the test.

    With `@pytest.mark.pg(isolation="clone")`, pgherd always replaces the database after the test.
    """
    _check_mark(request.node)
    replace = _isolation(request.node) == Isolation.CLONE.value
    with _ending_the_run(request), _pg_prefetched.lent(pg_disconnect, replace=replace) as database:
        yield database


@pytest.fixture
def pg_factory(_pg_prefetched: WorkerDatabase) -> Iterator[Callable[[], Database]]:
    """Return a function that returns a further pristine database, dropped after the test."""
    with _pg_prefetched.spares.lending() as take:
        yield take


def _isolation(item: pytest.Item) -> object:
    mark = item.get_closest_marker("pg")
    return mark.kwargs.get("isolation", Isolation.RESET.value) if mark else Isolation.RESET.value


def _check_mark(item: pytest.Item) -> None:
    mark = item.get_closest_marker("pg")
    choices = [each.value for each in Isolation]
    if mark and (mark.args or {*mark.kwargs} - {"isolation"} or _isolation(item) not in choices):
        given = [*map(repr, mark.args), *(f"{key}={mark.kwargs[key]!r}" for key in mark.kwargs)]
        pytest.fail(
            f"pgherd: the mark pg({', '.join(given)}) is wrong. Write "
            + " or ".join(f'@pytest.mark.pg(isolation="{choice}")' for choice in choices),
            pytrace=False,
        )


@contextmanager
def _ending_the_run(request: pytest.FixtureRequest) -> Iterator[None]:
    """Turn an error of pgherd into one message without a traceback, and end the run.

    Most further tests would fail with the same message.
    """
    try:
        yield
    except PgherdError as error:
        log.debug("there is no database", exc_info=True)
        request.session.shouldfail = "there is no database to run the tests on"
        raise pytest.fail.Exception(f"pgherd: {str(error).strip()}", pytrace=False) from None
