"""What a run inside a test has created on its server."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

    from pgherd import Address


def clones(project: pytest.Pytester) -> set[str]:
    """Return the names of the clones that the inner tests recorded in the file `clones`."""
    file = project.path / "clones"
    return set(file.read_text().split()) if file.exists() else set()


def databases(server: Address) -> set[str]:
    """Return the names of the server's databases."""
    return set(owners(server))


def owners(server: Address) -> dict[str, str]:
    """Return the owner of each of the server's databases."""
    with (
        closing(server.database(server.maintenance).connect()) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT datname, pg_get_userbyid(datdba)::text FROM pg_database")
        return dict(cursor.fetchall())
