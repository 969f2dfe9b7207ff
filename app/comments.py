"""Comments on tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from flask import Blueprint
from pydantic import Field

from app.auth import acting_user, is_admin
from app.errors import allow, found
from app.inputs import Strict, Text, read_body, read_query
from app.models import Comment
from app.pagination import PageQuery, page
from app.tasks import found_task

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

blueprint = Blueprint("comments", __name__)


class NewComment(Strict):
    """The request body that creates a comment."""

    body: Annotated[Text, Field(min_length=1)]


@blueprint.post("/tasks/<int:task_id>/comments")
def create_comment(task_id: int) -> ResponseReturnValue:
    """Create a comment on a task."""
    actor = acting_user()
    task = found_task(task_id, actor)
    comment = Comment.create(task=task, author=actor, body=read_body(NewComment).body)
    return comment.as_json(), 201


@blueprint.get("/tasks/<int:task_id>/comments")
def list_comments(task_id: int) -> ResponseReturnValue:
    """List the comments on a task, oldest first."""
    comments = Comment.select().where(Comment.task == found_task(task_id, acting_user()))
    return page(comments, (Comment.id,), read_query(PageQuery))


@blueprint.delete("/comments/<int:comment_id>")
def delete_comment(comment_id: int) -> ResponseReturnValue:
    """Delete a comment. Its author and every admin may do this."""
    actor = acting_user()
    comment = found(Comment.get_or_none(Comment.id == comment_id), "comment")
    allow(
        comment.author_id == actor.id or is_admin(actor),
        "Only the author or an admin may delete this comment.",
    )
    comment.delete_instance()
    return "", 204
