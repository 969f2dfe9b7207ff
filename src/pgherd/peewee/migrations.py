"""Migrations with Peewee: by peewee-migrate, or by creating the tables of models."""

from __future__ import annotations

import hashlib
import logging
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import peewee

from pgherd.errors import UsageError
from pgherd.peewee.binding import class_of
from pgherd.template.migrations import fingerprint_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True)
class PeeweeMigrations:
    """Run the migrations in a directory with peewee-migrate.

    Args:
        directory: the directory of the migrations: `001_initial.py` and so on.

    Example:
        @pytest.fixture(scope="session")
        def pg_migrations():
            return PeeweeMigrations("app/migrations")
    """

    directory: str | Path

    def fingerprint(self) -> str:
        """Return a digest of the migrations' names and contents.

        Raises:
            UsageError: the directory has no migration.
        """
        files = sorted(Path(self.directory).glob("*.py"))
        if not files:
            place = Path(self.directory).absolute()
            raise UsageError(
                f"PeeweeMigrations: there is no migration (*.py) in {place}. If this "
                'depends on where pytest is started, write: Path(__file__).parent / "migrations"'
            )
        return fingerprint_of(files)

    def apply(self, url: str) -> None:
        """Run all migrations, in order.

        Raises:
            RuntimeError: a migration failed. The message names it, and the cause is chained.
        """
        from peewee_migrate import Router

        with _connected(peewee.PostgresqlDatabase, url) as database:
            router = Router(database, migrate_dir=str(self.directory), logger=_silent_logger())
            try:
                router.run()
            except Exception as error:
                failed = Path(self.directory) / f"{router.diff[0]}.py"
                raise RuntimeError(f"{failed}: {str(error).strip()}") from error


class _Recorder(peewee.PostgresqlDatabase):
    """A database that records statements instead of executing them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.statements: list[tuple[str, Any]] = []
        super().__init__(*args, **kwargs)

    def execute_sql(self, sql: str, params: Any = None, *_: Any, **__: Any) -> None:
        """Record a statement and its parameters."""
        self.statements.append((sql, params))

    def sequence_exists(self, *_: Any) -> bool:
        """Return False, so that Peewee creates the sequence, too."""
        return False


@dataclass(frozen=True)
class ModelTables:
    """Migrations that create the tables of models; see `create_tables`."""

    database: peewee.Database | peewee.Proxy
    models: tuple[type[peewee.Model], ...]

    def fingerprint(self) -> str:
        """Return a digest of the SQL that creates the tables."""
        recorder = _Recorder(None)
        with recorder.bind_ctx(self.models, bind_refs=False, bind_backrefs=False):
            recorder.create_tables(self.models, safe=False)
        return hashlib.sha256(repr(recorder.statements).encode()).hexdigest()

    def apply(self, url: str) -> None:
        """Create the tables; a table comes after those that it refers to."""
        with (
            _connected(class_of(self.database), url) as database,
            database.bind_ctx(self.models, bind_refs=False, bind_backrefs=False),
        ):
            database.create_tables(self.models)


def create_tables(
    database: peewee.Database | peewee.Proxy, models: Sequence[type[peewee.Model]]
) -> ModelTables:
    """Migrate by creating the tables of models, for a project without migrations.

    Args:
        database: the database that the models are bound to. pgherd does not connect to it, but
            creates the tables through a new database object of the same class.
        models: the models whose tables are created, with their indexes and constraints.
    """
    return ModelTables(database, tuple(models))


@contextmanager
def _connected(class_: type[peewee.Database], url: str) -> Iterator[Any]:
    database = class_(url)  # libpq also accepts a URL in place of a database's name
    try:
        yield database
    finally:
        database.close()


def _silent_logger() -> logging.Logger:
    """Return a disabled logger, because pgherd shows the exception already."""
    logger = logging.getLogger("pgherd.silent")
    logger.disabled = True
    return logger
