"""The histories see: with one part of the reset taken out, they find a difference soon."""

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


@dataclass(frozen=True)
class Mutation:
    """A text of a module, what is taken out of it, and what stands there instead."""

    constant: str
    out: str
    instead: str = ""
    module: ModuleType = generator
    on: Callable[[connection], bool] = lambda _: True
    """On which servers this text has a part in what is generated."""


def _before_18(link: connection) -> bool:
    return link.server_version < 180000


def _since_18(link: connection) -> bool:
    return not _before_18(link)


def _with_the_map(link: connection) -> bool:
    with link.cursor() as run:
        run.execute("SELECT FROM pg_available_extensions WHERE name = 'pg_visibility'")
        return run.rowcount == 1


_GONE = "count(*) FILTER (WHERE age(t.xmin) >= age(pgherd_since)) <> {rows}\n           OR count(*)"
MUTATIONS = {
    "empty tables are not cleared": Mutation("_CLEAR", "DELETE FROM ONLY {table};"),
    "sequences are not rewound": Mutation(
        "_REWIND", "PERFORM setval({id}::regclass, {last}, {called});", "NULL;", on=_before_18
    ),
    "sequences are always called": Mutation(
        "_REWIND", ", {last}, {called})", ", {last})", on=_before_18
    ),
    "only the value of a sequence counts": Mutation(
        "_REWIND", " OR is_called <> {called}", on=_before_18
    ),
    "sequences that tell are not rewound": Mutation(
        "_REWIND_ALL",
        "PERFORM setval(sequence.id::regclass, sequence.last, sequence.called)",
        "PERFORM",
    ),
    "sequences that tell are not asked": Mutation(
        "_WHICH_MOVED", "IS DISTINCT FROM sequence.last", "IS NULL", on=_before_18
    ),
    "sequences are not asked": Mutation(
        "_WHICH_MOVED_SINCE_18", "IS DISTINCT FROM (s", "< (s", on=_since_18
    ),
    "seeded rows stay": Mutation("_RESTORE", "DELETE FROM ONLY {table};"),
    "seeded rows do not come back": Mutation(
        "_RESTORE", "INSERT INTO {table} {target} SELECT {columns} FROM {copy};"
    ),
    "seeded rows are only counted": Mutation("_RESTORE", _GONE, "count(*)"),
    "new rows among seeded ones": Mutation("_RESTORE", "OR count(*) <> {rows} "),
}
# A random history meets these seldom: a statement each, by the rules of the state machine.
SELDOM = {
    "the value of a sequence that was not called": (
        Mutation("_MOVED", "last_value <> {last} OR ", on=_before_18),
        "SELECT setval('fresh', 5, false)",
    ),
    "marks of many rows": (
        Mutation("_MANY_CHANGED", "* {block}", "* 0 + pg_relation_size({id})", on=_with_the_map),
        "UPDATE many SET a = 0 WHERE id = 3",
    ),
    "the file of many rows": (
        Mutation("_MANY_CHANGED", "pg_relation_filenode({id}) <> {file}\nOR", on=_with_the_map),
        "TRUNCATE many",
    ),
    "changes of the schema": (
        Mutation("_DDL_LOGGED", "EXISTS", "false AND EXISTS", schema_guard),
        "COMMENT ON TABLE role IS 'new'",
    ),
    "sums of catalogs": (
        Mutation("_SUM_CHANGED", "IS DISTINCT FROM {sum}", "= 0", schema_guard),
        "SELECT lo_unlink(4711)",
    ),
    "rows of catalogs": (
        Mutation("_ANY_ROW", "EXISTS", "false AND EXISTS", schema_guard),
        "CLUSTER role USING role_pkey",
    ),
    "what is the database's": (
        Mutation("_DATABASE_CHANGED", "datacl IS NOT NULL OR ", "", schema_guard),
        "GRANT CREATE ON DATABASE {database} TO PUBLIC",
    ),
}


def _mutate(monkeypatch: pytest.MonkeyPatch, mutation: Mutation) -> None:
    before = getattr(mutation.module, mutation.constant)
    assert mutation.out in before
    mutated = before.replace(mutation.out, mutation.instead)
    monkeypatch.setattr(mutation.module, mutation.constant, mutated)


@pytest.fixture
def mutant(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, link: connection
) -> None:
    """Take a part out of what will be generated."""
    if not request.param.on(link):
        pytest.skip("it is not generated for this server")
    _mutate(monkeypatch, request.param)


@pytest.mark.parametrize("mutant", MUTATIONS.values(), ids=MUTATIONS, indirect=True)
def test_a_mutation_is_found(mutant, subject: histories.Subject):
    """A short run of histories finds what is missing."""
    with pytest.raises(AssertionError, match=r"not as in the template|rows are undone in place"):
        histories.run(subject, 60, 1, shrink=False)


@pytest.mark.parametrize(("mutant", "statement"), SELDOM.values(), ids=SELDOM, indirect=["mutant"])
def test_a_mutation_that_is_met_seldom_is_found(mutant, subject: histories.Subject, statement: str):
    """The state machine sees what is missing in its own terms."""
    with pytest.raises(AssertionError, match="not as in the template"):
        histories.run_one(subject, statement)


@pytest.mark.parametrize("statement", [statement for _, statement in SELDOM.values()])
def test_without_a_mutation_there_is_nothing_to_find(subject: histories.Subject, statement: str):
    """The same statements leave no trace where nothing was taken out."""
    histories.run_one(subject, statement)
