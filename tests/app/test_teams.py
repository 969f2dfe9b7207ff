"""Teams: each has one owner, and members who share its tasks."""

from __future__ import annotations


def test_creator_owns_the_team(ada, sql):
    """The user who creates a team becomes its owner and its only member."""
    response = ada.post("/teams", {"name": "Engines"})
    assert response.status_code == 201
    assert response.json == {"id": 1, "name": "Engines", "owner_id": ada.id}
    assert sql("SELECT team_id, user_id FROM membership") == [(1, ada.id)]


def test_team_is_not_created_without_its_first_member(ada, sql):
    """If the first membership cannot be inserted, no team is created."""
    sql("ALTER TABLE membership ADD CHECK (user_id < 0)")
    assert ada.post("/teams", {"name": "Engines"}).status_code == 400
    assert sql("SELECT count(*) FROM team") == [(0,)]


def test_team_name_is_taken(ada, bob, team, sql):
    """Two teams of different owners cannot have the same name."""
    team(ada, name="Engines")
    response = bob.post("/teams", {"name": "Engines"})
    assert (response.status_code, response.json["fields"]) == (409, {"name": "is taken"})
    assert sql("SELECT count(*) FROM membership") == [(1,)]


def test_list_teams_shows_only_the_users_teams(ada, bob, team):
    """A user sees only the teams that the user is in."""
    team(ada, name="Engines")
    team(bob, name="Looms")
    assert [row["name"] for row in bob.get("/teams").json["items"]] == ["Looms"]


def test_list_teams_without_a_team_is_empty(ada):
    """A user who is in no team sees an empty list."""
    assert ada.get("/teams").json == {"items": [], "next": None}


def test_member_sees_the_team(bob, crew):
    """A member who is not the owner can read the team."""
    assert bob.get(f"/teams/{crew}").json["name"] == "Engines"


def test_non_member_does_not_see_the_team(person, crew):
    """A user who is not in the team cannot read it."""
    assert person("eve").get(f"/teams/{crew}").status_code == 403


def test_show_a_missing_team(ada):
    """A request for a team that does not exist gets 404."""
    assert ada.get("/teams/41").json["detail"] == "There is no such team."


def test_list_members(ada, bob, person, crew):
    """The list contains the members of the team and no other users."""
    person("eve")
    assert [row["id"] for row in bob.get(f"/teams/{crew}/members").json["items"]] == [
        ada.id,
        bob.id,
    ]


def test_list_members_is_for_members(person, crew):
    """A user who is not in the team cannot list its members."""
    assert person("eve").get(f"/teams/{crew}/members").status_code == 403


def test_change_owner_to_a_member(ada, bob, crew, sql):
    """A member can become the owner."""
    assert ada.put(f"/teams/{crew}/owner", {"owner_id": bob.id}).json["owner_id"] == bob.id
    assert sql("SELECT owner_id FROM team") == [(bob.id,)]


def test_change_owner_to_a_non_member_is_refused(ada, person, crew, sql):
    """A user who is not in the team cannot become its owner."""
    response = ada.put(f"/teams/{crew}/owner", {"owner_id": person("eve").id})
    assert response.status_code == 409
    assert response.json["fields"] == {"owner_id": "is not a member"}
    assert sql("SELECT owner_id FROM team") == [(ada.id,)]


def test_change_owner_is_for_the_owner(bob, crew, sql, ada):
    """A member cannot change the owner of a team."""
    assert bob.put(f"/teams/{crew}/owner", {"owner_id": bob.id}).status_code == 403
    assert sql("SELECT owner_id FROM team") == [(ada.id,)]


def test_former_owner_may_leave(ada, bob, crew, sql):
    """The former owner can leave the team."""
    ada.put(f"/teams/{crew}/owner", {"owner_id": bob.id})
    assert ada.delete(f"/teams/{crew}/members/{ada.id}").status_code == 204
    assert sql("SELECT user_id FROM membership") == [(bob.id,)]


def test_owner_cannot_leave(ada, crew, sql):
    """The owner cannot leave the team."""
    assert ada.delete(f"/teams/{crew}/members/{ada.id}").status_code == 409
    assert sql("SELECT count(*) FROM membership") == [(2,)]


def test_member_leaves(bob, crew, ada, sql):
    """A member can leave the team."""
    assert bob.delete(f"/teams/{crew}/members/{bob.id}").status_code == 204
    assert sql("SELECT user_id FROM membership") == [(ada.id,)]


def test_owner_removes_a_member(ada, bob, crew):
    """A member whom the owner removes cannot read the team any more."""
    assert ada.delete(f"/teams/{crew}/members/{bob.id}").status_code == 204
    assert bob.get(f"/teams/{crew}").status_code == 403


def test_leaving_releases_claimed_tasks(bob, crew, task, sql):
    """When a member leaves, claimed tasks become open and completed tasks stay."""
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


def test_member_cannot_remove_another(bob, person, ada, team, sql):
    """A member who is not the owner cannot remove another member."""
    cy = person("cy")
    team_id = team(ada, bob, cy)
    assert bob.delete(f"/teams/{team_id}/members/{cy.id}").status_code == 403
    assert sql("SELECT count(*) FROM membership") == [(3,)]


def test_remove_a_non_member(ada, person, crew):
    """The request to remove a user who is not in the team gets 404."""
    response = ada.delete(f"/teams/{crew}/members/{person('eve').id}")
    assert response.json["detail"] == "There is no such member."


def test_delete_team_deletes_its_members_and_invitations(ada, crew, sql):
    """The deletion of a team deletes its memberships and invitations, but no user."""
    ada.post(f"/teams/{crew}/invitations", {"email": "cy@example.com"})
    assert ada.delete(f"/teams/{crew}").status_code == 204
    assert sql("SELECT count(*) FROM membership") == [(0,)]
    assert sql("SELECT count(*) FROM invitation") == [(0,)]
    assert sql('SELECT count(*) FROM "user"') == [(2,)]


def test_delete_team_with_tasks_is_refused(ada, crew, task, sql):
    """A team with tasks cannot be deleted, and keeps its members."""
    task()
    assert ada.delete(f"/teams/{crew}").status_code == 409
    assert sql("SELECT count(*) FROM membership WHERE team_id = %s", crew) == [(2,)]


def test_delete_team_is_for_the_owner(bob, crew, sql):
    """A member cannot delete the team."""
    assert bob.delete(f"/teams/{crew}").status_code == 403
    assert sql("SELECT id FROM team") == [(crew,)]
