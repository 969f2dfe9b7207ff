"""Users: signing up, looking people up, leaving."""

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
    """What it takes to sign up."""

    email: Email
    name: Name


class UserChange(Strict):
    """What a user may change."""

    name: Name


@blueprint.post("/create")
def create_user() -> ResponseReturnValue:
    """Sign up: anybody may. The user holds the role ``basic`` from the start."""
    new = read_body(NewUser)
    # One transaction: nobody ever sees a user without a role.
    with database.atomic():
        user = User.create(email=new.email, name=new.name)
        UserRole.create(user=user, role=Role.get(Role.name == BASIC))
    # The other routes that create a row answer 201. The clients of this one expect 200.
    return user.as_json()


@blueprint.get("")
def list_users() -> ResponseReturnValue:
    """List everybody, in the order they signed up."""
    acting_user()
    return page(User.select(), (User.id,), read_query(PageQuery))


@blueprint.get("/<int:user_id>")
def show_user(user_id: int) -> ResponseReturnValue:
    """Show a user."""
    acting_user()
    return found_user(user_id).as_json()


@blueprint.patch("/<int:user_id>")
def change_user(user_id: int) -> ResponseReturnValue:
    """Rename a user: oneself, or anybody for an admin."""
    actor, user = acting_user(), found_user(user_id)
    allow(actor == user or is_admin(actor), "Only an admin may change somebody else.")
    user.name = read_body(UserChange).name
    user.save(only=[User.name])
    return user.as_json()


@blueprint.delete("/<int:user_id>")
def delete_user(user_id: int) -> ResponseReturnValue:
    """Delete a user who owns no team and has no part in any task: 409 otherwise."""
    acting_admin()
    found_user(user_id).delete_instance()
    return "", 204


def found_user(user_id: int) -> User:
    """Give the user, or answer 404."""
    return found(User.get_or_none(User.id == user_id), "user")
