"""A pristine PostgreSQL database of its own for every pytest-xdist worker.

1. server    The owner of the run starts it when a test first needs it. It cannot outlive the owner.
2. template  The first worker migrates it once and freezes it.
3. clone     Each worker makes its own clone of the template.
4. reset     After each test, pgherd undoes in the clone what the test did and committed.
5. drop      At the end, the owner drops the clones and stops the server.
"""

from pgherd.errors import (
    LeftBehindWarning,
    MigrationError,
    PgherdError,
    ServerError,
    UsageError,
)
from pgherd.postgres.address import Address, Database
from pgherd.template.migrations import Migrations, command, sql_files

__all__ = [
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
