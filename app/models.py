"""The tables as Peewee sees them; the migrations make them."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TypeAlias

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

Json: TypeAlias = dict[str, object]


def now() -> datetime:
    """Give the time, with its zone."""
    return datetime.now(timezone.utc)


class Base(Model):
    """What all tables have in common."""

    class Meta:
        """The database, and table names with underscores."""

        database = database
        legacy_table_names = False

    def as_json(self) -> Json:
        """Give what the service shows of the row; tables that it does not show have none."""
        raise NotImplementedError


class User(Base):
    """A person with an account."""

    id = AutoField()
    email = TextField()
    name = TextField()
    created_at = DateTimeField(default=now)

    def as_json(self) -> Json:
        """Give what others may see."""
        return {
            "id": self.id,
            "email": self.email,
            "name": self.name,
            "created_at": self.created_at.isoformat(),
            "roles": self.role_names(),
        }

    def role_names(self) -> list[str]:
        """Name the roles that the user holds, in alphabetical order."""
        held = UserRole.select(UserRole.role).where(UserRole.user == self)
        return [role.name for role in Role.select().where(Role.id.in_(held)).order_by(Role.name)]


class Role(Base):
    """What a user may do."""

    id = AutoField()
    name = TextField()
    description = TextField(default="")

    def as_json(self) -> Json:
        """Give the role."""
        return {"id": self.id, "name": self.name, "description": self.description}


class UserRole(Base):
    """A role that a user holds."""

    user = ForeignKeyField(User)
    role = ForeignKeyField(Role)
    granted_at = DateTimeField(default=now)

    class Meta:
        """A user holds a role once."""

        primary_key = CompositeKey("user", "role")


class Team(Base):
    """People who share tasks."""

    id = AutoField()
    name = TextField()
    owner = ForeignKeyField(User)
    created_at = DateTimeField(default=now)
    owner_id: int

    def as_json(self) -> Json:
        """Give the team."""
        return {"id": self.id, "name": self.name, "owner_id": self.owner_id}


class Membership(Base):
    """A user's place in a team."""

    team = ForeignKeyField(Team)
    user = ForeignKeyField(User)
    joined_at = DateTimeField(default=now)

    class Meta:
        """A user is in a team once."""

        primary_key = CompositeKey("team", "user")


class Invitation(Base):
    """An offer to join a team, to whoever has the token and the address."""

    id = AutoField()
    team = ForeignKeyField(Team)
    email = TextField()
    token = TextField()
    created_at = DateTimeField(default=now)
    expires_at = DateTimeField()
    accepted_at = DateTimeField(null=True)
    team_id: int

    def as_json(self) -> Json:
        """Give the invitation, as the owner of the team passes it on."""
        return {
            "team_id": self.team_id,
            "email": self.email,
            "token": self.token,
            "expires_at": self.expires_at.isoformat(),
        }


class Task(Base):
    """Something to do; 1 is the most urgent priority and 5 the least."""

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
        """Give the task with its tags."""
        tags = TaskTag.select(TaskTag.tag).where(TaskTag.task == self)
        return {
            "id": self.id,
            "team_id": self.team_id,
            "author_id": self.author_id,
            "assignee_id": self.assignee_id,
            "title": self.title,
            "body": self.body,
            "priority": self.priority,
            "status": self.status,
            "tags": [tag.name for tag in Tag.select().where(Tag.id.in_(tags)).order_by(Tag.name)],
        }


class Comment(Base):
    """What somebody had to say about a task."""

    id = AutoField()
    task = ForeignKeyField(Task)
    author = ForeignKeyField(User)
    body = TextField()
    created_at = DateTimeField(default=now)
    task_id: int
    author_id: int

    def as_json(self) -> Json:
        """Give the comment."""
        return {
            "id": self.id,
            "task_id": self.task_id,
            "author_id": self.author_id,
            "body": self.body,
            "created_at": self.created_at.isoformat(),
        }


class Tag(Base):
    """A word that groups tasks."""

    id = AutoField()
    name = TextField()


class TaskTag(Base):
    """A tag on a task."""

    task = ForeignKeyField(Task)
    tag = ForeignKeyField(Tag)

    class Meta:
        """A task has a tag once."""

        primary_key = CompositeKey("task", "tag")


class AuditEntry(Base):
    """A change of a row, written by the database's triggers and only read here."""

    id = AutoField()
    at = DateTimeField()
    actor_id = BigIntegerField(null=True)
    table_name = TextField()
    row_id = BigIntegerField()
    operation = TextField()
    # psycopg2 turns jsonb into Python values by itself.
    before = BareField()
    after = BareField()

    def as_json(self) -> Json:
        """Give the entry."""
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
