"""What a run inside of a test has made on its server."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

    from pgherd import Address


def clones(project: pytest.Pytester) -> set[str]:
    """Read the names of the clones that the inner tests wrote to the file `clones`."""
    return set((project.path / "clones").read_text().split())


def databases(server: Address) -> set[str]:
    """List the server's databases."""
    with (
        closing(server.database(server.maintenance).connect()) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT datname FROM pg_database")
        return {name for (name,) in cursor.fetchall()}
