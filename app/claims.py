"""Claims: a user takes the next open task. Two users never get the same task."""

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
    """Claim the most urgent open task of the user's teams, or answer 204 if there is none."""
    actor = acting_user()
    candidates = Task.select().where(Task.status == "open", Task.team.in_(teams_of(actor)))
    with database.atomic():
        # If another request is claiming a task, skip the task. Do not wait for the lock.
        # Peewee accepts a whole clause here, but its types do not say so.
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
    """Release a claimed task, so that another user can claim it."""
    actor = acting_user()
    return end_claim(task_id, actor, status="open", assignee=None)


@blueprint.post("/<int:task_id>/complete")
def complete(task_id: int) -> ResponseReturnValue:
    """Complete a claimed task. The task keeps its assignee."""
    actor = acting_user()
    return end_claim(task_id, actor, status="done", assignee=actor)


def end_claim(
    task_id: int, actor: User, *, status: str, assignee: User | None
) -> ResponseReturnValue:
    """Change the status of a task that the user has claimed, or answer 409.

    One statement checks the claim and changes the status. With two statements, a second request
    could release a task that the first one has just completed.
    """
    task = found_task(task_id, actor)
    claimed = Task.id == task.id, Task.status == "claimed", Task.assignee == actor
    if not Task.update(status=status, assignee=assignee).where(*claimed).execute():
        raise Problem(409, "You have not claimed this task.")
    return Task.get_by_id(task.id).as_json()
