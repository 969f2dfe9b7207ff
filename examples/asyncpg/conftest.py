"""Fixtures that connect the bank to the worker's own database."""

import asyncio

import asyncpg
import pytest
from pgherd import sql_files

from bank import Bank


@pytest.fixture(scope="session")
def pg_migrations():
    """Create the schema from a SQL file."""
    return sql_files("schema.sql")


@pytest.fixture(scope="session")
def anyio_backend():
    """Run all tests in one event loop, because a pool belongs to the loop that created it."""
    return "asyncio"


@pytest.fixture(scope="session")
async def loop():
    """Return the event loop of all tests."""
    return asyncio.get_running_loop()


@pytest.fixture(scope="session")
async def pool(pg_database):
    """Open one pool for all tests."""
    async with asyncpg.create_pool(pg_database.url, min_size=1, max_size=4) as pool:
        yield pool


@pytest.fixture(scope="session")
def pg_disconnect(pool, loop):
    """Let the pool open new connections after the database was replaced."""
    # pgherd calls this between tests, when the loop is not running.
    return lambda: loop.run_until_complete(pool.expire_connections())


@pytest.fixture
def bank(pool, pg):
    """Return the bank. It has no accounts, because `pg` resets the database after each test."""
    return Bank(pool)
