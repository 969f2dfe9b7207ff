"""Mutations of the reset: if a part of its SQL is removed, the histories find a difference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from pgherd.reset import generator, schema_guard
from tests.pgherd.support import histories

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from psycopg2.extensions import connection

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Mutation:
    """A constant of a module that holds SQL, the part to remove, and the part to put there."""

    constant: str
    removed: str
    inserted: str = ""
    module: ModuleType = generator
    applies_to: Callable[[connection], bool] = lambda _: True
    """Whether the generator uses this constant on a server."""


def _before_18(connection: connection) -> bool:
    return connection.server_version < 180000


def _since_18(connection: connection) -> bool:
    return not _before_18(connection)


def _has_visibility_map(connection: connection) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_available_extensions WHERE name = 'pg_visibility'")
        return cursor.rowcount == 1


_XMIN = "count(*) FILTER (WHERE age(t.xmin) >= age(pgherd_since)) <> {rows}\n           OR count(*)"
MUTATIONS = {
    "empty tables are not cleared": Mutation("_CLEAR", "DELETE FROM ONLY {table};"),
    "sequences are not rewound": Mutation(
        "_REWIND",
        "PERFORM setval({id}::regclass, {last}, {called});",
        "NULL;",
        applies_to=_before_18,
    ),
    "sequences are always marked as called": Mutation(
        "_REWIND", ", {last}, {called})", ", {last})", applies_to=_before_18
    ),
    "the mark that a sequence was called is ignored": Mutation(
        "_REWIND", " OR is_called <> {called}", applies_to=_before_18
    ),
    "sequences in a group are not rewound": Mutation(
        "_REWIND_ALL",
        "PERFORM setval(sequence.id::regclass, sequence.last, sequence.called)",
        "PERFORM",
    ),
    "sequences in a group are never found changed": Mutation(
        "_WHICH_MOVED", "IS DISTINCT FROM sequence.last", "IS NULL", applies_to=_before_18
    ),
    "sequences in a group are found changed only if they are lower": Mutation(
        "_WHICH_MOVED_SINCE_18", "IS DISTINCT FROM (s", "< (s", applies_to=_since_18
    ),
    "changed seeded rows are not deleted": Mutation("_RESTORE", "DELETE FROM ONLY {table};"),
    "seeded rows are not restored": Mutation(
        "_RESTORE", "INSERT INTO {table} {target} SELECT {columns} FROM {copy};"
    ),
    "updates of seeded rows are ignored": Mutation("_RESTORE", _XMIN, "count(*)"),
    "new rows in seeded tables are ignored": Mutation("_RESTORE", "OR count(*) <> {rows} "),
}
# Random histories seldom contain a statement that finds these mutations, so each comes with one.
SELDOM_FOUND = {
    "the value of a sequence that was never called is ignored": (
        Mutation("_MOVED", "last_value <> {last} OR ", applies_to=_before_18),
        "SELECT setval('fresh', 5, false)",
    ),
    "the visibility map of many rows is ignored": (
        Mutation(
            "_MANY_CHANGED",
            "* {block}",
            "* 0 + pg_relation_size({id})",
            applies_to=_has_visibility_map,
        ),
        "UPDATE many SET a = 0 WHERE id = 3",
    ),
    "the file and the size of many rows are ignored": (
        Mutation(
            "_MANY_CHANGED",
            "pg_relation_filenode({id}) <> {file}\nOR pg_relation_size({id}) <> {size}\nOR",
            applies_to=_has_visibility_map,
        ),
        "TRUNCATE many",
    ),
    "the log of schema changes is ignored": (
        Mutation("_DDL_LOGGED", "EXISTS", "false AND EXISTS", schema_guard),
        "COMMENT ON TABLE role IS 'new'",
    ),
    "the sums over catalogs are ignored": (
        Mutation("_SUM_CHANGED", "IS DISTINCT FROM {sum}", "= 0", schema_guard),
        "SELECT lo_unlink(4711)",
    ),
    "rows in empty catalogs are ignored": (
        Mutation("_ANY_ROW", "EXISTS", "false AND EXISTS", schema_guard),
        "CLUSTER role USING role_pkey",
    ),
    "the rights on the database are ignored": (
        Mutation("_DATABASE_CHANGED", "datacl IS NOT NULL OR ", "", schema_guard),
        "GRANT CREATE ON DATABASE {database} TO PUBLIC",
    ),
}


def _mutate(monkeypatch: pytest.MonkeyPatch, mutation: Mutation) -> None:
    original = getattr(mutation.module, mutation.constant)
    assert mutation.removed in original
    mutated = original.replace(mutation.removed, mutation.inserted)
    monkeypatch.setattr(mutation.module, mutation.constant, mutated)


@pytest.fixture
def mutant(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, connection: connection
) -> None:
    """Mutate the SQL that the generator will write into the template."""
    if not request.param.applies_to(connection):
        pytest.skip("the generator does not use this SQL on this server")
    _mutate(monkeypatch, request.param)


@pytest.mark.parametrize("mutant", MUTATIONS.values(), ids=MUTATIONS, indirect=True)
def test_random_histories_find_a_mutation(mutant, subject: histories.Subject):
    """Sixty random histories find each of these mutations."""
    with pytest.raises(AssertionError, match=r"differs from the template|must undo it in place"):
        histories.run(subject, 60, 1, shrink=False)


@pytest.mark.parametrize(
    ("mutant", "statement"), SELDOM_FOUND.values(), ids=SELDOM_FOUND, indirect=["mutant"]
)
def test_a_statement_finds_a_mutation(mutant, subject: histories.Subject, statement: str):
    """A history of one statement finds each of these mutations."""
    with pytest.raises(AssertionError, match="differs from the template"):
        histories.run_one(subject, statement)


@pytest.mark.parametrize("statement", [statement for _, statement in SELDOM_FOUND.values()])
def test_a_statement_finds_nothing_without_a_mutation(subject: histories.Subject, statement: str):
    """Without a mutation, the same statements leave no difference."""
    histories.run_one(subject, statement)
