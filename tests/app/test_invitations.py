"""Invitations: tokens that let somebody into a team, for a while and once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta, timezone

import pytest


@pytest.fixture
def invite(ada, crew):
    """Give a function that has ada invite somebody to her crew, and gives the token."""

    def invite(email: str = "cy@example.com") -> str:
        return ada.post(f"/teams/{crew}/invitations", {"email": email}).json["token"]

    return invite


@pytest.fixture
def cy(person):
    """Give somebody who is not in the crew."""
    return person("cy")


@pytest.fixture
def expire(sql):
    """Give a function that lets all invitations have expired a second ago."""

    def expire() -> None:
        sql(
            "UPDATE invitation SET created_at = now() - interval '1 day',"
            " expires_at = now() - interval '1 second'"
        )

    return expire


def test_invite_somebody_without_an_account(ada, crew, sql):
    """Anybody with an address can be invited; the invitation begins unaccepted."""
    response = ada.post(f"/teams/{crew}/invitations", {"email": "new@example.com"})
    assert response.status_code == 201
    assert sql("SELECT email, accepted_at FROM invitation") == [("new@example.com", None)]


def test_token_is_what_the_owner_is_told(ada, crew, sql):
    """The token in the answer is the one in the database."""
    token = ada.post(f"/teams/{crew}/invitations", {"email": "new@example.com"}).json["token"]
    assert sql("SELECT token FROM invitation") == [(token,)]


def test_tokens_differ(invite, sql):
    """Each invitation has a token of its own."""
    invite("cy@example.com")
    invite("di@example.com")
    assert sql("SELECT count(DISTINCT token) FROM invitation") == [(2,)]


def test_invitation_lasts_three_days_unless_said(invite, sql):
    """An invitation expires after 72 hours by default."""
    invite()
    [(expires_at,)] = sql("SELECT expires_at FROM invitation")
    remaining = expires_at - datetime.now(timezone.utc)
    assert timedelta(hours=71, minutes=59) < remaining <= timedelta(hours=72)


def test_invitation_lasts_as_long_as_said(ada, crew, sql):
    """The owner may say for how many hours an invitation holds."""
    ada.post(f"/teams/{crew}/invitations", {"email": "cy@example.com", "hours": 1})
    [(expires_at,)] = sql("SELECT expires_at FROM invitation")
    assert expires_at - datetime.now(timezone.utc) <= timedelta(hours=1)


@pytest.mark.parametrize("hours", [0, 721])
def test_invitation_lasts_an_hour_to_a_month(ada, crew, sql, hours):
    """Less than an hour or more than 30 days is refused."""
    response = ada.post(f"/teams/{crew}/invitations", {"email": "cy@example.com", "hours": hours})
    assert (response.status_code, list(response.json["fields"])) == (400, ["hours"])
    assert sql("SELECT count(*) FROM invitation") == [(0,)]


def test_invite_is_for_the_owner(bob, crew, sql):
    """A member cannot invite."""
    body = {"email": "cy@example.com"}
    assert bob.post(f"/teams/{crew}/invitations", body).status_code == 403
    assert sql("SELECT count(*) FROM invitation") == [(0,)]


def test_invite_twice_is_refused(ada, crew, invite, sql):
    """While an invitation is open there is no second one, in whatever case the address."""
    invite("cy@example.com")
    response = ada.post(f"/teams/{crew}/invitations", {"email": "CY@example.com"})
    assert (response.status_code, response.json["fields"]) == (409, {"email": "is taken"})
    assert sql("SELECT count(*) FROM invitation") == [(1,)]


def test_invite_to_two_teams(ada, invite, team, sql):
    """The same person can be invited to two teams at once."""
    invite("cy@example.com")
    looms = team(ada, name="Looms")
    assert ada.post(f"/teams/{looms}/invitations", {"email": "cy@example.com"}).status_code == 201
    assert sql("SELECT count(*) FROM invitation") == [(2,)]


def test_invite_again_after_expiry(invite, expire, sql):
    """An invitation that has expired makes way for a new one."""
    first = invite()
    expire()
    second = invite()
    assert first != second
    assert sql("SELECT token FROM invitation") == [(second,)]


def test_accepted_invitation_outlives_its_expiry(cy, invite, expire, sql):
    """Only open invitations make way for a new one: what was accepted is history."""
    cy.post(f"/invitations/{invite()}/accept")
    expire()
    invite()
    assert sql("SELECT count(*), count(accepted_at) FROM invitation") == [(2, 1)]


def test_accept(cy, invite, crew, sql):
    """Whoever accepts is a member."""
    response = cy.post(f"/invitations/{invite()}/accept")
    assert (response.status_code, response.json["id"]) == (201, crew)
    assert sql("SELECT count(*) FROM membership WHERE user_id = %s", cy.id) == [(1,)]


def test_accept_records_when(cy, invite, sql):
    """An accepted invitation stays, with the time of it."""
    cy.post(f"/invitations/{invite()}/accept")
    assert sql("SELECT accepted_at BETWEEN created_at AND now() FROM invitation") == [(True,)]


def test_accept_what_has_expired(cy, invite, expire, sql):
    """An invitation that has expired is gone, and lets nobody in."""
    token = invite()
    expire()
    assert cy.post(f"/invitations/{token}/accept").status_code == 410
    assert sql("SELECT count(*) FROM membership WHERE user_id = %s", cy.id) == [(0,)]


def test_accept_twice(cy, invite):
    """A token works once."""
    token = invite()
    assert cy.post(f"/invitations/{token}/accept").status_code == 201
    assert cy.post(f"/invitations/{token}/accept").status_code == 410


def test_accept_for_somebody_else_is_forbidden(cy, invite, sql):
    """The token alone is not enough: the address has to be one's own."""
    token = invite("di@example.com")
    assert cy.post(f"/invitations/{token}/accept").status_code == 403
    assert sql("SELECT accepted_at FROM invitation") == [(None,)]


