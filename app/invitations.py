"""Invitations: the owner of a team sends a token, and a user accepts it before it expires."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

from flask import Blueprint
from peewee import fn
from pydantic import Field

from app.auth import acting_user
from app.db import database
from app.errors import Problem, allow, found
from app.inputs import Email, Strict, read_body
from app.models import Invitation, Membership, now
from app.teams import is_member, owned_team

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

blueprint = Blueprint("invitations", __name__)


class NewInvitation(Strict):
    """The request body that creates an invitation."""

    email: Email
    hours: int = Field(default=72, ge=1, le=720)


@blueprint.post("/teams/<int:team_id>/invitations")
def invite(team_id: int) -> ResponseReturnValue:
    """Create an invitation for an email address, or answer 409 if one is already open.

    The address need not belong to a user.
    """
    team = owned_team(team_id, acting_user())
    new = read_body(NewInvitation)
    with database.atomic():
        # An expired invitation would violate the unique index, so delete it first.
        Invitation.delete().where(
            Invitation.team == team,
            fn.lower(Invitation.email) == new.email.lower(),
            Invitation.accepted_at.is_null(),
            Invitation.expires_at <= now(),
        ).execute()
        invitation = Invitation.create(
            team=team,
            email=new.email,
            token=secrets.token_urlsafe(32),
            expires_at=now() + timedelta(hours=new.hours),
        )
    return invitation.as_json(), 201


@blueprint.post("/invitations/<token>/accept")
def accept(token: str) -> ResponseReturnValue:
    """Join the team, or answer 410 if the invitation was accepted before or has expired."""
    actor = acting_user()
    with database.atomic():
        # The row lock makes a second request wait. Then it sees the first one's change.
        locked = Invitation.select().where(Invitation.token == token).for_update()
        invitation = found(locked.get_or_none(), "invitation")
        same_email = invitation.email.lower() == actor.email.lower()
        allow(same_email, "The invitation is for another user.")
        if invitation.accepted_at is not None or invitation.expires_at <= now():
            raise Problem(410, "The invitation has been accepted or has expired.")
        invitation.accepted_at = now()
        invitation.save(only=[Invitation.accepted_at])
        joins = not is_member(invitation.team, actor.id)
        if joins:
            Membership.create(team=invitation.team, user=actor)
    return invitation.team.as_json(), 201 if joins else 200


@blueprint.delete("/teams/<int:team_id>/invitations/<token>")
def withdraw(team_id: int, token: str) -> ResponseReturnValue:
    """Delete an invitation that has not been accepted."""
    team = owned_team(team_id, acting_user())
    is_open = Invitation.token == token, Invitation.accepted_at.is_null()
    found(Invitation.get_or_none(Invitation.team == team, *is_open), "invitation").delete_instance()
    return "", 204
