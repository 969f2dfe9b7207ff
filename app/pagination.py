"""Keyset pagination: each page starts after the last row of the page before it.

An offset would be slower, because PostgreSQL must count all rows before the page. It would also
show a row twice if another row is inserted before it.
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
    """The query parameters of a page: where it starts, and its maximum number of rows."""

    after: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,18}(-[0-9]{1,18})*$")] | None = None
    limit: int = Field(default=20, ge=1, le=100)


R = TypeVar("R", bound=Base)


def page(query: ModelSelect[R], keys: tuple[peewee.Field[int], ...], wanted: PageQuery) -> Json:
    """Return one page of the query.

    Args:
        query: the rows, in any order.
        keys: the fields to order by; together they are unique.
        wanted: where the page starts, and its maximum number of rows.

    Returns:
        ``items``: the rows, and ``next``: the ``after`` of the next page, or None on the last page.

    """
    if wanted.after is not None:
        values = [int(part) for part in wanted.after.split("-")]
        if len(values) != len(keys):
            raise Problem(
                400, "The request is not valid.", {"after": "does not come from this list"}
            )
        query = query.where(EnclosedNodeList(keys) > EnclosedNodeList(values))
    # Read one row more than the page has. If it exists, another page follows.
    rows = list(query.order_by(*keys).limit(wanted.limit + 1))
    more, rows = len(rows) > wanted.limit, rows[: wanted.limit]
    cursor = "-".join(str(getattr(rows[-1], key.name)) for key in keys) if more else None
    return {"items": query.model.list_as_json(rows), "next": cursor}
