"""Django on this worker's clone, by pytest-django's own fixtures and mark."""

import dj_database_url
import pytest
from django.db import connection, connections
from pgherd import command


@pytest.fixture(scope="session")
def pg_migrations():
    """Build the template by Django, anew whenever one of the inputs changes.

    Django's own apps bring migrations, too: pyproject.toml says which Django it is.
    """
    return command("python manage.py migrate", inputs=["library/migrations", "pyproject.toml"])


@pytest.fixture(scope="session")
def django_db_setup(pg_database):
    """Connect to the clone, where pytest-django would make a test database."""
    connection.settings_dict.update(dj_database_url.parse(pg_database.url))


@pytest.fixture
def _django_db_helper(django_db_setup, pg, django_db_blocker):
    """Let the test commit, where pytest-django would roll back, or flush all tables.

    `db`, `transactional_db`, `live_server` and the mark `django_db` all come here.
    """
    with django_db_blocker.unblock():
        yield


@pytest.fixture(scope="session")
def pg_disconnect(django_db_setup, django_db_blocker):
    """Close the connections, and the pool, before the clone is replaced."""

    def disconnect():
        with django_db_blocker.unblock():
            connections.close_all()
            connection.close_pool()

    yield disconnect
    disconnect()
