"""Who acts: the X-User-Id header names the user.

The service stands behind a gateway that logs people in and sets the header; it checks nothing
further. That keeps the example on its subject, the database.
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
    """Give the user who acts, or answer 401; the audit trail names them from here on."""
    header = request.headers.get("X-User-Id", "")
    user = User.get_or_none(User.id == int(header)) if is_id(header) else None
    if user is None:
        raise Problem(401, "Say who you are: X-User-Id has to be the id of a user.")
    # For the session, not the transaction: the connection serves this request and no other.
    remember = fn.set_config("app.actor_id", str(user.id), SQL("false"))
    Select(columns=[remember]).execute(database)
    return user


def is_id(text: str) -> bool:
    """Say whether the text can be a row's id, which is a bigint."""
    return text.isdecimal() and len(text) < len(str(2**63))


def acting_admin() -> User:
    """Give the admin who acts, or answer 403."""
    user = acting_user()
    allow(is_admin(user), "Only an admin may do this.")
    return user


def is_admin(user: User) -> bool:
    """Say whether the user holds the admin role."""
    held = UserRole.select().join(Role).where(UserRole.user == user, Role.name == ADMIN)
    return held.exists()
