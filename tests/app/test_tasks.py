"""Tasks: the work of a team, most urgent first."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest


def test_create_task(ada, crew):
    """A new task is open, has priority 3, and has no assignee."""
    response = ada.post(f"/teams/{crew}/tasks", {"title": "Oil the engine"})
    assert response.status_code == 201
    assert response.json == {
        "id": 1,
        "team_id": crew,
        "author_id": ada.id,
        "assignee_id": None,
        "title": "Oil the engine",
        "body": "",
        "priority": 3,
        "status": "open",
        "tags": [],
    }


def test_any_member_creates_tasks(bob, crew, sql):
    """A member who is not the owner can create a task."""
    bob.post(f"/teams/{crew}/tasks", {"title": "Oil the engine"})
    assert sql("SELECT author_id FROM task") == [(bob.id,)]


def test_non_member_creates_no_task(person, crew, sql):
    """A user who is not in the team cannot create a task in it."""
    body = {"title": "Pour sand in"}
    assert person("eve").post(f"/teams/{crew}/tasks", body).status_code == 403
    assert sql("SELECT count(*) FROM task") == [(0,)]


@pytest.mark.parametrize("priority", [0, 6])
def test_priority_is_from_1_to_5(ada, crew, sql, priority):
    """A priority below 1 or above 5 is rejected."""
    response = ada.post(f"/teams/{crew}/tasks", {"title": "Oil", "priority": priority})
    assert (response.status_code, list(response.json["fields"])) == (400, ["priority"])
    assert sql("SELECT count(*) FROM task") == [(0,)]


def test_task_needs_a_title(ada, crew):
    """A task without a title is rejected, and the error names the field."""
    response = ada.post(f"/teams/{crew}/tasks", {"body": "Soon."})
    assert response.json["fields"] == {"title": "Field required"}


def test_show_task_to_members(bob, task):
    """A member can read a task that another member wrote."""
    assert bob.get(f"/tasks/{task('Oil', body='Soon.')}").json["body"] == "Soon."


def test_show_task_to_a_non_member_is_forbidden(person, task):
    """A user who is not in the team cannot read its tasks."""
    assert person("eve").get(f"/tasks/{task()}").status_code == 403


def test_show_a_missing_task(ada):
    """A request for a task that does not exist gets 404."""
    assert ada.get("/tasks/7").json["detail"] == "There is no such task."


def test_list_tasks_most_urgent_first(ada, crew, task):
    """Tasks are ordered by priority, then by age."""
    for title, priority in [("c", 3), ("e", 5), ("a", 1), ("d", 3), ("b", 2)]:
        task(title, priority=priority)
    titles = [row["title"] for row in ada.get(f"/teams/{crew}/tasks").json["items"]]
    assert titles == ["a", "b", "c", "d", "e"]


def test_list_tasks_of_one_team(ada, crew, task, team):
    """The list contains no tasks of other teams."""
    task("Oil")
    ada.post(f"/teams/{team(ada, name='Looms')}/tasks", {"title": "Weave"})
    assert [row["title"] for row in ada.get(f"/teams/{crew}/tasks").json["items"]] == ["Oil"]


def test_list_tasks_by_status(ada, crew, task):
    """The list can be limited to one status."""
    task("first", priority=1)
    task("second")
    ada.post("/tasks/claim")
    claimed = ada.get(f"/teams/{crew}/tasks", status="claimed").json["items"]
    assert [row["title"] for row in claimed] == ["first"]


def test_list_tasks_by_unknown_status(ada, crew):
    """The filter rejects an unknown status."""
    response = ada.get(f"/teams/{crew}/tasks", status="lost")
    assert (response.status_code, list(response.json["fields"])) == (400, ["status"])


def test_list_tasks_by_tag(ada, crew, task):
    """The list can be limited to one tag."""
    ada.put(f"/tasks/{task('Oil')}/tags", {"tags": ["dirty"]})
    ada.put(f"/tasks/{task('Dust')}/tags", {"tags": ["dry"]})
    tagged = ada.get(f"/teams/{crew}/tasks", tag="dirty").json["items"]
    assert [row["title"] for row in tagged] == ["Oil"]


def test_list_tasks_by_an_unknown_tag(ada, crew, task):
    """The list is empty for a tag that does not exist."""
    task()
    assert ada.get(f"/teams/{crew}/tasks", tag="unheard-of").json["items"] == []


def test_change_task(bob, task, sql):
    """Any member can change the title, the body and the priority of a task."""
    task_id = task("Oil")
    change = {"title": "Grease", "body": "Not too much.", "priority": 1}
    assert bob.patch(f"/tasks/{task_id}", change).status_code == 200
    assert sql("SELECT title, body, priority FROM task") == [("Grease", "Not too much.", 1)]


def test_change_task_keeps_the_other_fields(ada, task, sql):
    """A change keeps the fields that it does not name."""
    ada.patch(f"/tasks/{task('Oil', body='Soon.', priority=2)}", {"title": "Grease"})
    assert sql("SELECT title, body, priority FROM task") == [("Grease", "Soon.", 2)]


def test_change_without_fields(ada, task, sql):
    """A change without fields answers with the task and leaves no audit entry."""
    assert ada.patch(f"/tasks/{task('Oil')}", {}).json["title"] == "Oil"
    assert sql("SELECT operation FROM audit_entry WHERE table_name = 'task'") == [("insert",)]


def test_change_of_the_status_is_refused(ada, task, sql):
    """A change of a task cannot set its status."""
    response = ada.patch(f"/tasks/{task()}", {"status": "done"})
    assert list(response.json["fields"]) == ["status"]
    assert sql("SELECT status FROM task") == [("open",)]


def test_change_keeps_a_concurrent_claim(ada, bob, task, pg, until_blocked):
    """A change keeps the status that another transaction sets at the same time."""
    task_id = task("Oil")
    with ThreadPoolExecutor(1) as threads, closing(pg.connect()) as other:
        other.cursor().execute(
            "UPDATE task SET status = 'claimed', assignee_id = %s WHERE id = %s", (bob.id, task_id)
        )
        change = threads.submit(ada.patch, f"/tasks/{task_id}", {"title": "Grease"})
        until_blocked()
        other.commit()
        assert change.result().status_code == 200
    changed = ada.get(f"/tasks/{task_id}").json
    assert (changed["title"], changed["status"]) == ("Grease", "claimed")


def test_tag_a_task(ada, task, sql):
    """New tags are created in lower case and listed in alphabetical order."""
    response = ada.put(f"/tasks/{task()}/tags", {"tags": ["Urgent", "dirty"]})
    assert response.json["tags"] == ["dirty", "urgent"]
    assert sql("SELECT name FROM tag ORDER BY name") == [("dirty",), ("urgent",)]


def test_tags_are_replaced(ada, task, sql):
    """A task has only the tags of the last request."""
    task_id = task()
    ada.put(f"/tasks/{task_id}/tags", {"tags": ["old", "both"]})
    assert ada.put(f"/tasks/{task_id}/tags", {"tags": ["both", "new"]}).json["tags"] == [
        "both",
        "new",
    ]
    assert sql("SELECT count(*) FROM task_tag") == [(2,)]


def test_tags_are_shared(ada, task, sql):
    """Two tasks with the same tag share one row of the table tag."""
    for title in ("Oil", "Grease"):
        ada.put(f"/tasks/{task(title)}/tags", {"tags": ["dirty"]})
    assert sql("SELECT count(*) FROM tag") == [(1,)]
    assert sql("SELECT count(*) FROM task_tag") == [(2,)]


def test_empty_list_removes_all_tags(ada, task, sql):
    """An empty list removes all tags from a task; the rows in the table tag stay."""
    task_id = task()
    ada.put(f"/tasks/{task_id}/tags", {"tags": ["dirty"]})
    assert ada.put(f"/tasks/{task_id}/tags", {"tags": []}).json["tags"] == []
    assert sql("SELECT name FROM tag") == [("dirty",)]


def test_repeated_tag_counts_once(ada, task, sql):
    """A tag that occurs twice in a request is stored once."""
    ada.put(f"/tasks/{task()}/tags", {"tags": ["dirty", "Dirty", "dirty"]})
    assert sql("SELECT count(*) FROM task_tag") == [(1,)]


def test_invalid_tag_changes_nothing(ada, task, sql):
    """An invalid tag is rejected by its position, and the old tags stay."""
    task_id = task()
    ada.put(f"/tasks/{task_id}/tags", {"tags": ["dirty"]})
    response = ada.put(f"/tasks/{task_id}/tags", {"tags": ["fine", "two words"]})
    assert list(response.json["fields"]) == ["tags.1"]
    assert sql("SELECT name FROM tag JOIN task_tag ON tag_id = id") == [("dirty",)]


def test_delete_task_deletes_its_comments(ada, task, sql):
    """The deletion of a task deletes its comments and keeps the rows in the table tag."""
    task_id = task()
    ada.post(f"/tasks/{task_id}/comments", {"body": "Done?"})
    ada.put(f"/tasks/{task_id}/tags", {"tags": ["dirty"]})
    assert ada.delete(f"/tasks/{task_id}").status_code == 204
    assert sql("SELECT count(*) FROM comment") == [(0,)]
    assert sql("SELECT count(*) FROM task_tag") == [(0,)]
    assert sql("SELECT count(*) FROM tag") == [(1,)]


def test_delete_task_is_for_author_and_owner(bob, task, sql):
    """A member who is neither the author nor the owner cannot delete a task."""
    assert bob.delete(f"/tasks/{task()}").status_code == 403
    assert sql("SELECT count(*) FROM task") == [(1,)]


def test_owner_deletes_a_members_task(ada, bob, crew, sql):
    """The owner of a team can delete a task that a member wrote."""
    task_id = bob.post(f"/teams/{crew}/tasks", {"title": "Oil"}).json["id"]
    assert ada.delete(f"/tasks/{task_id}").status_code == 204
    assert sql("SELECT count(*) FROM task") == [(0,)]
