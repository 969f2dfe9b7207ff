"""The reset after a test that changed nothing, or nothing that lasts: the clone is kept."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.pgherd.support.reset_clones import Clone


def test_a_test_that_only_reads_needs_no_new_clone(shop: Clone):
    """A clone that was only read is pristine."""
    shop.execute("SELECT count(*) FROM person")
    shop.assert_reset()


@pytest.mark.parametrize(
    "statement",
    [
        "VACUUM",
        "ANALYZE",
        "VACUUM FREEZE role",
        "VACUUM FULL role",
        "REINDEX TABLE role",
        "CLUSTER role USING role_pkey",
        "TRUNCATE pet",
        "CREATE TEMPORARY TABLE t AS SELECT * FROM role",
        "SELECT * FROM role FOR UPDATE",
        "LOCK TABLE role; SELECT 1",
    ],
)
def test_maintenance_does_not_hide_a_change(shop: Clone, statement: str):
    """After maintenance, a lock or a temporary table, a changed row is still undone."""
    shop.execute(statement)
    shop.execute("UPDATE role SET name = 'boss' WHERE id = 1")
    shop.reset_or_replace()


def test_a_rolled_back_transaction_needs_no_new_clone(shop: Clone):
    """A rollback undoes rows and tables itself, and the reset rewinds the sequences."""
    with closing(shop.database.connect()) as connection:
        connection.cursor().execute("INSERT INTO role (name) VALUES ('boss'); CREATE TABLE t ()")
        connection.rollback()
    shop.assert_reset()


def test_a_temporary_table_stays_with_its_connection(shop: Clone):
    """A connection that stays open keeps its temporary table, and the clone is kept."""
    with closing(shop.database.connect()) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute("CREATE TEMPORARY TABLE t (a serial PRIMARY KEY, b text)")
        cursor.execute("INSERT INTO t (b) VALUES ('x'); INSERT INTO pet DEFAULT VALUES")
        assert shop.resetter.reset() is True
        cursor.execute("SELECT a, b FROM t")
        assert cursor.fetchall() == [(1, "x")]
