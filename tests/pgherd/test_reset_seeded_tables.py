"""The reset of seeded tables: their rows are restored from a copy, or the clone is replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.pgherd.support.reset_clones import Clone


def test_every_change_of_a_seeded_table_is_reset(shop: Clone):
    """The reset detects a change of a table that an earlier reset has restored."""
    for number in range(3):
        shop.execute("UPDATE role SET name = %s WHERE id = 1", f"boss {number}")
        assert shop.difference()
        shop.assert_reset()
        shop.assert_reset()


@pytest.mark.parametrize(
    "column",
    [
        "boundary",
        "in_place",
        "id",
        "since",
        "shape",
        "oid",
        "count",
        "state",
        "bloated",
        "found",
    ],
)
def test_a_column_may_have_a_name_that_the_reset_function_uses(make_clone, column: str):
    """A seeded table is restored if a column is named like something in `pgherd.reset()`."""
    clone = make_clone(f'CREATE TABLE seed ("{column}" int); INSERT INTO seed VALUES (1)')
    clone.execute("UPDATE seed SET {0} = {0} + 1".format(f'"{column}"'))
    clone.assert_reset()


@pytest.mark.parametrize(
    "setup",
    [
        pytest.param(
            "CREATE TABLE t (); INSERT INTO t DEFAULT VALUES",
            id="no column",
        ),
        pytest.param(
            "CREATE TABLE t (a int GENERATED ALWAYS AS (1) STORED); INSERT INTO t DEFAULT VALUES",
            id="generated columns only",
        ),
        pytest.param(
            "CREATE TABLE t (a int, b int); INSERT INTO t VALUES (1, 2);"
            "ALTER TABLE t DROP COLUMN a",
            id="dropped column",
        ),
    ],
)
def test_seeded_tables_with_unusual_columns_are_reset(make_clone, setup: str):
    """A seeded table is pristine after a reset, even if some or all columns cannot be copied."""
    clone = make_clone(setup)
    clone.execute("INSERT INTO t DEFAULT VALUES")
    clone.reset_or_replace()


def test_seeded_tables_that_reference_each_other_are_reset(make_clone):
    """Foreign keys in a circle do not prevent the reset, whichever table is restored first."""
    clone = make_clone(
        """
        CREATE TABLE a (id int PRIMARY KEY);
        CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a);
        ALTER TABLE a ADD COLUMN b int REFERENCES b DEFERRABLE;
        ALTER TABLE a ADD COLUMN own int REFERENCES a;
        INSERT INTO a VALUES (1, NULL, 1);
        INSERT INTO b VALUES (1, 1);
        UPDATE a SET b = 1;
        """
    )
    clone.execute("UPDATE a SET b = NULL; DELETE FROM b; DELETE FROM a")
    clone.assert_reset()


def test_a_changed_table_of_many_rows_means_a_new_clone(make_clone):
    """The clone is replaced if a test changed a large seeded table, and only then."""
    clone = make_clone(
        "CREATE TABLE many AS SELECT n, 'row ' || n AS name FROM generate_series(1, 10000) n"
    )
    clone.assert_reset()
    clone.execute("UPDATE many SET name = 'x' WHERE n = 4711")
    clone.assert_replaced()


@pytest.mark.parametrize("refill", ["", "; COPY many FROM PROGRAM 'seq 2 1501' WITH (FREEZE)"])
def test_a_truncated_table_of_many_rows_means_a_new_clone(make_clone, refill: str):
    """The reset detects TRUNCATE of a large seeded table, even if COPY FREEZE fills it again.

    COPY FREEZE marks its pages as all-visible, as they are marked in the template.
    """
    clone = make_clone(
        "CREATE TABLE many (a int); INSERT INTO many SELECT generate_series(1, 1500)"
    )
    clone.execute(f"BEGIN; TRUNCATE many{refill}; COMMIT")
    clone.assert_replaced()


FILLED_AT_ONCE = {
    "COPY": "CREATE TABLE many (a int); COPY many FROM PROGRAM 'seq 1 {rows}'",
    "CREATE TABLE AS": "CREATE TABLE many AS SELECT a FROM generate_series(1, {rows}) AS a",
    "INSERT": "CREATE TABLE many (a int); INSERT INTO many SELECT generate_series(1, {rows})",
}


@pytest.mark.parametrize("rows", [1500, 30_000, 200_000])
@pytest.mark.parametrize("fill", FILLED_AT_ONCE.values(), ids=FILLED_AT_ONCE)
def test_a_large_table_that_was_filled_at_once_is_reset_in_place(make_clone, fill: str, rows: int):
    """Empty pages that COPY adds do not count as a change. A row in such a page does."""
    clone = make_clone(fill.format(rows=rows) + "; CREATE TABLE other (a int)")
    for _ in range(2):
        clone.execute("INSERT INTO other VALUES (1)")
        clone.assert_reset()
    clone.execute("INSERT INTO many VALUES (-1)")
    clone.assert_replaced()


def test_an_unchanged_table_whose_trigger_always_fires_is_no_change(make_clone):
    """The reset does not restore such a table, but it sees that nobody changed it."""
    clone = make_clone(
        """
        CREATE TABLE few (a int); INSERT INTO few VALUES (1); CREATE TABLE other (a int);
        CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
        CREATE TRIGGER t BEFORE DELETE ON few FOR EACH ROW EXECUTE FUNCTION f();
        ALTER TABLE few ENABLE ALWAYS TRIGGER t;
        """
    )
    clone.execute("INSERT INTO other VALUES (1)")
    clone.assert_reset()
    clone.execute("UPDATE few SET a = 2")
    clone.assert_replaced()


def test_a_vacuum_is_noticed_after_the_statistics_were_reset(make_clone):
    """VACUUM hides a change of a large table, and pg_stat_reset hides the VACUUM."""
    clone = make_clone("CREATE TABLE many AS SELECT generate_series(1, 5000) AS a")
    clone.execute("UPDATE many SET a = 0 WHERE a = 5")
    clone.execute("VACUUM many")
    clone.execute("VACUUM many")
    clone.execute("SELECT pg_stat_reset()")
    clone.assert_replaced()
