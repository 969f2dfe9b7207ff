"""Teams: each has one owner, and members who share its tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint

from app.auth import acting_user
from app.db import database
from app.errors import Problem, allow, found
from app.inputs import Name, Strict, read_body, read_query
from app.models import Membership, Task, Team, User
from app.pagination import PageQuery, page
from app.users import found_user

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue
    from peewee import ModelSelect

blueprint = Blueprint("teams", __name__, url_prefix="/teams")


class NewTeam(Strict):
    """The request body that creates a team."""

    name: Name


class NewOwner(Strict):
    """The request body that changes the owner of a team."""

    owner_id: int


@blueprint.post("")
def create_team() -> ResponseReturnValue:
    """Create a team. The user becomes its owner and its first member."""
    actor = acting_user()
    new = read_body(NewTeam)
    with database.atomic():
        team = Team.create(name=new.name, owner=actor)
        Membership.create(team=team, user=actor)
    return team.as_json(), 201


@blueprint.get("")
def list_teams() -> ResponseReturnValue:
    """List the teams of the user."""
    teams = Team.select().where(Team.id.in_(teams_of(acting_user())))
    return page(teams, (Team.id,), read_query(PageQuery))


@blueprint.get("/<int:team_id>")
def show_team(team_id: int) -> ResponseReturnValue:
    """Return a team to one of its members."""
    return found_team(team_id, acting_user()).as_json()


@blueprint.put("/<int:team_id>/owner")
def change_owner(team_id: int) -> ResponseReturnValue:
    """Make another member the owner of a team."""
    team = owned_team(team_id, acting_user())
    new_owner_id = read_body(NewOwner).owner_id
    if not is_member(team, new_owner_id):
        raise Problem(409, "Only a member can become the owner.", {"owner_id": "is not a member"})
    team.owner = found_user(new_owner_id)
    team.save(only=[Team.owner])
    return team.as_json()


@blueprint.delete("/<int:team_id>")
def delete_team(team_id: int) -> ResponseReturnValue:
    """Delete a team with its members and invitations, or answer 409 if it has tasks."""
    owned_team(team_id, acting_user()).delete_instance()
    return "", 204


@blueprint.get("/<int:team_id>/members")
def list_members(team_id: int) -> ResponseReturnValue:
    """List the members of a team. Only a member may do this."""
    team = found_team(team_id, acting_user())
    members = Membership.select(Membership.user).where(Membership.team == team)
    return page(User.select().where(User.id.in_(members)), (User.id,), read_query(PageQuery))


@blueprint.delete("/<int:team_id>/members/<int:user_id>")
def remove_member(team_id: int, user_id: int) -> ResponseReturnValue:
    """Remove a member. Members may remove themselves; the owner may remove the others."""
    actor = acting_user()
    team = found_team(team_id, actor)
    allow(actor.id in (user_id, team.owner_id), "Only the owner may remove another member.")
    if user_id == team.owner_id:
        raise Problem(409, "The owner cannot leave the team. Make another member its owner first.")
    member = Membership.get_or_none(Membership.team == team, Membership.user == user_id)
    with database.atomic():
        found(member, "member").delete_instance()
        # Release the claimed tasks. After the member has left, nobody else could release them.
        claimed = Task.team == team, Task.assignee == user_id, Task.status == "claimed"
        Task.update(status="open", assignee=None).where(*claimed).execute()
    return "", 204


def teams_of(user: User) -> ModelSelect[Membership]:
    """Return a query for the ids of the user's teams."""
    return Membership.select(Membership.team).where(Membership.user == user)


def is_member(team: Team, user_id: int) -> bool:
    """Return whether the user is a member of the team."""
    membership = Membership.select().where(Membership.team == team, Membership.user == user_id)
    return membership.exists()


def found_team(team_id: int, member: User) -> Team:
    """Return the team to one of its members; answer 404, or 403 to other users."""
    team = found(Team.get_or_none(Team.id == team_id), "team")
    allow(is_member(team, member.id), "Only a member of the team may do this.")
    return team


def owned_team(team_id: int, owner: User) -> Team:
    """Return the team to its owner; answer 404, or 403 to other users."""
    team = found_team(team_id, owner)
    allow(team.owner_id == owner.id, "Only the owner of the team may do this.")
    return team
