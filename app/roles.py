"""Roles: their names, and which users hold them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint

from app.auth import BASIC, acting_admin, acting_user
from app.errors import Problem, found
from app.inputs import Name, Strict, Text, read_body
from app.models import Role, UserRole
from app.users import found_user

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

blueprint = Blueprint("roles", __name__)


class NewRole(Strict):
    """The request body that creates a role."""

    name: Name
    description: Text = ""


@blueprint.get("/roles")
def list_roles() -> ResponseReturnValue:
    """List the roles by name. There are few roles, so there is only one page."""
    acting_user()
    return {"items": Role.list_as_json(list(Role.select().order_by(Role.name)))}


@blueprint.post("/roles")
def create_role() -> ResponseReturnValue:
    """Create a role."""
    acting_admin()
    return Role.create(**read_body(NewRole).model_dump()).as_json(), 201


@blueprint.delete("/roles/<name>")
def delete_role(name: str) -> ResponseReturnValue:
    """Delete a role, or answer 409 if a user holds it."""
    acting_admin()
    found_role(name).delete_instance()
    return "", 204


@blueprint.put("/users/<int:user_id>/roles/<name>")
def grant_role(user_id: int, name: str) -> ResponseReturnValue:
    """Grant a role to a user: answer 201, or 200 if the user already holds it."""
    acting_admin()
    user, role = found_user(user_id), found_role(name)
    grant = UserRole.insert(user=user, role=role).on_conflict_ignore()
    granted = grant.as_rowcount().execute()
    return user.as_json(), 201 if granted else 200


@blueprint.delete("/users/<int:user_id>/roles/<name>")
def revoke_role(user_id: int, name: str) -> ResponseReturnValue:
    """Revoke a role. Nobody can revoke ``basic``, which every user holds."""
    acting_admin()
    user, role = found_user(user_id), found_role(name)
    if role.name == BASIC:
        raise Problem(409, "The role basic cannot be revoked. Every user holds it.")
    held = UserRole.get_or_none(UserRole.user == user, UserRole.role == role)
    if held is None:
        raise Problem(404, "The user does not hold this role.")
    held.delete_instance()
    return user.as_json()


def found_role(name: str) -> Role:
    """Return the role, or answer 404."""
    return found(Role.get_or_none(Role.name == name), "role")
