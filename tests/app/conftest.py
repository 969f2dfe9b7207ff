"""Fixtures of the app's tests: the database, the service, its clients, and rows to work with."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from app import create_app
from pgherd.peewee import PeeweeMigrations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask import Flask
    from werkzeug.test import TestResponse

MIGRATIONS = Path(__file__).parents[2] / "app" / "migrations"


@pytest.fixture(scope="session")
def pg_migrations():
    """The migrations that build the template."""
    return PeeweeMigrations(MIGRATIONS)


@pytest.fixture(scope="session")
def app(pg_database):
    """The service, connected to this worker's clone."""
    return create_app({"DATABASE_URL": pg_database.url, "TESTING": True})


@pytest.fixture
def client(app, pg):
    """A client without a user. Its requests commit; after the test, pgherd resets the clone."""
    return app.test_client()


@pytest.fixture
def sql(pg) -> Iterator[Callable[..., list[tuple]]]:
    """A function that executes a statement, commits it, and returns the rows.

    It uses its own connection, so it sees only what the service has committed.
    """
    with closing(pg.connect()) as connection:
        connection.autocommit = True

        def run(statement: str, *parameters: object) -> list[tuple]:
            with connection.cursor() as cursor:
                cursor.execute(statement, parameters or None)
                return cursor.fetchall() if cursor.description else []

        yield run


class Person:
    """A user, and a client that sends this user's id in each request."""

    def __init__(self, app: Flask, name: str, user_id: int) -> None:
        """Store the user's name and id."""
        self.app = app
        self.name = name
        self.id = user_id

    def request(self, method: str, path: str, **options: object) -> TestResponse:
        """Send a request. Each request has a client of its own, so threads can send requests."""
        headers = {"X-User-Id": str(self.id)}
        return self.app.test_client().open(path, method=method, headers=headers, **options)

    def get(self, path: str, **query: object) -> TestResponse:
        """Send a GET request."""
        return self.request("GET", path, query_string=query)

    def post(self, path: str, body: object = None) -> TestResponse:
        """Send a POST request."""
        return self.request("POST", path, json=body)

    def put(self, path: str, body: object = None) -> TestResponse:
        """Send a PUT request."""
        return self.request("PUT", path, json=body)

    def patch(self, path: str, body: object) -> TestResponse:
        """Send a PATCH request."""
        return self.request("PATCH", path, json=body)

    def delete(self, path: str) -> TestResponse:
        """Send a DELETE request."""
        return self.request("DELETE", path)


@pytest.fixture
def person(app: Flask, sql) -> Callable[..., Person]:
    """A function that inserts a user with the role basic, and also the role admin if requested.

    This fixture and those below insert the rows with SQL. A request would be slower, and requests
    are what the tests check.
    """

    def add(name: str, *, admin: bool = False) -> Person:
        [(user_id,)] = sql(
            'INSERT INTO "user" (email, name) VALUES (%s, %s) RETURNING id',
            f"{name}@example.com",
            name,
        )
        roles = ["basic", "admin"] if admin else ["basic"]
        sql("INSERT INTO user_role SELECT %s, id FROM role WHERE name = ANY (%s)", user_id, roles)
        return Person(app, name, user_id)

    return add


@pytest.fixture
def ada(person) -> Person:
    """A user with the role basic."""
    return person("ada")


@pytest.fixture
def bob(person) -> Person:
    """Another user with the role basic."""
    return person("bob")


@pytest.fixture
def root(person) -> Person:
    """A user with the role admin."""
    return person("root", admin=True)


@pytest.fixture
def team(sql) -> Callable[..., int]:
    """A function that inserts a team with its members, and returns its id."""

    def add(owner: Person, *members: Person, name: str = "Engines") -> int:
        insert = "INSERT INTO team (name, owner_id) VALUES (%s, %s) RETURNING id"
        [(team_id,)] = sql(insert, name, owner.id)
        people = [person.id for person in (owner, *members)]
        sql("INSERT INTO membership (team_id, user_id) SELECT %s, unnest(%s)", team_id, people)
        return team_id

    return add


@pytest.fixture
def crew(ada: Person, bob: Person, team) -> int:
    """A team whose owner is ada and whose other member is bob."""
    return team(ada, bob)


@pytest.fixture
def task(ada: Person, crew: int, sql) -> Callable[..., int]:
    """A function that inserts a task into the crew, with ada as its author, and returns its id."""

    def add(title: str = "Oil the engine", *, body: str = "", priority: int = 3) -> int:
        [(task_id,)] = sql(
            "INSERT INTO task (team_id, author_id, title, body, priority)"
            " VALUES (%s, %s, %s, %s, %s) RETURNING id",
            crew,
            ada.id,
            title,
            body,
            priority,
        )
        return task_id

    return add


@pytest.fixture
def until_blocked(sql) -> Callable[[], None]:
    """A function that waits until a connection to this database waits for a lock."""

    def wait() -> None:
        deadline = time.monotonic() + 5
        while not sql(
            "SELECT pid FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ):
            assert time.monotonic() < deadline, "no connection waits for a lock"
            time.sleep(0.005)

    return wait
