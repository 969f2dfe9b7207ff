"""The models of the tables. The migrations create the tables."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timezone
from typing import TYPE_CHECKING, TypeAlias

from peewee import (
    AutoField,
    BareField,
    BigIntegerField,
    CompositeKey,
    DateTimeField,
    ForeignKeyField,
    IntegerField,
    Model,
    TextField,
)

from app.db import database

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from typing_extensions import Self

Json: TypeAlias = dict[str, object]


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(timezone.utc)


class Base(Model):
    """The base class of all models."""

    class Meta:
        """Settings of all models: the database, and table names with underscores."""

        database = database
        legacy_table_names = False

    def as_json(self) -> Json:
        """Return the row as the API shows it. Models that the API never shows have no JSON."""
        raise NotImplementedError

    @classmethod
    def list_as_json(cls, rows: Sequence[Self]) -> list[Json]:
        """Return each row as the API shows it, with at most one query for the whole list."""
        return [row.as_json() for row in rows]


def group_names(pairs: Iterable[tuple[int, str]]) -> dict[int, list[str]]:
    """Return the names of each id, in the order given. An id without names has an empty list."""
    names: defaultdict[int, list[str]] = defaultdict(list)
    for row_id, name in pairs:
        names[row_id].append(name)
    return names


class User(Base):
    """A person with an account."""

    id = AutoField()
    email = TextField()
    name = TextField()
    created_at = DateTimeField(default=now)

    def as_json(self) -> Json:
        """Return the user with the names of its roles."""
        [shown] = self.list_as_json([self])
        return shown

    @classmethod
    def list_as_json(cls, rows: Sequence[User]) -> list[Json]:
        """Return each user with the names of its roles. One query reads the roles of all users."""
        held = UserRole.select(UserRole.user, Role.name).join(Role).order_by(Role.name)
        held = held.where(UserRole.user.in_(rows))
        names = group_names((row.user_id, row.role.name) for row in held)
        return [
            {
                "id": user.id,
                "email": user.email,
                "name": user.name,
                "created_at": user.created_at.isoformat(),
                "roles": names[user.id],
            }
            for user in rows
        ]


class Role(Base):
    """A role, which decides what its holders may do."""

    id = AutoField()
    name = TextField()
    description = TextField(default="")

    def as_json(self) -> Json:
        """Return the role."""
        return {"id": self.id, "name": self.name, "description": self.description}


class UserRole(Base):
    """A role that a user holds."""

    user = ForeignKeyField(User)
    role = ForeignKeyField(Role)
    granted_at = DateTimeField(default=now)
    user_id: int

    class Meta:
        """The primary key: a user holds a role only once."""

        primary_key = CompositeKey("user", "role")


class Team(Base):
    """A group of users who share tasks."""

    id = AutoField()
    name = TextField()
    owner = ForeignKeyField(User)
    created_at = DateTimeField(default=now)
    owner_id: int

    def as_json(self) -> Json:
        """Return the team."""
        return {"id": self.id, "name": self.name, "owner_id": self.owner_id}


class Membership(Base):
    """A user's membership in a team."""

    team = ForeignKeyField(Team)
    user = ForeignKeyField(User)
    joined_at = DateTimeField(default=now)

    class Meta:
        """The primary key: a user is in a team only once."""

        primary_key = CompositeKey("team", "user")


class Invitation(Base):
    """An invitation to a team; only a user with its email address may accept it."""

    id = AutoField()
    team = ForeignKeyField(Team)
    email = TextField()
    token = TextField()
    created_at = DateTimeField(default=now)
    expires_at = DateTimeField()
    accepted_at = DateTimeField(null=True)
    team_id: int

    def as_json(self) -> Json:
        """Return the invitation with its token, for the owner of the team."""
        return {
            "team_id": self.team_id,
            "email": self.email,
            "token": self.token,
            "expires_at": self.expires_at.isoformat(),
        }


class Task(Base):
    """A task of a team. Priority 1 is the most urgent, priority 5 the least."""

    id = AutoField()
    team = ForeignKeyField(Team)
    author = ForeignKeyField(User)
    assignee = ForeignKeyField(User, null=True)
    title = TextField()
    body = TextField(default="")
    priority = IntegerField(default=3)
    status = TextField(default="open")
    created_at = DateTimeField(default=now)
    team_id: int
    author_id: int
    assignee_id: int | None

    def as_json(self) -> Json:
        """Return the task with the names of its tags."""
        [shown] = self.list_as_json([self])
        return shown

    @classmethod
    def list_as_json(cls, rows: Sequence[Task]) -> list[Json]:
        """Return each task with the names of its tags. One query reads the tags of all tasks."""
        used = TaskTag.select(TaskTag.task, Tag.name).join(Tag).order_by(Tag.name)
        used = used.where(TaskTag.task.in_(rows))
        names = group_names((row.task_id, row.tag.name) for row in used)
        return [
            {
                "id": task.id,
                "team_id": task.team_id,
                "author_id": task.author_id,
                "assignee_id": task.assignee_id,
                "title": task.title,
                "body": task.body,
                "priority": task.priority,
                "status": task.status,
                "tags": names[task.id],
            }
            for task in rows
        ]


class Comment(Base):
    """A user's comment on a task."""

    id = AutoField()
    task = ForeignKeyField(Task)
    author = ForeignKeyField(User)
    body = TextField()
    created_at = DateTimeField(default=now)
    task_id: int
    author_id: int

    def as_json(self) -> Json:
        """Return the comment."""
        return {
            "id": self.id,
            "task_id": self.task_id,
            "author_id": self.author_id,
            "body": self.body,
            "created_at": self.created_at.isoformat(),
        }


class Tag(Base):
    """A label for tasks."""

    id = AutoField()
    name = TextField()


class TaskTag(Base):
    """A tag on a task."""

    task = ForeignKeyField(Task)
    tag = ForeignKeyField(Tag)
    task_id: int

    class Meta:
        """The primary key: a task has a tag only once."""

        primary_key = CompositeKey("task", "tag")


class AuditEntry(Base):
    """A change of a row. A trigger writes it; the service only reads it."""

    id = AutoField()
    at = DateTimeField()
    actor_id = BigIntegerField(null=True)
    table_name = TextField()
    row_id = BigIntegerField()
    operation = TextField()
    # psycopg2 converts jsonb to Python values.
    before = BareField()
    after = BareField()

    def as_json(self) -> Json:
        """Return the entry."""
        return {
            "id": self.id,
            "at": self.at.isoformat(),
            "actor_id": self.actor_id,
            "table": self.table_name,
            "row_id": self.row_id,
            "operation": self.operation,
            "before": self.before,
            "after": self.after,
        }