def test_accept_with_an_address_in_capitals(cy, invite):
    """The case of the invited address does not matter."""
    assert cy.post(f"/invitations/{invite('Cy@Example.COM')}/accept").status_code == 201


def test_accept_an_unknown_token(cy):
    """A token that was never given answers 404."""
    assert cy.post("/invitations/open-sesame/accept").status_code == 404


def test_accept_as_a_member_already(bob, invite, sql, crew):
    """Whoever is in the team already stays in it once."""
    assert bob.post(f"/invitations/{invite('bob@example.com')}/accept").status_code == 200
    assert sql("SELECT count(*) FROM membership WHERE team_id = %s", crew) == [(2,)]


def test_accepted_invitation_does_not_stand_in_the_way(ada, cy, invite, crew, sql):
    """Who came, left and is wanted back can be invited again; the history stays."""
    cy.post(f"/invitations/{invite()}/accept")
    cy.delete(f"/teams/{crew}/members/{cy.id}")
    assert ada.post(f"/teams/{crew}/invitations", {"email": "cy@example.com"}).status_code == 201
    assert sql("SELECT count(*), count(accepted_at) FROM invitation") == [(2, 1)]


def test_accept_waits_for_another_and_loses(cy, invite, pg, sql, until_blocked):
    """A token that another transaction is just using up is gone once that commits."""
    token = invite()
    with ThreadPoolExecutor(1) as threads, closing(pg.connect()) as other:
        other.cursor().execute("UPDATE invitation SET accepted_at = now()")
        accept = threads.submit(cy.post, f"/invitations/{token}/accept")
        until_blocked()
        other.commit()
        assert accept.result().status_code == 410
    assert sql("SELECT count(*) FROM membership WHERE user_id = %s", cy.id) == [(0,)]


def test_withdraw(ada, cy, crew, invite):
    """A withdrawn token works no more."""
    token = invite()
    assert ada.delete(f"/teams/{crew}/invitations/{token}").status_code == 204
    assert cy.post(f"/invitations/{token}/accept").status_code == 404


def test_withdraw_what_was_accepted(ada, cy, crew, invite, sql):
    """What has been accepted cannot be withdrawn."""
    token = invite()
    cy.post(f"/invitations/{token}/accept")
    assert ada.delete(f"/teams/{crew}/invitations/{token}").status_code == 404
    assert sql("SELECT count(*) FROM invitation") == [(1,)]


def test_withdraw_through_another_team(ada, invite, team, sql):
    """An invitation belongs to one team and is not found under another of the same owner."""
    token = invite()
    assert ada.delete(f"/teams/{team(ada, name='Looms')}/invitations/{token}").status_code == 404
    assert sql("SELECT token FROM invitation") == [(token,)]
