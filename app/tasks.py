"""Tasks: the work of a team, most urgent first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from flask import Blueprint
from pydantic import Field, StringConstraints

from app.auth import acting_user
from app.db import database
from app.errors import allow, found
from app.inputs import WITHOUT_NUL, Name, Strict, Text, read_body, read_query
from app.models import Tag, Task, TaskTag, User
from app.pagination import PageQuery, page
from app.teams import found_team

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

blueprint = Blueprint("tasks", __name__)

Priority = Annotated[int, Field(ge=1, le=5)]
TagName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, to_lower=True, pattern=r"^[\w-]{1,30}$"),
]


class NewTask(Strict):
    """The request body that creates a task."""

    title: Name
    body: Text = ""
    priority: Priority = 3


class TaskChange(Strict):
    """The request body that changes a task. A field that is left out stays as it is."""

    title: Name | None = None
    body: Text | None = None
    priority: Priority | None = None


class TagNames(Strict):
    """The request body that replaces the tags of a task."""

    tags: list[TagName] = Field(max_length=10)


class TaskQuery(PageQuery):
    """The query parameters of a list of tasks."""

    status: Literal["open", "claimed", "done"] | None = None
    tag: Annotated[str, StringConstraints(pattern=WITHOUT_NUL)] | None = None


@blueprint.post("/teams/<int:team_id>/tasks")
def create_task(team_id: int) -> ResponseReturnValue:
    """Create a task in a team."""
    actor = acting_user()
    team = found_team(team_id, actor)
    new = read_body(NewTask).model_dump()
    return Task.create(team=team, author=actor, **new).as_json(), 201


@blueprint.get("/teams/<int:team_id>/tasks")
def list_tasks(team_id: int) -> ResponseReturnValue:
    """List the tasks of a team, most urgent first, then oldest first."""
    tasks = Task.select().where(Task.team == found_team(team_id, acting_user()))
    wanted = read_query(TaskQuery)
    if wanted.status is not None:
        tasks = tasks.where(Task.status == wanted.status)
    if wanted.tag is not None:
        tagged = TaskTag.select(TaskTag.task).join(Tag).where(Tag.name == wanted.tag)
        tasks = tasks.where(Task.id.in_(tagged))
    return page(tasks, (Task.priority, Task.id), wanted)


@blueprint.get("/tasks/<int:task_id>")
def show_task(task_id: int) -> ResponseReturnValue:
    """Return a task to a member of its team."""
    return found_task(task_id, acting_user()).as_json()


@blueprint.patch("/tasks/<int:task_id>")
def change_task(task_id: int) -> ResponseReturnValue:
    """Change a task."""
    task = found_task(task_id, acting_user())
    change = read_body(TaskChange).model_dump(exclude_none=True)
    for name, value in change.items():
        setattr(task, name, value)
    if change:
        # Save only the changed fields: another request may be claiming the task now.
        task.save(only=list(change))
    return task.as_json()


@blueprint.put("/tasks/<int:task_id>/tags")
def replace_tags(task_id: int) -> ResponseReturnValue:
    """Replace all tags of a task, and create the tags that do not exist yet."""
    task = found_task(task_id, acting_user())
    # Two requests that insert the same tags in different orders could deadlock, so sort the names.
    names = sorted(set(read_body(TagNames).tags))
    with database.atomic():
        TaskTag.delete().where(TaskTag.task == task).execute()
        if names:
            new_tags = [{"name": name} for name in names]
            Tag.insert_many(new_tags).on_conflict_ignore().execute()
            tags = Tag.select(task.id, Tag.id).where(Tag.name.in_(names))
            TaskTag.insert_from(tags, [TaskTag.task, TaskTag.tag]).execute()
    return task.as_json()


@blueprint.delete("/tasks/<int:task_id>")
def delete_task(task_id: int) -> ResponseReturnValue:
    """Delete a task and its comments. Its author and the owner of the team may do this."""
    actor = acting_user()
    task = found_task(task_id, actor)
    allow(
        actor.id in (task.author_id, task.team.owner_id),
        "Only its author or the owner of the team may delete this task.",
    )
    task.delete_instance()
    return "", 204


def found_task(task_id: int, member: User) -> Task:
    """Return the task to a member of its team; answer 404, or 403 to other users."""
    task = found(Task.get_or_none(Task.id == task_id), "task")
    found_team(task.team_id, member)
    return task
