"""The fixtures: each only delegates to one stage of a database's life."""

from __future__ import annotations

import logging
import warnings
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest

from pgherd import clone, current, naming, reset, template, undo
from pgherd.clone import Spares
from pgherd.errors import LeftBehindWarning, MigrationError, PgherdError, UsageError
from pgherd.migrations import NoMigrations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pgherd.address import Address, Database
    from pgherd.coordinator import Coordination
    from pgherd.migrations import Migrations
    from pgherd.reset import Resetter

coordination: pytest.StashKey[Coordination] = pytest.StashKey()
worker_id = pytest.StashKey[str]()
_not_reset = pytest.StashKey[bool]()
_migrated_by: pytest.StashKey[Any] = pytest.StashKey()

log = logging.getLogger("pgherd")

_ISOLATIONS = ("reset", "clone")
_KEPT = (
    "the database was replaced, and connections to it that nobody had closed were ended: {kept}. "
    "Code that goes on with one, as a pool does, fails. Override the fixture pg_disconnect: it "
    "gives a function that closes what is kept, such as SQLAlchemy's engine.dispose"
)


@pytest.fixture(scope="session")
def pg_server(request: pytest.FixtureRequest) -> Address:
    """Give the run's PostgreSQL server; the first to ask for it has it started."""
    with _told(request):
        return request.config.stash[coordination].server()


@pytest.fixture(scope="session")
def pg_migrations() -> Migrations:
    """Override this: what turns an empty database into yours. Without it, databases are empty."""
    return NoMigrations()


@pytest.fixture(scope="session")
def pg_template(
    request: pytest.FixtureRequest, pg_migrations: Migrations, pg_server: Address
) -> str:
    """Give the name of the frozen template; the first worker builds it, the others wait."""
    config = request.config
    owner = config.stash[coordination]

    def migrate(database: Database) -> None:
        try:
            pg_migrations.apply(database.url)
        except Exception as error:
            raise MigrationError.caused_by(error) from error

    with _told(request):
        if not (hasattr(pg_migrations, "fingerprint") and hasattr(pg_migrations, "apply")):
            raise UsageError(
                f"pg_migrations gave {pg_migrations!r}, which has no fingerprint() and apply(url). "
                "PeeweeMigrations, sql_files and command make what has both"
            )
        # What a role makes, another may not touch: each has templates of its own.
        name = naming.template(pg_server.user, pg_migrations.fingerprint(), undo.fingerprint())
        if owner.claim(name, config.stash[worker_id]):
            built = False
            try:
                template.build(pg_server, name, migrate, undo.install)
                built = True
            finally:
                owner.settle(name, built)
        return name


@pytest.fixture(scope="session")
def pg_database(request: pytest.FixtureRequest, pg_server: Address, pg_template: str) -> Database:
    """Give this worker's own database: `.url`, `.dsn`, `.name`, `.host`, `.port`, `.connect()`."""
    with _told(request):
        name = request.config.stash[coordination].clone_name(request.config.stash[worker_id])
        return clone.make(pg_server, pg_template, name)


@pytest.fixture(scope="session")
def pg_disconnect() -> Callable[[], None]:
    """Override this if your code keeps connections: a function that closes them.

    It is called before a clone is replaced, which ends every connection to it.
    """
    return _close_nothing


def _close_nothing() -> None: ...


@pytest.fixture(scope="session")
def _pg_resetter(pg_database: Database) -> Iterator[Resetter]:
    with reset.resetter(pg_database) as resetter:
        yield resetter


@pytest.fixture(scope="session")
def _pg_spares(
    request: pytest.FixtureRequest, pg_database: Database, pg_template: str
) -> Iterator[Spares]:
    with closing(Spares(pg_database, pg_template)) as spares:
        if any(_isolation(item) == "clone" for item in request.session.items):
            spares.prefetch()
        yield spares


