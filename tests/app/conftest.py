"""What the service's tests share: its database, its client, and people who use it."""

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
    """Give what makes the template."""
    return PeeweeMigrations(MIGRATIONS)


@pytest.fixture(scope="session")
def app(pg_database):
    """Give the service on this worker's clone."""
    return create_app({"DATABASE_URL": pg_database.url, "TESTING": True})


@pytest.fixture
def client(app, pg):
    """Give a client whose requests really commit; the clone is pristine again afterwards."""
    return app.test_client()


@pytest.fixture
def sql(pg) -> Iterator[Callable[..., list[tuple]]]:
    """Give a function that runs a statement, commits it, and gives the rows.

    It has a connection of its own, so that it sees only what the service committed.
    """
    with closing(pg.connect()) as connection:
        connection.autocommit = True

        def run(statement: str, *parameters: object) -> list[tuple]:
            with connection.cursor() as cursor:
                cursor.execute(statement, parameters or None)
                return cursor.fetchall() if cursor.description else []

        yield run


class Person:
    """A user, and a client that says so in its requests."""

    def __init__(self, app: Flask, name: str, user_id: int) -> None:
        """Remember who it is."""
        self.app = app
        self.name = name
        self.id = user_id

    def request(self, method: str, path: str, **options: object) -> TestResponse:
        """Send a request, from a client of its own so that threads do not share one."""
        headers = {"X-User-Id": str(self.id)}
        return self.app.test_client().open(path, method=method, headers=headers, **options)

    def get(self, path: str, **query: object) -> TestResponse:
        """Read."""
        return self.request("GET", path, query_string=query)

    def post(self, path: str, body: object = None) -> TestResponse:
        """Create, or act."""
        return self.request("POST", path, json=body)

    def put(self, path: str, body: object = None) -> TestResponse:
        """Replace."""
        return self.request("PUT", path, json=body)

    def patch(self, path: str, body: object) -> TestResponse:
        """Change."""
        return self.request("PATCH", path, json=body)

    def delete(self, path: str) -> TestResponse:
        """Delete."""
        return self.request("DELETE", path)


@pytest.fixture
def person(app: Flask, sql) -> Callable[..., Person]:
    """Give a function that adds a user with the role basic, as an admin too if asked to.

    Like the fixtures below it writes the rows itself: a request, with its connection, takes longer,
    and what requests do is the tests' subject.
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
    """Give somebody with the role basic."""
    return person("ada")


@pytest.fixture
def bob(person) -> Person:
    """Give somebody else with the role basic."""
    return person("bob")


@pytest.fixture
def root(person) -> Person:
    """Give an admin."""
    return person("root", admin=True)


@pytest.fixture
def team(sql) -> Callable[..., int]:
    """Give a function that founds a team, with members, and gives its id."""

    def found(owner: Person, *members: Person, name: str = "Engines") -> int:
        insert = "INSERT INTO team (name, owner_id) VALUES (%s, %s) RETURNING id"
        [(team_id,)] = sql(insert, name, owner.id)
        people = [person.id for person in (owner, *members)]
        sql("INSERT INTO membership (team_id, user_id) SELECT %s, unnest(%s)", team_id, people)
        return team_id

    return found


@pytest.fixture
def crew(ada: Person, bob: Person, team) -> int:
    """Give a team that ada owns and bob is in."""
    return team(ada, bob)


@pytest.fixture
def task(ada: Person, crew: int, sql) -> Callable[..., int]:
    """Give a function that adds one of ada's tasks to the crew, and gives its id."""

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
    """Give a function that waits until some backend of this database waits for a lock."""

    def wait() -> None:
        deadline = time.monotonic() + 5
        while not sql(
            "SELECT pid FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ):
            assert time.monotonic() < deadline, "nobody waits for a lock"
            time.sleep(0.005)

    return wait
