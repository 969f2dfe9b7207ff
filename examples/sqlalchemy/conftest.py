"""The shop on this worker's clone."""

import pytest
from pgherd import command

from shop import Shop, make_engine


@pytest.fixture(scope="session")
def pg_migrations():
    """Build the template by Alembic, anew whenever a file in migrations/ changes."""
    return command("alembic upgrade head", inputs=["migrations"])


@pytest.fixture(scope="session")
def engine(pg_database):
    """Give one engine, with its pool, to all tests of this worker."""
    engine = make_engine(pg_database.url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def pg_disconnect(engine):
    """Close the pool's connections before the clone is replaced; the engine connects anew."""
    return engine.dispose


@pytest.fixture
def shop(engine, pg):
    """Give the shop, without a product, however many tests have filled it."""
    return Shop(engine)