@pytest.fixture
def pg(
    request: pytest.FixtureRequest,
    pg_database: Database,
    pg_disconnect: Callable[[], None],
    _pg_resetter: Resetter,
    _pg_spares: Spares,
) -> Iterator[Database]:
    """Give this worker's database, pristine before the test, and reset it after the test.

    With `@pytest.mark.pg(isolation="clone")` it is not reset, but replaced.
    """
    _check_mark(request.node)

    def put_back(*, anew: bool) -> None:
        if not _pg_resetter.undo() or anew:
            _pg_resetter.close()
            pg_disconnect()
            current.disconnect()
            # Who has not said what to close may not know that it is open.
            unaware = pg_disconnect is _close_nothing and not current.knows_what_to_close()
            with _told(request):
                kept = _pg_spares.replace(count=unaware)
            if kept:
                warnings.warn(_KEPT.format(kept=kept), LeftBehindWarning, stacklevel=1)

    if request.config.stash.get(_not_reset, False):
        request.config.stash[_not_reset] = False
        put_back(anew=False)
    with current.lent(pg_database):
        yield pg_database
    put_back(anew=_isolation(request.node) == "clone")
    for left in _pg_resetter.left:
        warnings.warn(str(left), LeftBehindWarning, stacklevel=1)


@pytest.fixture
def pg_factory(_pg_spares: Spares) -> Iterator[Callable[[], Database]]:
    """Give a function that gives a further pristine database, dropped after the test."""
    taken = []

    def take() -> Database:
        taken.append(_pg_spares.take())
        return taken[-1]

    yield take
    for database in taken:
        _pg_spares.discard(database)


def follow_migrations(item: pytest.Item) -> None:
    """Let go of the clone if it was made by other migrations than this test's.

    A project may override `pg_migrations` in several directories. pytest keeps the value of a
    session fixture whatever another directory overrides under it, so that a test would be given
    the database of another directory. What depends on the template is torn down with it, as when
    a parametrized fixture changes: by `FixtureDef.finish` in pytest's src/_pytest/fixtures.py.
    """
    # `with_test_db` asks for `pg` without what that asks for in turn.
    if {"pg", "pg_template"} & {*getattr(item, "fixturenames", ())}:
        migrations = _definition(item, "pg_migrations")
        before = item.config.stash.get(_migrated_by, migrations)
        item.config.stash[_migrated_by] = migrations
        if before is not migrations:
            _definition(item, "pg_template").finish(item._request)  # type: ignore[attr-defined]  # noqa: SLF001


def _definition(item: pytest.Item, name: str) -> pytest.FixtureDef[Any]:
    """Give the fixture of this name that is nearest to the test."""
    found = item.session._fixturemanager.getfixturedefs(name, item)  # noqa: SLF001
    assert found  # noqa: S101 (for mypy: they are this plugin's)
    return found[-1]


def note_use(item: pytest.Item) -> None:
    """Note that a test had the database, and nothing resets it, because it did not ask for `pg`."""
    names = getattr(item, "fixturenames", ())
    if "pg_database" in names and "pg" not in names:
        item.config.stash[_not_reset] = True


def _isolation(item: pytest.Item) -> object:
    mark = item.get_closest_marker("pg")
    return mark.kwargs.get("isolation", "reset") if mark else "reset"


def _check_mark(item: pytest.Item) -> None:
    mark = item.get_closest_marker("pg")
    if mark and (
        mark.args or {*mark.kwargs} - {"isolation"} or _isolation(item) not in _ISOLATIONS
    ):
        given = [*map(repr, mark.args), *(f"{key}={mark.kwargs[key]!r}" for key in mark.kwargs)]
        pytest.fail(
            f"pgherd: the mark pg({', '.join(given)}) is not understood; "
            f"it can be pg(isolation=…), with one of: {', '.join(_ISOLATIONS)}",
            pytrace=False,
        )


@contextmanager
def _told(request: pytest.FixtureRequest) -> Iterator[None]:
    """Tell what is wrong in one message without our traceback, and end the run.

    No test that needs a database could pass, and each would say the same again.
    """
    try:
        yield
    except (PgherdError, psycopg2.Error) as error:
        log.debug("there is no database", exc_info=True)
        request.session.shouldfail = "there is no database to run the tests on"
        told = str(error).strip()
        if isinstance(error, psycopg2.Error):
            told = f"the server did not do what it was asked: {told}"
        raise pytest.fail.Exception(f"pgherd: {told}", pytrace=False) from None
