"""Invitations: the owner of a team sends a token, and a user accepts it before it expires."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta, timezone

import pytest


@pytest.fixture
def invite(ada, crew):
    """A function that sends an invitation as ada, and returns its token."""

    def invite(email: str = "cy@example.com") -> str:
        return ada.post(f"/teams/{crew}/invitations", {"email": email}).json["token"]

    return invite


@pytest.fixture
def cy(person):
    """A user who is not in the crew."""
    return person("cy")


@pytest.fixture
def expire(sql):
    """A function that makes all invitations expire."""

    def expire() -> None:
        sql(
            "UPDATE invitation SET created_at = now() - interval '1 day',"
            " expires_at = now() - interval '1 second'"
        )

    return expire


def test_invite_an_address_without_an_account(ada, crew, sql):
    """An owner can invite an address without an account."""
    response = ada.post(f"/teams/{crew}/invitations", {"email": "new@example.com"})
    assert response.status_code == 201
    assert sql("SELECT email, accepted_at FROM invitation") == [("new@example.com", None)]


def test_answer_contains_the_token(ada, crew, sql):
    """The answer contains the token that the database stores."""
    token = ada.post(f"/teams/{crew}/invitations", {"email": "new@example.com"}).json["token"]
    assert sql("SELECT token FROM invitation") == [(token,)]


def test_tokens_differ(invite, sql):
    """Two invitations have different tokens."""
    invite("cy@example.com")
    invite("di@example.com")
    assert sql("SELECT count(DISTINCT token) FROM invitation") == [(2,)]


def test_invitation_lasts_three_days_by_default(invite, sql):
    """An invitation expires after 72 hours by default."""
    invite()
    [(expires_at,)] = sql("SELECT expires_at FROM invitation")
    remaining = expires_at - datetime.now(timezone.utc)
    assert timedelta(hours=71, minutes=59) < remaining <= timedelta(hours=72)


def test_invitation_lasts_as_long_as_requested(ada, crew, sql):
    """The owner can choose after how many hours the invitation expires."""
    ada.post(f"/teams/{crew}/invitations", {"email": "cy@example.com", "hours": 1})
    [(expires_at,)] = sql("SELECT expires_at FROM invitation")
    assert expires_at - datetime.now(timezone.utc) <= timedelta(hours=1)


@pytest.mark.parametrize("hours", [0, 721])
def test_invitation_lasts_an_hour_to_a_month(ada, crew, sql, hours):
    """An invitation cannot last less than one hour or more than 30 days."""
    response = ada.post(f"/teams/{crew}/invitations", {"email": "cy@example.com", "hours": hours})
    assert (response.status_code, list(response.json["fields"])) == (400, ["hours"])
    assert sql("SELECT count(*) FROM invitation") == [(0,)]


def test_invite_is_for_the_owner(bob, crew, sql):
    """A member who is not the owner cannot invite."""
    body = {"email": "cy@example.com"}
    assert bob.post(f"/teams/{crew}/invitations", body).status_code == 403
    assert sql("SELECT count(*) FROM invitation") == [(0,)]


def test_invite_twice_is_refused(ada, crew, invite, sql):
    """An address cannot have two open invitations to a team, whatever its case."""
    invite("cy@example.com")
    response = ada.post(f"/teams/{crew}/invitations", {"email": "CY@example.com"})
    assert (response.status_code, response.json["fields"]) == (409, {"email": "is taken"})
    assert sql("SELECT count(*) FROM invitation") == [(1,)]


def test_invite_to_two_teams(ada, invite, team, sql):
    """An address can have open invitations to two teams."""
    invite("cy@example.com")
    looms = team(ada, name="Looms")
    assert ada.post(f"/teams/{looms}/invitations", {"email": "cy@example.com"}).status_code == 201
    assert sql("SELECT count(*) FROM invitation") == [(2,)]


def test_invite_again_after_expiry(invite, expire, sql):
    """A new invitation replaces an expired one."""
    first = invite()
    expire()
    second = invite()
    assert first != second
    assert sql("SELECT token FROM invitation") == [(second,)]


def test_accepted_invitation_outlives_its_expiry(cy, invite, expire, sql):
    """A new invitation does not replace an accepted one."""
    cy.post(f"/invitations/{invite()}/accept")
    expire()
    invite()
    assert sql("SELECT count(*), count(accepted_at) FROM invitation") == [(2, 1)]


def test_accept(cy, invite, crew, sql):
    """A user who accepts an invitation becomes a member."""
    response = cy.post(f"/invitations/{invite()}/accept")
    assert (response.status_code, response.json["id"]) == (201, crew)
    assert sql("SELECT count(*) FROM membership WHERE user_id = %s", cy.id) == [(1,)]


def test_accept_stores_the_time(cy, invite, sql):
    """An accepted invitation has the time of its acceptance."""
    cy.post(f"/invitations/{invite()}/accept")
    assert sql("SELECT accepted_at BETWEEN created_at AND now() FROM invitation") == [(True,)]


def test_accept_an_expired_invitation(cy, invite, expire, sql):
    """An expired invitation answers 410 and adds no member."""
    token = invite()
    expire()
    assert cy.post(f"/invitations/{token}/accept").status_code == 410
    assert sql("SELECT count(*) FROM membership WHERE user_id = %s", cy.id) == [(0,)]


def test_accept_twice(cy, invite):
    """An invitation can be accepted only once."""
    token = invite()
    assert cy.post(f"/invitations/{token}/accept").status_code == 201
    assert cy.post(f"/invitations/{token}/accept").status_code == 410


def test_accept_another_users_invitation_is_forbidden(cy, invite, sql):
    """A user with another email address cannot accept an invitation."""
    token = invite("di@example.com")
    assert cy.post(f"/invitations/{token}/accept").status_code == 403
    assert sql("SELECT accepted_at FROM invitation") == [(None,)]


def test_accept_with_an_address_in_capitals(cy, invite):
    """The case of the invited address does not matter."""
    assert cy.post(f"/invitations/{invite('Cy@Example.COM')}/accept").status_code == 201


def test_accept_an_unknown_token(cy):
    """A request with a token that does not exist gets 404."""
    assert cy.post("/invitations/open-sesame/accept").status_code == 404


def test_accept_as_a_member(bob, invite, sql, crew):
    """A member who accepts an invitation gets 200 and no second membership."""
    assert bob.post(f"/invitations/{invite('bob@example.com')}/accept").status_code == 200
    assert sql("SELECT count(*) FROM membership WHERE team_id = %s", crew) == [(2,)]


def test_former_member_is_invited_again(ada, cy, invite, crew, sql):
    """A former member can be invited again; the old invitation stays."""
    cy.post(f"/invitations/{invite()}/accept")
    cy.delete(f"/teams/{crew}/members/{cy.id}")
    assert ada.post(f"/teams/{crew}/invitations", {"email": "cy@example.com"}).status_code == 201
    assert sql("SELECT count(*), count(accepted_at) FROM invitation") == [(2, 1)]


def test_accept_waits_for_another_and_loses(cy, invite, pg, sql, until_blocked):
    """An acceptance answers 410 if another transaction accepts the invitation first."""
    token = invite()
    with ThreadPoolExecutor(1) as threads, closing(pg.connect()) as other:
        other.cursor().execute("UPDATE invitation SET accepted_at = now()")
        accept = threads.submit(cy.post, f"/invitations/{token}/accept")
        until_blocked()
        other.commit()
        assert accept.result().status_code == 410
    assert sql("SELECT count(*) FROM membership WHERE user_id = %s", cy.id) == [(0,)]


def test_withdraw(ada, cy, crew, invite):
    """A withdrawn invitation cannot be accepted."""
    token = invite()
    assert ada.delete(f"/teams/{crew}/invitations/{token}").status_code == 204
    assert cy.post(f"/invitations/{token}/accept").status_code == 404


def test_withdraw_an_accepted_invitation(ada, cy, crew, invite, sql):
    """An accepted invitation cannot be withdrawn."""
    token = invite()
    cy.post(f"/invitations/{token}/accept")
    assert ada.delete(f"/teams/{crew}/invitations/{token}").status_code == 404
    assert sql("SELECT count(*) FROM invitation") == [(1,)]


def test_withdraw_through_another_team(ada, invite, team, sql):
    """An invitation is not found under another team of the same owner."""
    token = invite()
    assert ada.delete(f"/teams/{team(ada, name='Looms')}/invitations/{token}").status_code == 404
    assert sql("SELECT token FROM invitation") == [(token,)]
