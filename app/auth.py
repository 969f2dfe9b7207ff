"""Authentication: the X-User-Id header names the user who sends the request.

In this example, a gateway in front of the service logs users in and sets the header. The service
checks only that the user exists. This keeps the example short: its subject is the database.
"""

from __future__ import annotations

from flask import request
from peewee import SQL, Select, fn

from app.db import database
from app.errors import Problem, allow
from app.models import Role, User, UserRole

ADMIN = "admin"
BASIC = "basic"


def acting_user() -> User:
    """Return the user who sends the request, or answer 401."""
    header = request.headers.get("X-User-Id", "")
    user = User.get_or_none(User.id == int(header)) if is_id(header) else None
    if user is None:
        raise Problem(401, "The X-User-Id header must be the id of a user.")
    # The triggers of the audit trail read this setting. It lasts as long as the connection,
    # which is as long as the request.
    set_actor = fn.set_config("app.actor_id", str(user.id), SQL("false"))
    Select(columns=[set_actor]).execute(database)
    return user


def is_id(text: str) -> bool:
    """Return whether the text can be the id of a row, which is a bigint."""
    return text.isdecimal() and len(text) < len(str(2**63))


def acting_admin() -> User:
    """Return the admin who sends the request, or answer 403."""
    user = acting_user()
    allow(is_admin(user), "Only an admin may do this.")
    return user


def is_admin(user: User) -> bool:
    """Return whether the user holds the admin role."""
    held = UserRole.select().join(Role).where(UserRole.user == user, Role.name == ADMIN)
    return held.exists()
