"""The bank on this worker's clone."""

import asyncio

import asyncpg
import pytest
from pgherd import sql_files

from bank import Bank


@pytest.fixture(scope="session")
def pg_migrations():
    """Build the template from a file, anew whenever it changes."""
    return sql_files("schema.sql")


@pytest.fixture(scope="session")
def anyio_backend():
    """Run all tests of this worker in one event loop, for a pool belongs to the loop it is of."""
    return "asyncio"


@pytest.fixture(scope="session")
async def loop():
    """Give that loop."""
    return asyncio.get_running_loop()


@pytest.fixture(scope="session")
async def pool(pg_database):
    """Give one pool to all tests of this worker."""
    async with asyncpg.create_pool(pg_database.url, min_size=1, max_size=4) as pool:
        yield pool


@pytest.fixture(scope="session")
def pg_disconnect(pool, loop):
    """Have the pool connect anew after the clone is replaced; between tests the loop stands."""
    return lambda: loop.run_until_complete(pool.expire_connections())


@pytest.fixture
def bank(pool, pg):
    """Give the bank, without an account, however many tests have opened some."""
    return Bank(pool)
