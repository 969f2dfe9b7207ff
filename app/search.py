"""Full-text search: a word also finds its other forms, so "engines" finds "engine"."""

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
    """The query parameters of a search.

    ``q`` holds words, "phrases", ``or``, and ``-`` before a word that must not occur.
    ``limit`` is the maximum number of tasks.
    """

    q: Name
    limit: int = Field(default=20, ge=1, le=100)


@blueprint.get("/search")
def search_tasks() -> ResponseReturnValue:
    """Search the tasks of the user's teams, and list the best matches first.

    A word in the title counts for more than a word in the body.
    """
    tasks = Task.select().where(Task.team.in_(teams_of(acting_user())))
    wanted = read_query(SearchQuery)
    vector, query = SQL("search"), fn.websearch_to_tsquery("english", wanted.q)
    matches = tasks.where(Expression(vector, "@@", query))
    ranked = matches.order_by(fn.ts_rank(vector, query).desc(), Task.id).limit(wanted.limit)
    return {"items": Task.list_as_json(list(ranked))}
