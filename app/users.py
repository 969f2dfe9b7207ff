"""Users: create, list, rename and delete accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint

from app.auth import BASIC, acting_admin, acting_user, is_admin
from app.db import database
from app.errors import allow, found
from app.inputs import Email, Name, Strict, read_body, read_query
from app.models import Role, User, UserRole
from app.pagination import PageQuery, page

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

blueprint = Blueprint("users", __name__, url_prefix="/users")


class NewUser(Strict):
    """The request body that creates a user."""

    email: Email
    name: Name


class UserChange(Strict):
    """The request body that changes a user."""

    name: Name


@blueprint.post("/create")
def create_user() -> ResponseReturnValue:
    """Create a user with the role ``basic``. This request needs no account."""
    new = read_body(NewUser)
    # In one transaction, so that other connections never see a user without a role.
    with database.atomic():
        user = User.create(email=new.email, name=new.name)
        UserRole.create(user=user, role=Role.get(Role.name == BASIC))
    # Every other route that creates a row answers 201. This one answers 200, because the first test
    # in tests/app/test_users.py fixes that status.
    return user.as_json()


@blueprint.get("")
def list_users() -> ResponseReturnValue:
    """List all users, in the order in which they were created."""
    acting_user()
    return page(User.select(), (User.id,), read_query(PageQuery))


@blueprint.get("/<int:user_id>")
def show_user(user_id: int) -> ResponseReturnValue:
    """Return a user."""
    acting_user()
    return found_user(user_id).as_json()


@blueprint.patch("/<int:user_id>")
def change_user(user_id: int) -> ResponseReturnValue:
    """Rename a user. Users may rename themselves; an admin may rename everybody."""
    actor, user = acting_user(), found_user(user_id)
    allow(actor == user or is_admin(actor), "Only an admin may change another user.")
    user.name = read_body(UserChange).name
    user.save(only=[User.name])
    return user.as_json()


@blueprint.delete("/<int:user_id>")
def delete_user(user_id: int) -> ResponseReturnValue:
    """Delete a user, or answer 409 if a team, task or comment still refers to the user."""
    acting_admin()
    found_user(user_id).delete_instance()
    return "", 204


def found_user(user_id: int) -> User:
    """Return the user, or answer 404."""
    return found(User.get_or_none(User.id == user_id), "user")
