"""The queue on this worker's clone."""

import pytest
from pgherd import sql_files

from jobs import Queue


@pytest.fixture(scope="session")
def pg_migrations():
    """Build the template from a file, anew whenever it changes."""
    return sql_files("schema.sql")


@pytest.fixture(scope="session")
def open_queue(pg_database):
    """Give one queue, with its pool, to all tests of this worker."""
    queue = Queue(pg_database.url)
    yield queue
    queue.close()


@pytest.fixture(scope="session")
def pg_disconnect(open_queue):
    """Close the pool before the clone is replaced.

    Not `pool.drain()`: it connects again at once, to the clone that is about to go.
    """
    return open_queue.close


@pytest.fixture
def queue(open_queue, pg):
    """Give the queue, without a job, however many tests have filled it."""
    return open_queue
