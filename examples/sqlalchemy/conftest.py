"""Fixtures that connect the shop to the worker's own database."""

import pytest
from pgherd import command

from shop import Shop, make_engine


@pytest.fixture(scope="session")
def pg_migrations():
    """Create the schema with Alembic's migrations."""
    return command("alembic upgrade head", inputs=["migrations"])


@pytest.fixture(scope="session")
def engine(pg_database):
    """Create one engine, with its pool, for all tests."""
    engine = make_engine(pg_database.url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def pg_disconnect(engine):
    """Close the pool before the database is replaced; the engine then opens another."""
    return engine.dispose


@pytest.fixture
def shop(engine, pg):
    """Return the shop. It has no products, because `pg` resets the database after each test."""
    return Shop(engine)
