"""The database: the connection of a request, and transactions on several connections."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg2
import pytest
from peewee import InterfaceError

from app.db import database
from app.models import Role, User


def test_request_leaves_no_connection(ada, sql):
    """After a request, its connection is closed, on the server too."""
    backends = "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
    before = set(sql(backends))
    assert ada.get("/users").status_code == 200
    assert database.is_closed()
    # The server closes its side a moment after the client.
    deadline = time.monotonic() + 5
    while set(sql(backends)) - before:
        assert time.monotonic() < deadline, "a connection is still open"


def test_refused_request_leaves_no_connection(ada):
    """After an error answer, the connection of the request is closed."""
    assert ada.get("/users/2").status_code == 404
    assert database.is_closed()


def test_failed_request_leaves_no_connection(client, sql):
    """After an exception in a transaction, the connection of the request is closed."""
    sql("DROP TABLE user_role")
    with pytest.raises(Exception, match="user_role"):
        client.post("/users/create", json={"email": "ada@example.com", "name": "Ada"})
    assert database.is_closed()
    assert sql('SELECT count(*) FROM "user"') == [(0,)]


def test_query_outside_a_request_is_refused(ada):
    """Without a connection, a query raises an error and opens none."""
    with pytest.raises(InterfaceError):
        User.get_by_id(ada.id)


def test_models_see_what_a_request_committed(client):
    """Outside a request, the models read what the service committed."""
    client.post("/users/create", json={"email": "ada@example.com", "name": "ada"})
    with database.connection_context():
        assert [user.name for user in User.select()] == ["ada"]


def test_request_sees_only_committed_rows(ada, pg):
    """A request sees another connection's row only after that connection commits."""
    with closing(pg.connect()) as other:
        other.cursor().execute(
            """INSERT INTO "user" (email, name) VALUES ('b@example.com', 'bob')"""
        )
        assert len(ada.get("/users").json["items"]) == 1
        other.commit()
        assert len(ada.get("/users").json["items"]) == 2


def test_two_connections_see_each_others_commits(pg):
    """Each of two connections sees what the other one committed."""
    with closing(pg.connect()) as one, closing(pg.connect()) as two:
        for writer, reader, name in [(one, two, "red"), (two, one, "blue")]:
            writer.cursor().execute("INSERT INTO tag (name) VALUES (%s)", (name,))
            writer.commit()
            with reader.cursor() as cursor:
                cursor.execute("SELECT name FROM tag ORDER BY id DESC LIMIT 1")
                assert cursor.fetchone() == (name,)
            reader.commit()


def test_sign_up_waits_for_another_transaction_and_loses(client, pg, sql, until_blocked):
    """A sign-up answers 409 if another transaction commits the same address first."""
    body = {"email": "ada@example.com", "name": "Ada"}
    with ThreadPoolExecutor(1) as threads, closing(pg.connect()) as other:
        other.cursor().execute(
            """INSERT INTO "user" (email, name) VALUES ('ada@example.com', 'A')"""
        )
        sign_up = threads.submit(client.post, "/users/create", json=body)
        until_blocked()
        other.commit()
        assert sign_up.result().status_code == 409
    assert sql('SELECT name FROM "user"') == [("A",)]
    assert sql("SELECT count(*) FROM user_role") == [(0,)]


def test_sign_up_waits_for_another_transaction_and_wins(client, pg, sql, until_blocked):
    """A sign-up succeeds if another transaction with the same address rolls back."""
    body = {"email": "ada@example.com", "name": "Ada"}
    with ThreadPoolExecutor(1) as threads, closing(pg.connect()) as other:
        other.cursor().execute(
            """INSERT INTO "user" (email, name) VALUES ('ada@example.com', 'A')"""
        )
        sign_up = threads.submit(client.post, "/users/create", json=body)
        until_blocked()
        other.rollback()
        assert sign_up.result().status_code == 200
    assert sql('SELECT name FROM "user"') == [("Ada",)]


def test_unique_violation_between_two_transactions(pg, until_blocked):
    """The second of two inserts with one name fails when the first commits."""
    insert = "INSERT INTO role (name) VALUES ('auditor')"
    with (
        ThreadPoolExecutor(1) as threads,
        closing(pg.connect()) as first,
        closing(pg.connect()) as second,
    ):
        first.cursor().execute(insert)
        waiting = threads.submit(second.cursor().execute, insert)
        until_blocked()
        first.commit()
        with pytest.raises(psycopg2.errors.UniqueViolation):
            waiting.result()


def test_four_threads_sign_up_with_one_address(app, client, sql):
    """Only one of four sign-ups with the same address succeeds."""
    body = {"email": "ada@example.com", "name": "Ada"}
    with ThreadPoolExecutor(4) as threads:
        sign_ups = [
            threads.submit(app.test_client().post, "/users/create", json=body) for _ in range(4)
        ]
    assert sorted(response.result().status_code for response in sign_ups) == [200, 409, 409, 409]
    assert sql("SELECT count(*) FROM user_role") == [(1,)]
    assert client.get("/users").status_code == 401


def test_times_are_in_utc(ada):
    """The service reads times in UTC."""
    with database.connection_context():
        assert User.get_by_id(ada.id).created_at.utcoffset().total_seconds() == 0
        assert database.execute_sql("SHOW TimeZone").fetchone() == ("UTC",)


@pytest.mark.usefixtures("client")
def test_nested_transaction_rolls_back_alone(sql):
    """The rollback of an inner transaction keeps the changes of the outer one."""
    with database.connection_context(), database.atomic():
        Role.create(name="auditor")
        with database.atomic() as inner:
            Role.create(name="emperor")
            inner.rollback()
    assert sql("SELECT name FROM role ORDER BY name") == [("admin",), ("auditor",), ("basic",)]
