"""The adapter for Peewee: migrations, tables from models, and databases bound to a clone."""

from __future__ import annotations

import hashlib
import logging
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import peewee

from pgherd.binding import bound, disconnect, kind_of
from pgherd.errors import UsageError
from pgherd.migrations import fingerprint_of
from pgherd.testdb import with_test_db

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["PeeweeMigrations", "bound", "create_tables", "disconnect", "with_test_db"]


@dataclass(frozen=True)
class PeeweeMigrations:
    """Run the migrations in a directory by peewee-migrate's router.

    Args:
        directory: where the migrations are: `001_initial.py` and so on.

    Example:
        @pytest.fixture(scope="session")
        def pg_migrations():
            return PeeweeMigrations("app/migrations")
    """

    directory: str | Path

    def fingerprint(self) -> str:
        """Give a digest of the migrations' names and contents.

        Raises:
            UsageError: there is no migration in the directory.
        """
        files = sorted(Path(self.directory).glob("*.py"))
        if not files:
            place = Path(self.directory).absolute()
            raise UsageError(
                f"PeeweeMigrations: there is no migration (*.py) in {place}. If that "
                'depends on where pytest is started, write: Path(__file__).parent / "migrations"'
            )
        return fingerprint_of(files)

    def apply(self, url: str) -> None:
        """Run all migrations, in order.

        Raises:
            RuntimeError: one of them failed; it is named, and the cause is chained.
        """
        from peewee_migrate import Router

        with _connected(peewee.PostgresqlDatabase, url) as database:
            router = Router(database, migrate_dir=str(self.directory), logger=_unheard())
            try:
                router.run()
            except Exception as error:
                failed = Path(self.directory) / f"{router.diff[0]}.py"
                raise RuntimeError(f"{failed}: {str(error).strip()}") from error


class _Listening(peewee.PostgresqlDatabase):
    """A database that nobody connects to: it notes what it is told."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.said: list[tuple[str, Any]] = []
        super().__init__(*args, **kwargs)

    def execute_sql(self, sql: str, params: Any = None, *_: Any, **__: Any) -> None:
        """Note a statement and its parameters."""
        self.said.append((sql, params))

    def sequence_exists(self, *_: Any) -> bool:
        """Say that there is none, so that its creation is told, too."""
        return False


@dataclass(frozen=True)
class ModelTables:
    """Create the tables of models; `create_tables` makes one."""

    database: peewee.Database | peewee.Proxy
    models: tuple[type[peewee.Model], ...]

    def fingerprint(self) -> str:
        """Give a digest of the SQL that creates the tables."""
        listening = _Listening(None)
        with listening.bind_ctx(self.models, bind_refs=False, bind_backrefs=False):
            listening.create_tables(self.models, safe=False)
        return hashlib.sha256(repr(listening.said).encode()).hexdigest()

    def apply(self, url: str) -> None:
        """Create the tables, those first that others refer to."""
        with (
            _connected(kind_of(self.database), url) as database,
            database.bind_ctx(self.models, bind_refs=False, bind_backrefs=False),
        ):
            database.create_tables(self.models)


def create_tables(
    database: peewee.Database | peewee.Proxy, models: Sequence[type[peewee.Model]]
) -> ModelTables:
    """Make the template's tables from models, for a project without migrations.

    Args:
        database: the one that the models are bound to. It is not connected to: the tables are
            created through another of the same class.
        models: each gets a table, with its indexes and constraints.
    """
    return ModelTables(database, tuple(models))


@contextmanager
def _connected(kind: type[peewee.Database], url: str) -> Iterator[Any]:
    database = kind(url)  # libpq reads a URL where it expects a database's name
    try:
        yield database
    finally:
        database.close()


def _unheard() -> logging.Logger:
    """Make a logger that keeps to itself: what a migration raises is shown anyway, once."""
    logger = logging.getLogger("pgherd.unheard")
    logger.disabled = True
    return logger
