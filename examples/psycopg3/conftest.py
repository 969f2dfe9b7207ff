"""Fixtures that connect the queue to the worker's own database."""

import pytest
from pgherd import sql_files

from jobs import Queue


@pytest.fixture(scope="session")
def pg_migrations():
    """Create the schema from a SQL file."""
    return sql_files("schema.sql")


@pytest.fixture(scope="session")
def open_queue(pg_database):
    """Create one queue, with its pool, for all tests."""
    queue = Queue(pg_database.url)
    yield queue
    queue.close()


@pytest.fixture(scope="session")
def pg_disconnect(open_queue):
    """Close the pool before the database is replaced.

    `pool.drain()` does not help: it connects again at once, to the old database.
    """
    return open_queue.close


@pytest.fixture
def queue(open_queue, pg):
    """Return the queue. It has no jobs, because `pg` resets the database after each test."""
    return open_queue
