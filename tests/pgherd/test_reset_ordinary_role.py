"""The reset by an ordinary role: without a superuser's rights, every change means a new clone."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pgherd.postgres import databases

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgherd import Address

SCHEMA = """
CREATE TABLE role (id serial PRIMARY KEY, name text);
INSERT INTO role (name) VALUES ('basic');
CREATE TABLE person (id serial PRIMARY KEY, role_id int REFERENCES role ON DELETE CASCADE)
"""


@pytest.fixture
def ordinary_role(pg_server: Address, connection, run_id: str) -> Iterator[Address]:
    """Return the server's address for a role that may create databases, and nothing else."""
    role = f"pgherd_{run_id}"
    connection.cursor().execute(f"CREATE ROLE {role} LOGIN CREATEDB PASSWORD 'ordinary'")
    yield replace(pg_server, user=role, password="ordinary")
    for name in databases.names(connection, f"pgherd_{run_id}_"):
        databases.thaw(connection, name)
        databases.drop(connection, name)
    connection.cursor().execute(f"DROP ROLE {role}")


def test_an_ordinary_role_needs_no_new_clone_without_a_change(make_clone, ordinary_role: Address):
    """If a test only reads, the clone is kept."""
    clone = make_clone(SCHEMA, server=ordinary_role)
    clone.execute("SELECT * FROM role")
    clone.assert_reset()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO person (role_id) VALUES (1)",
        "UPDATE role SET name = 'boss'",
        "DELETE FROM role",
        "SELECT nextval('person_id_seq')",
        "CREATE TABLE t ()",
        "TRUNCATE role CASCADE",
        "SELECT lo_create(0)",
        "COMMENT ON TABLE role IS 'x'",
    ],
)
def test_an_ordinary_role_gets_a_new_clone_for_every_change(
    make_clone, ordinary_role: Address, statement: str
):
    """Whatever an ordinary role changed, the reset refuses, and the new clone is pristine."""
    clone = make_clone(SCHEMA, server=ordinary_role)
    for _ in range(2):
        clone.execute(statement)
        assert clone.difference()
        clone.assert_replaced()


def test_an_ordinary_role_ends_its_own_connections(make_clone, ordinary_role: Address):
    """An ordinary role ends its own connections that were left in a transaction."""
    clone = make_clone(SCHEMA, server=ordinary_role)
    with closing(clone.database.connect()) as connection:
        connection.cursor().execute("INSERT INTO person (role_id) VALUES (1)")
        assert len(clone.resetter.end_blocking_connections()) == 1
    clone.reset_or_replace()
