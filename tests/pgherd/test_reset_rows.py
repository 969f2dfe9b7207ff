"""The reset of rows: it undoes inserts, updates and deletes in place, without a new clone."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import psycopg2
import pytest

from tests.pgherd.support.shop import ROW_CHANGES, SEQUENCE_CHANGES

if TYPE_CHECKING:
    from tests.pgherd.support.reset_clones import Clone


@pytest.mark.parametrize("statement", ROW_CHANGES.values(), ids=ROW_CHANGES)
def test_changed_rows_are_reset_in_place(shop: Clone, statement: str):
    """A change of rows is undone in place."""
    shop.execute(statement)
    # An update to the same values, or a row inserted again, leaves rows that look unchanged.
    assert shop.difference() or "name = name" in statement or "'admin'" in statement
    shop.assert_reset()


def test_many_changes_are_reset_together(shop: Clone):
    """One reset undoes all these changes, and the next reset undoes them again."""
    for _ in range(3):
        for statement in [*ROW_CHANGES.values(), *SEQUENCE_CHANGES.values()]:
            # Some statements fail because of a row that an earlier one inserted or deleted.
            with suppress(psycopg2.IntegrityError):
                shop.execute(statement)
        shop.assert_reset()
