"""Teams: an owner, and members who share tasks."""

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
    """A team to be."""

    name: Name


class NewOwner(Strict):
    """Who is to own a team."""

    owner_id: int


@blueprint.post("")
def create_team() -> ResponseReturnValue:
    """Found a team; the founder owns it and is its first member."""
    actor = acting_user()
    new = read_body(NewTeam)
    with database.atomic():
        team = Team.create(name=new.name, owner=actor)
        Membership.create(team=team, user=actor)
    return team.as_json(), 201


@blueprint.get("")
def list_teams() -> ResponseReturnValue:
    """List the teams that the acting user is in."""
    mine = Team.select().where(Team.id.in_(teams_of(acting_user())))
    return page(mine, (Team.id,), read_query(PageQuery))


@blueprint.get("/<int:team_id>")
def show_team(team_id: int) -> ResponseReturnValue:
    """Show a team to its members."""
    return found_team(team_id, acting_user()).as_json()


@blueprint.put("/<int:team_id>/owner")
def hand_over(team_id: int) -> ResponseReturnValue:
    """Hand a team over to another member."""
    team = owned_team(team_id, acting_user())
    heir = read_body(NewOwner).owner_id
    if not is_member(team, heir):
        raise Problem(409, "Only a member can become the owner.", {"owner_id": "is not a member"})
    team.owner = found_user(heir)
    team.save(only=[Team.owner])
    return team.as_json()


@blueprint.delete("/<int:team_id>")
def delete_team(team_id: int) -> ResponseReturnValue:
    """Delete a team that has no tasks, members and invitations included: 409 otherwise."""
    owned_team(team_id, acting_user()).delete_instance()
    return "", 204


@blueprint.get("/<int:team_id>/members")
def list_members(team_id: int) -> ResponseReturnValue:
    """List the members to each other."""
    team = found_team(team_id, acting_user())
    members = Membership.select(Membership.user).where(Membership.team == team)
    return page(User.select().where(User.id.in_(members)), (User.id,), read_query(PageQuery))


@blueprint.delete("/<int:team_id>/members/<int:user_id>")
def remove_member(team_id: int, user_id: int) -> ResponseReturnValue:
    """Leave a team, or put a member out of one's own."""
    actor = acting_user()
    team = found_team(team_id, actor)
    allow(actor.id in (user_id, team.owner_id), "Only the owner may put somebody else out.")
    if user_id == team.owner_id:
        raise Problem(409, "The owner cannot leave: hand the team over first.")
    member = Membership.get_or_none(Membership.team == team, Membership.user == user_id)
    with database.atomic():
        found(member, "member").delete_instance()
        # Nobody else could finish what the member held, nor give it back.
        held = Task.team == team, Task.assignee == user_id, Task.status == "claimed"
        Task.update(status="open", assignee=None).where(*held).execute()
    return "", 204


def teams_of(user: User) -> ModelSelect[Membership]:
    """Select the ids of the teams that the user is in."""
    return Membership.select(Membership.team).where(Membership.user == user)


def is_member(team: Team, user_id: int) -> bool:
    """Say whether the user is in the team."""
    there = Membership.select().where(Membership.team == team, Membership.user == user_id)
    return there.exists()


def found_team(team_id: int, member: User) -> Team:
    """Give the team to a member; answer 404, or 403 to others."""
    team = found(Team.get_or_none(Team.id == team_id), "team")
    allow(is_member(team, member.id), "Only a member of the team may do this.")
    return team


def owned_team(team_id: int, owner: User) -> Team:
    """Give the team to its owner; answer 404, or 403 to others."""
    team = found_team(team_id, owner)
    allow(team.owner_id == owner.id, "Only the owner of the team may do this.")
    return team
