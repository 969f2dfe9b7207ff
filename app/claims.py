"""Claims: people take the next open task, and no two ever take the same one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint

from app.auth import acting_user
from app.db import database
from app.errors import Problem
from app.models import Task, User
from app.tasks import found_task
from app.teams import teams_of

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

blueprint = Blueprint("claims", __name__, url_prefix="/tasks")


@blueprint.post("/claim")
def claim() -> ResponseReturnValue:
    """Claim the most urgent open task of one's teams, the oldest first; 204 if there is none."""
    actor = acting_user()
    candidates = Task.select().where(Task.status == "open", Task.team.in_(teams_of(actor)))
    with database.atomic():
        # A task that somebody is claiming is passed over instead of waited for.
        # Peewee takes the whole clause too, which its types do not know.
        clause: Any = "FOR UPDATE SKIP LOCKED"
        next_one = candidates.order_by(Task.priority, Task.id).for_update(clause)
        task = next_one.get_or_none()
        if task is None:
            return "", 204
        task.status, task.assignee = "claimed", actor
        task.save(only=[Task.status, Task.assignee])
    return task.as_json()


@blueprint.post("/<int:task_id>/release")
def release(task_id: int) -> ResponseReturnValue:
    """Give a claimed task back."""
    actor = acting_user()
    return leave(task_id, actor, status="open", assignee=None)


@blueprint.post("/<int:task_id>/complete")
def complete(task_id: int) -> ResponseReturnValue:
    """Finish a claimed task; it stays with whoever did it."""
    actor = acting_user()
    return leave(task_id, actor, status="done", assignee=actor)


def leave(task_id: int, actor: User, *, status: str, assignee: User | None) -> ResponseReturnValue:
    """Take a task out of the hands of its assignee; answer 409 if the actor does not hold it.

    One statement both checks and changes, so that what is done cannot be released at the same time.
    """
    task = found_task(task_id, actor)
    held = Task.id == task.id, Task.status == "claimed", Task.assignee == actor
    if not Task.update(status=status, assignee=assignee).where(*held).execute():
        raise Problem(409, "You do not hold this task.")
    return Task.get_by_id(task.id).as_json()
