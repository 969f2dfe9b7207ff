"""Teams: an owner, and members who share tasks."""

from __future__ import annotations


def test_founder_owns_the_team_and_is_in_it(ada, sql):
    """Founding a team makes the founder its owner and only member."""
    response = ada.post("/teams", {"name": "Engines"})
    assert response.status_code == 201
    assert response.json == {"id": 1, "name": "Engines", "owner_id": ada.id}
    assert sql("SELECT team_id, user_id FROM membership") == [(1, ada.id)]


def test_team_without_its_first_member_is_not_founded(ada, sql):
    """When the founder cannot be made a member there is no team either."""
    sql("ALTER TABLE membership ADD CHECK (user_id < 0)")
    assert ada.post("/teams", {"name": "Engines"}).status_code == 400
    assert sql("SELECT count(*) FROM team") == [(0,)]


def test_team_name_is_taken(ada, bob, team, sql):
    """Two teams cannot have one name, whoever founds them."""
    team(ada, name="Engines")
    response = bob.post("/teams", {"name": "Engines"})
    assert (response.status_code, response.json["fields"]) == (409, {"name": "is taken"})
    assert sql("SELECT count(*) FROM membership") == [(1,)]


def test_list_teams_shows_only_ones_own(ada, bob, team):
    """A list of teams holds those that the user is in."""
    team(ada, name="Engines")
    team(bob, name="Looms")
    assert [row["name"] for row in bob.get("/teams").json["items"]] == ["Looms"]


def test_list_teams_of_a_loner_is_empty(ada):
    """Whoever is in no team has an empty list with no next page."""
    assert ada.get("/teams").json == {"items": [], "next": None}


def test_member_sees_the_team(bob, crew):
    """A member who is not the owner sees the team."""
    assert bob.get(f"/teams/{crew}").json["name"] == "Engines"


def test_stranger_does_not_see_the_team(person, crew):
    """Whoever is not in a team is forbidden to look at it."""
    assert person("eve").get(f"/teams/{crew}").status_code == 403


def test_show_team_that_is_not_there(ada):
    """An unknown team answers 404."""
    assert ada.get("/teams/41").json["detail"] == "There is no such team."


def test_list_members(ada, bob, person, crew):
    """The members are listed to each other, and strangers are not among them."""
    person("eve")
    assert [row["id"] for row in bob.get(f"/teams/{crew}/members").json["items"]] == [
        ada.id,
        bob.id,
    ]


def test_list_members_is_for_members(person, crew):
    """A stranger is forbidden to list a team's members."""
    assert person("eve").get(f"/teams/{crew}/members").status_code == 403


def test_hand_over_to_a_member(ada, bob, crew, sql):
    """A member can become the owner."""
    assert ada.put(f"/teams/{crew}/owner", {"owner_id": bob.id}).json["owner_id"] == bob.id
    assert sql("SELECT owner_id FROM team") == [(bob.id,)]


def test_hand_over_to_a_stranger_is_refused(ada, person, crew, sql):
    """Who is not in the team cannot own it."""
    response = ada.put(f"/teams/{crew}/owner", {"owner_id": person("eve").id})
    assert response.status_code == 409
    assert response.json["fields"] == {"owner_id": "is not a member"}
    assert sql("SELECT owner_id FROM team") == [(ada.id,)]


def test_hand_over_is_for_the_owner(bob, crew, sql, ada):
    """A member cannot take the team over."""
    assert bob.put(f"/teams/{crew}/owner", {"owner_id": bob.id}).status_code == 403
    assert sql("SELECT owner_id FROM team") == [(ada.id,)]


def test_former_owner_may_leave(ada, bob, crew, sql):
    """After handing a team over one can leave it."""
    ada.put(f"/teams/{crew}/owner", {"owner_id": bob.id})
    assert ada.delete(f"/teams/{crew}/members/{ada.id}").status_code == 204
    assert sql("SELECT user_id FROM membership") == [(bob.id,)]


def test_owner_cannot_leave(ada, crew, sql):
    """A team is never without its owner."""
    assert ada.delete(f"/teams/{crew}/members/{ada.id}").status_code == 409
    assert sql("SELECT count(*) FROM membership") == [(2,)]


def test_member_leaves(bob, crew, ada, sql):
    """A member may leave."""
    assert bob.delete(f"/teams/{crew}/members/{bob.id}").status_code == 204
    assert sql("SELECT user_id FROM membership") == [(ada.id,)]


def test_owner_puts_a_member_out(ada, bob, crew):
    """Who has been put out does not see the team any more."""
    assert ada.delete(f"/teams/{crew}/members/{bob.id}").status_code == 204
    assert bob.get(f"/teams/{crew}").status_code == 403


def test_leaving_gives_claimed_tasks_back(bob, crew, task, sql):
    """What a member held is open again, and what they finished stays theirs."""
    done = task("Oil", priority=1)
    task("Grease")
    bob.post("/tasks/claim")
    bob.post(f"/tasks/{done}/complete")
    bob.post("/tasks/claim")
    assert bob.delete(f"/teams/{crew}/members/{bob.id}").status_code == 204
    assert sql("SELECT title, status, assignee_id FROM task ORDER BY id") == [
        ("Oil", "done", bob.id),
        ("Grease", "open", None),
    ]


def test_member_cannot_put_another_out(bob, person, ada, team, sql):
    """Only the owner puts somebody else out."""
    cy = person("cy")
    team_id = team(ada, bob, cy)
    assert bob.delete(f"/teams/{team_id}/members/{cy.id}").status_code == 403
    assert sql("SELECT count(*) FROM membership") == [(3,)]


def test_put_out_who_is_not_in(ada, person, crew):
    """Who is not in the team cannot be put out: 404."""
    response = ada.delete(f"/teams/{crew}/members/{person('eve').id}")
    assert response.json["detail"] == "There is no such member."


def test_delete_team_takes_members_and_invitations_along(ada, crew, sql):
    """Deleting a team deletes its memberships and invitations, and no user."""
    ada.post(f"/teams/{crew}/invitations", {"email": "cy@example.com"})
    assert ada.delete(f"/teams/{crew}").status_code == 204
    assert sql("SELECT count(*) FROM membership") == [(0,)]
    assert sql("SELECT count(*) FROM invitation") == [(0,)]
    assert sql('SELECT count(*) FROM "user"') == [(2,)]


def test_delete_team_with_tasks_is_refused(ada, crew, task, sql):
    """A team that still has tasks stays, with its members."""
    task()
    assert ada.delete(f"/teams/{crew}").status_code == 409
    assert sql("SELECT count(*) FROM membership WHERE team_id = %s", crew) == [(2,)]


def test_delete_team_is_for_the_owner(bob, crew, sql):
    """A member cannot delete the team."""
    assert bob.delete(f"/teams/{crew}").status_code == 403
    assert sql("SELECT id FROM team") == [(crew,)]
