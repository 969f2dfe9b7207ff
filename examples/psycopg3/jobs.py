"""A queue of jobs; each job is done once."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from psycopg_pool import ConnectionPool

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Queue:
    """The queue in the database at this URL."""

    def __init__(self, url: str) -> None:
        self.url = url

    @cached_property
    def pool(self) -> ConnectionPool:
        """The pool, which is opened when it is first used."""
        return ConnectionPool(self.url, min_size=1, max_size=4, open=True)

    def close(self) -> None:
        """Close the pool and its connections; the next use of the queue opens another pool."""
        if "pool" in self.__dict__:
            self.pool.close()
            del self.pool

    def add(self, *names: str) -> None:
        """Add jobs; if one cannot be added, add none."""
        with self.pool.connection() as connection, connection.cursor() as cursor:
            cursor.executemany("INSERT INTO job (name) VALUES (%s)", [[name] for name in names])

    def load(self, names: Iterable[str]) -> None:
        """Add many jobs fast, with COPY."""
        with (
            self.pool.connection() as connection,
            connection.cursor().copy("COPY job (name) FROM STDIN") as copy,
        ):
            for name in names:
                copy.write_row([name])

    @contextmanager
    def take(self) -> Iterator[str | None]:
        """Take the oldest free job; it is done when the block ends without an error."""
        with self.pool.connection() as connection:
            row = connection.execute(
                "DELETE FROM job WHERE id = (SELECT id FROM job ORDER BY id LIMIT 1"
                " FOR UPDATE SKIP LOCKED) RETURNING name"
            ).fetchone()
            yield row[0] if row else None

    def waiting(self) -> list[str]:
        """Return the names of the jobs that are not done."""
        with self.pool.connection() as connection:
            return [name for (name,) in connection.execute("SELECT name FROM job ORDER BY id")]
