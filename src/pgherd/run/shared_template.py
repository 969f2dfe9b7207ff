"""The template that all workers of a run share: one worker builds it, the others wait."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from pgherd.errors import MigrationError, UsageError
from pgherd.postgres import connections, libpq, naming
from pgherd.reset import generator
from pgherd.template.build import build

if TYPE_CHECKING:
    from pgherd.postgres.address import Address, Database
    from pgherd.run import Coordination
    from pgherd.template.migrations import Migrations


def provide(
    coordination: Coordination, worker: str, server: Address, migrations: Migrations
) -> str:
    """Return the name of the frozen template; build it if no other worker does.

    Args:
        coordination: what decides which worker builds.
        worker: the id of this worker.
        server: the run's server.
        migrations: the value of the project's `pg_migrations`.

    Raises:
        MigrationError: the migrations failed, here or in another worker.
        ServerError: the server refused something.
        UsageError: `migrations` lacks a method.
    """
    if not (hasattr(migrations, "fingerprint") and hasattr(migrations, "apply")):
        raise UsageError(
            f"pg_migrations returned {migrations!r}, which has no fingerprint() and apply(url). "
            "Return PeeweeMigrations(…), sql_files(…) or command(…), or an object with both methods"
        )
    # A role cannot use what another role created, so each role has templates of its own.
    name = naming.template(server.user, migrations.fingerprint(), generator.fingerprint())
    with connections.translated_errors():
        if coordination.claim(name, worker):
            _build(coordination, server, name, migrations)
    return name


def _build(coordination: Coordination, server: Address, name: str, migrations: Migrations) -> None:
    def migrate(database: Database) -> None:
        foreign = libpq.variables_removed() if server.throwaway else nullcontext()
        try:
            with foreign:
                migrations.apply(database.url)
        except Exception as error:
            raise MigrationError.caused_by(error) from error

    built = False
    try:
        build(server, name, migrate, generator.install)
        built = True
    finally:
        coordination.settle(name, built)
