"""The reset of sequences: each gets the value back that it has in the template."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg2
import pytest

from tests.pgherd.support.shop import SEQUENCE_CHANGES

if TYPE_CHECKING:
    from tests.pgherd.support.reset_clones import Clone


@pytest.mark.parametrize("statement", SEQUENCE_CHANGES.values(), ids=SEQUENCE_CHANGES)
def test_changed_sequences_are_reset_in_place(shop: Clone, statement: str):
    """A sequence that was advanced or set is rewound in place."""
    shop.execute(statement)
    assert shop.difference()
    shop.assert_reset()


def test_the_next_row_gets_the_same_id_after_a_reset(shop: Clone):
    """After a reset, a new row gets the id that it would have got in a new clone."""
    for _ in range(2):
        assert shop.execute("INSERT INTO person (name) VALUES ('Eve') RETURNING id") == [(3,)]
        assert shop.execute("INSERT INTO pet DEFAULT VALUES RETURNING id") == [(1,)]
        shop.assert_reset()


def test_a_sequence_advanced_by_a_failed_insert_is_reset(shop: Clone):
    """A failed INSERT writes no row, but it advances the sequence, and the reset rewinds it."""
    with pytest.raises(psycopg2.errors.UniqueViolation):
        shop.execute("INSERT INTO role (name) VALUES ('admin')")
    assert shop.difference()
    shop.assert_reset()
