"""Fixtures that connect Django and pytest-django to the worker's own database."""

import dj_database_url
import pytest
from django.db import connection, connections
from pgherd import command


@pytest.fixture(scope="session")
def pg_migrations():
    """Create the schema with Django's migrations.

    Django's own apps have migrations, too, so pyproject.toml, which names Django's version, is
    one of the inputs.
    """
    return command("python manage.py migrate", inputs=["library/migrations", "pyproject.toml"])


@pytest.fixture(scope="session")
def django_db_setup(pg_database):
    """Connect Django to the worker's database; pytest-django would create another one here."""
    connection.settings_dict.update(dj_database_url.parse(pg_database.url))


@pytest.fixture
def _django_db_helper(django_db_setup, pg, django_db_blocker):
    """Let tests commit; pytest-django would roll back or flush all tables here.

    `db`, `transactional_db`, `live_server` and the mark `django_db` all use this fixture.
    """
    with django_db_blocker.unblock():
        yield


@pytest.fixture(scope="session")
def pg_disconnect(django_db_setup, django_db_blocker):
    """Close all connections and the pool before the database is replaced."""

    def disconnect():
        with django_db_blocker.unblock():
            connections.close_all()
            connection.close_pool()

    yield disconnect
    disconnect()
