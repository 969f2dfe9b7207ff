"""The reset after changes of the database itself: its settings, rights, owner and comment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pgherd.postgres import databases

if TYPE_CHECKING:
    from tests.pgherd.support.reset_clones import Clone


@pytest.mark.parametrize(
    "change",
    [
        "COMMENT ON DATABASE {} IS 'ours'",
        "GRANT CREATE ON DATABASE {} TO PUBLIC",
        "REVOKE CONNECT ON DATABASE {} FROM PUBLIC",
        "ALTER DATABASE {} CONNECTION LIMIT 50",
        "ALTER DATABASE {} OWNER TO pg_monitor",
        "ALTER ROLE CURRENT_USER IN DATABASE {} SET work_mem = '5MB'",
    ],
)
def test_a_change_of_the_database_means_a_new_clone(shop: Clone, change: str):
    """The reset detects a change that the server stores outside of the database."""
    shop.execute(change.format(shop.database.name))
    shop.assert_replaced()
    shop.assert_reset()


def test_a_change_of_the_settings_means_a_new_clone(make_clone):
    """A clone has the template's settings. If a test changes one, pgherd replaces the clone."""
    alter = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I {}', current_database()); END $$"
    clone = make_clone(f"CREATE TABLE t (a int); {alter.format('SET work_mem = 5000')}")
    clone.execute("INSERT INTO t VALUES (1)")
    clone.assert_reset()
    for change in ("SET work_mem = 6000", "RESET work_mem", "SET search_path = public"):
        clone.execute(alter.format(change))
        clone.assert_replaced()


def test_a_dropped_clone_is_not_reset(shop: Clone, connection):
    """If a test drops its own database, the reset returns False and raises nothing."""
    shop.assert_reset()
    databases.drop(connection, shop.database.name)
    assert shop.resetter.reset() is False
