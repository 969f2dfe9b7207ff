"""Search: tasks are found by their words, in any of their forms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint
from peewee import SQL, Expression, fn
from pydantic import Field

from app.auth import acting_user
from app.inputs import Name, Strict, read_query
from app.models import Task
from app.teams import teams_of

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

blueprint = Blueprint("search", __name__)


class SearchQuery(Strict):
    """What to look for: words, "phrases", or, -not; and how many tasks to find."""

    q: Name
    limit: int = Field(default=20, ge=1, le=100)


@blueprint.get("/search")
def search_tasks() -> ResponseReturnValue:
    """Find tasks of one's teams, best first; a word in the title counts for more."""
    mine = Task.select().where(Task.team.in_(teams_of(acting_user())))
    wanted = read_query(SearchQuery)
    vector, query = SQL("search"), fn.websearch_to_tsquery("english", wanted.q)
    matches = mine.where(Expression(vector, "@@", query))
    ranked = matches.order_by(fn.ts_rank(vector, query).desc(), Task.id).limit(wanted.limit)
    return {"items": Task.list_as_json(list(ranked))}
