"""A pristine PostgreSQL database of its own for every pytest-xdist worker.

1. server    the owner of the run starts it when a test first asks, and it cannot outlive the owner
2. template  the first worker migrates it once, then it is frozen
3. clone     each worker makes its own from the template
4. reset     after each test that used the clone, what it did is undone, although it committed
5. drop      at the end the owner drops the clones and stops the server
"""

from pgherd.address import Address, Database
from pgherd.errors import (
    LeftBehindWarning,
    MigrationError,
    PgherdError,
    ServerError,
    UsageError,
)
from pgherd.migrations import Migrations, command, sql_files

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
