"""Histories: random tests, each followed by a reset, and pg_dump to compare clone and template.

A history is a sequence of tests, one after the other in one clone, as a user might write them.
After each test, the machine does what the `pg` fixture does.
"""

from __future__ import annotations

import io
import re
from contextlib import closing, suppress
from dataclasses import dataclass
from difflib import unified_diff
from enum import Enum
from itertools import islice
from typing import TYPE_CHECKING

import psycopg2
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from pgherd import clones
from pgherd.reset.resetter import Resetter
from tests.pgherd.support.history_statements import (
    COPIES,
    MAINTENANCE,
    MAYBE_REPLACED,
    OTHER_CHANGES,
    RESET_IN_PLACE,
    SCHEMA,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg2.extensions import connection

    from pgherd import Database

__all__ = ["SCHEMA", "Subject", "run", "run_one", "subject"]


@dataclass
class Subject:
    """The clone in which histories happen, and the dump that it must equal after each reset."""

    template: str
    database: Database
    dump: Callable[[Database], str]
    expected: list[str]

    pristine: bool = True
    """Whether the clone equals the template, and nothing has been executed in it since."""

    def renew(self) -> None:
        """Replace the clone, unless it is pristine."""
        if not self.pristine:
            clones.make(self.database.server, self.template, self.database.name)
        self.pristine = False

    def check(self) -> None:
        """Fail if the clone's dump differs from the template's."""
        found = comparable(self.dump(self.database), self.database)
        difference = list(islice(unified_diff(self.expected, found, lineterm="", n=0), 40))
        assert not difference, "the clone differs from the template:\n" + "\n".join(difference)
        self.pristine = True


def subject(template: str, database: Database, dump: Callable[[Database], str]) -> Subject:
    """Make the clone, and dump it while it is new."""
    clones.make(database.server, template, database.name)
    return Subject(template, database, dump, comparable(dump(database), database))


def comparable(dump: str, database: Database) -> list[str]:
    """Remove from a dump what may differ: random tokens, the database's name, the rows' order."""
    rows: list[str] | None = None
    lines = []
    for line in dump.replace(database.name, "clone").split("\n"):
        if rows is not None and line != "\\.":
            rows.append(line)
            continue
        lines += sorted(rows or ())
        rows = [] if re.match(r"COPY .* FROM stdin;$", line) else None
        if not line.startswith(("\\restrict", "\\unrestrict")):
            lines.append(line)
    return lines


def operations(statements: list[str]) -> st.SearchStrategy[str]:
    """Return a strategy that draws one of these statements and puts small numbers into it."""
    numbers = st.integers(1, 6)
    return st.builds(
        lambda statement, a, b: statement.format(a=a, b=b, database="{database}"),
        st.sampled_from(statements),
        numbers,
        numbers,
    )


class Kind(Enum):
    """What a test of a history may change: in this order, each kind may change more."""

    ROWS_IN_PLACE = "only what the reset must undo in place"
    ROWS = "rows and sequences"
    ANYTHING = "the schema, the database and all else"


# With many changes in one test, the reset could detect one and miss another unseen.
MOST_REPLACING = 2
"""How many changes that may lead to a new clone are in one test, at most."""

# Otherwise a statement that waits for another connection of its history would wait forever.
TIMEOUTS = "SET lock_timeout = 10; SET statement_timeout = 5000; SET client_min_messages = error"

CONNECTIONS = st.integers(0, 2)
KINDS = st.sampled_from([*[Kind.ROWS_IN_PLACE] * 3, Kind.ROWS, Kind.ANYTHING])
PREPARE = "PREPARE TRANSACTION '{database}'"
# SELECT 1 leaves the transaction open.
ENDS = st.sampled_from([*["COMMIT"] * 6, "ROLLBACK", "ROLLBACK", "SELECT 1", "SELECT 1", PREPARE])


class Histories(RuleBasedStateMachine):
    """The rules that compose a history. A statement that fails is part of the history."""

    subject: Subject

    def __init__(self) -> None:
        super().__init__()
        self.subject.renew()
        self.resetter = Resetter(self.subject.database)
        self.connections: dict[int, connection] = {}
        self.steps = self.replacing = 0
        self.kind = Kind.ROWS_IN_PLACE

    @initialize(kind=KINDS)
    def begin(self, kind: Kind) -> None:
        """Choose the kind of the first test."""
        self.kind = kind

    @rule(
        number=CONNECTIONS,
        statements=st.lists(operations(RESET_IN_PLACE), min_size=1, max_size=6),
        end=ENDS,
    )
    def write(self, number: int, statements: list[str], end: str) -> None:
        """Write rows in a transaction, and end it or leave it open."""
        self._execute(number, *statements, end)

    @precondition(lambda self: self.kind is Kind.ROWS and self.replacing < MOST_REPLACING)
    @rule(number=CONNECTIONS, statement=operations(MAYBE_REPLACED), end=ENDS)
    def write_maybe_replaced(self, number: int, statement: str, end: str) -> None:
        """Change rows or sequences that the reset need not undo in place."""
        self.replacing += 1
        self._execute(number, statement, end)

    @precondition(lambda self: self.kind is Kind.ANYTHING and self.replacing < MOST_REPLACING)
    @rule(number=CONNECTIONS, statement=operations(OTHER_CHANGES), end=ENDS)
    def change(self, number: int, statement: str, end: str) -> None:
        """Change the schema, the database, or anything else."""
        self.replacing += 1
        self._execute(number, statement, end)

    @rule(number=CONNECTIONS, statement=st.sampled_from(sorted(COPIES)), end=ENDS)
    def copy(self, number: int, statement: str, end: str) -> None:
        """Copy rows into a table."""
        self._execute(number, statement, end)

    @rule(end=st.sampled_from(["COMMIT", "ROLLBACK"]))
    def end_prepared(self, end: str) -> None:
        """End the prepared transaction, if there is one."""
        self.maintain(f"{end} PREPARED '{self.subject.database.name}'")

    @precondition(lambda self: self.kind is Kind.ANYTHING)
    @rule(statement=st.sampled_from(MAINTENANCE))
    def maintain(self, statement: str) -> None:
        """Execute a statement outside of any transaction."""
        self.subject.pristine = False
        with suppress(psycopg2.Error), closing(self.subject.database.connect()) as connection:
            connection.autocommit = True
            connection.cursor().execute(TIMEOUTS)
            connection.cursor().execute(statement)

    @precondition(lambda self: self.steps > 6)
    @rule(leave_open=st.sampled_from([False, False, False, True]), next_kind=KINDS)
    def reset(self, *, leave_open: bool, next_kind: Kind) -> None:
        """End a test: close its transactions or leave them open, reset the clone, compare it."""
        if not leave_open:
            for number in self.connections:
                self._execute(number, "COMMIT")
        try:
            in_place = self.resetter.reset()
            if not in_place:
                self._replace()
            self.subject.check()
            assert in_place or self.kind is not Kind.ROWS_IN_PLACE, (
                "the reset must undo it in place"
            )
        finally:
            self.steps = self.replacing = 0
            self.kind = next_kind

    def teardown(self) -> None:
        """End the last test, and the history."""
        try:
            self.reset(leave_open=False, next_kind=Kind.ROWS_IN_PLACE)
        finally:
            self._close()

    def _replace(self) -> None:
        self._close()
        self.subject.pristine = False
        self.subject.renew()

    def _close(self) -> None:
        self.resetter.close()
        for each in self.connections.values():
            each.close()
        self.connections.clear()

    def _execute(self, number: int, *statements: str) -> None:
        """Execute statements through one of the connections, in a transaction; ignore errors."""
        self.steps += 1
        self.subject.pristine = False
        connection = self._connection(number)
        if connection.info.transaction_status == TRANSACTION_STATUS_IDLE:
            statements = ("BEGIN", *statements)
        for statement in statements:
            with suppress(psycopg2.Error), connection.cursor() as cursor:
                if statement in COPIES:
                    cursor.copy_expert(statement, io.StringIO(COPIES[statement]))
                else:
                    cursor.execute(statement.replace("{database}", self.subject.database.name))

    def _connection(self, number: int) -> connection:
        """Return one of the connections; open it if it is closed."""
        found = self.connections.get(number)
        if found is None or found.closed:
            found = self.connections[number] = self.subject.database.connect()
            found.autocommit = True
            found.cursor().execute(TIMEOUTS)
        return found


def run_one(subject: Subject, statement: str) -> None:
    """Run a history of one test with one statement."""
    machine = type("Histories", (Histories,), {"subject": subject})()
    machine.begin(kind=Kind.ANYTHING)
    machine.change(number=0, statement=statement, end="COMMIT")
    machine.teardown()


def run(subject: Subject, number: int, seed_: int, *, shrink: bool = True) -> None:
    """Run a number of histories, the same ones for the same seed."""
    machine = seed(seed_)(type("Histories", (Histories,), {"subject": subject}))
    phases = [Phase.generate, *([Phase.shrink] if shrink else [])]
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=number,
            stateful_step_count=20,
            deadline=None,
            database=None,
            phases=phases,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
