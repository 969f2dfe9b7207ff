"""The reset of a schema with triggers and rules: they write no rows during the reset."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.pgherd.support.reset_clones import Clone


def test_a_reset_fires_no_trigger(shop: Clone):
    """The reset deletes the rows that a trigger wrote, and makes no trigger write more."""
    shop.execute("DELETE FROM person")
    assert shop.execute("SELECT what FROM audit") == [("DELETE",)] * 3
    shop.assert_reset()
    count = "SELECT count(*), (SELECT last_value FROM audit_id_seq) FROM audit"
    assert shop.execute(count) == [(0, 1)]


@pytest.mark.parametrize("when", ["ALWAYS", "REPLICA"])
def test_a_trigger_that_fires_on_replicas_leaves_no_rows(make_clone, when: str):
    """A trigger that could fire during the reset leaves no rows in the clone.

    The reset sets `session_replication_role` to `replica`, and these triggers fire in that role.
    """
    clone = make_clone(
        f"""
        CREATE TABLE audit (what text);
        CREATE TABLE t (id int);
        INSERT INTO t VALUES (1);
        CREATE TABLE u (id int);
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN INSERT INTO public.audit (what) VALUES (TG_OP); RETURN NULL; END $$;
        CREATE TRIGGER note AFTER INSERT OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION note();
        CREATE TRIGGER note AFTER DELETE ON u FOR EACH ROW EXECUTE FUNCTION note();
        ALTER TABLE t ENABLE {when} TRIGGER note;
        ALTER TABLE u ENABLE {when} TRIGGER note;
        """
    )
    clone.execute("UPDATE t SET id = 2; INSERT INTO u VALUES (1)")
    clone.reset_or_replace()


def test_a_rule_that_applies_on_replicas_keeps_no_rows(make_clone):
    """A rule that could turn the DELETE of the reset into nothing keeps no rows in the clone."""
    clone = make_clone(
        "CREATE TABLE t (id int); CREATE RULE keep AS ON DELETE TO t DO INSTEAD NOTHING;"
        "ALTER TABLE t ENABLE ALWAYS RULE keep"
    )
    clone.execute("INSERT INTO t VALUES (1)")
    clone.reset_or_replace()
