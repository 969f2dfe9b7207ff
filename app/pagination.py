"""Keyset pagination: a page begins after the last row seen, however many rows came in between.

An offset would count through all rows before the page, and show a row twice when one is added.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeVar

from peewee import EnclosedNodeList
from pydantic import Field, StringConstraints

from app.errors import Problem
from app.inputs import Strict
from app.models import Base, Json

if TYPE_CHECKING:
    import peewee
    from peewee import ModelSelect


class PageQuery(Strict):
    """Where a page begins, and how many rows it has."""

    after: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,18}(-[0-9]{1,18})*$")] | None = None
    limit: int = Field(default=20, ge=1, le=100)


R = TypeVar("R", bound=Base)


def page(query: ModelSelect[R], keys: tuple[peewee.Field[int], ...], wanted: PageQuery) -> Json:
    """Give one page of the query.

    Args:
        query: the rows, in any order.
        keys: the fields to order by, which together are unique.
        wanted: where the page begins, and how many rows it has.

    Returns:
        ``items``, and ``next``: the ``after`` of the next page, None on the last.

    """
    if wanted.after is not None:
        values = [int(part) for part in wanted.after.split("-")]
        if len(values) != len(keys):
            raise Problem(400, "The request is not valid.", {"after": "is not from this list"})
        query = query.where(EnclosedNodeList(keys) > EnclosedNodeList(values))
    # One row more than the page holds tells whether another page follows.
    rows = list(query.order_by(*keys).limit(wanted.limit + 1))
    more, rows = len(rows) > wanted.limit, rows[: wanted.limit]
    cursor = "-".join(str(getattr(rows[-1], key.name)) for key in keys) if more else None
    return {"items": query.model.list_as_json(rows), "next": cursor}
