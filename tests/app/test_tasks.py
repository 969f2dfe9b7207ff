"""Tasks: what a team has to do, most urgent first."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest


def test_create_task(ada, crew):
    """A new task is open, in the middle of the priorities, and nobody's yet."""
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
    """One need not own the team."""
    bob.post(f"/teams/{crew}/tasks", {"title": "Oil the engine"})
    assert sql("SELECT author_id FROM task") == [(bob.id,)]


def test_stranger_creates_no_task(person, crew, sql):
    """Whoever is not in the team adds nothing to it."""
    body = {"title": "Pour sand in"}
    assert person("eve").post(f"/teams/{crew}/tasks", body).status_code == 403
    assert sql("SELECT count(*) FROM task") == [(0,)]


@pytest.mark.parametrize("priority", [0, 6])
def test_priority_is_from_1_to_5(ada, crew, sql, priority):
    """A priority outside the range is refused with the field."""
    response = ada.post(f"/teams/{crew}/tasks", {"title": "Oil", "priority": priority})
    assert (response.status_code, list(response.json["fields"])) == (400, ["priority"])
    assert sql("SELECT count(*) FROM task") == [(0,)]


def test_task_needs_a_title(ada, crew):
    """Without a title the field is named, wherever the body has one."""
    response = ada.post(f"/teams/{crew}/tasks", {"body": "Soon."})
    assert response.json["fields"] == {"title": "Field required"}


def test_show_task_to_members(bob, task):
    """A member who did not write a task sees it."""
    assert bob.get(f"/tasks/{task('Oil', body='Soon.')}").json["body"] == "Soon."


def test_show_task_to_a_stranger_is_forbidden(person, task):
    """Tasks are their team's business."""
    assert person("eve").get(f"/tasks/{task()}").status_code == 403


def test_show_task_that_is_not_there(ada):
    """An unknown task answers 404."""
    assert ada.get("/tasks/7").json["detail"] == "There is no such task."


def test_list_tasks_most_urgent_first(ada, crew, task):
    """Tasks are ordered by priority, those of one priority by age."""
    for title, priority in [("c", 3), ("e", 5), ("a", 1), ("d", 3), ("b", 2)]:
        task(title, priority=priority)
    titles = [row["title"] for row in ada.get(f"/teams/{crew}/tasks").json["items"]]
    assert titles == ["a", "b", "c", "d", "e"]


def test_list_tasks_of_one_team(ada, crew, task, team):
    """The tasks of another team of the same person are not among them."""
    task("Oil")
    ada.post(f"/teams/{team(ada, name='Looms')}/tasks", {"title": "Weave"})
    assert [row["title"] for row in ada.get(f"/teams/{crew}/tasks").json["items"]] == ["Oil"]


def test_list_tasks_by_status(ada, crew, task):
    """A status picks the tasks that have it."""
    task("first", priority=1)
    task("second")
    ada.post("/tasks/claim")
    claimed = ada.get(f"/teams/{crew}/tasks", status="claimed").json["items"]
    assert [row["title"] for row in claimed] == ["first"]


def test_list_tasks_by_unknown_status(ada, crew):
    """A status that tasks cannot have is refused."""
    response = ada.get(f"/teams/{crew}/tasks", status="lost")
    assert (response.status_code, list(response.json["fields"])) == (400, ["status"])


def test_list_tasks_by_tag(ada, crew, task):
    """A tag picks the tasks that carry it."""
    ada.put(f"/tasks/{task('Oil')}/tags", {"tags": ["dirty"]})
    ada.put(f"/tasks/{task('Dust')}/tags", {"tags": ["dry"]})
    tagged = ada.get(f"/teams/{crew}/tasks", tag="dirty").json["items"]
    assert [row["title"] for row in tagged] == ["Oil"]


def test_list_tasks_by_a_tag_that_nothing_carries(ada, crew, task):
    """An unknown tag is no error: nothing carries it."""
    task()
    assert ada.get(f"/teams/{crew}/tasks", tag="unheard-of").json["items"] == []


def test_change_task(bob, task, sql):
    """Any member may change what a task says."""
    task_id = task("Oil")
    change = {"title": "Grease", "body": "Not too much.", "priority": 1}
    assert bob.patch(f"/tasks/{task_id}", change).status_code == 200
    assert sql("SELECT title, body, priority FROM task") == [("Grease", "Not too much.", 1)]


def test_change_task_keeps_what_is_left_out(ada, task, sql):
    """What a change does not name stays."""
    ada.patch(f"/tasks/{task('Oil', body='Soon.', priority=2)}", {"title": "Grease"})
    assert sql("SELECT title, body, priority FROM task") == [("Grease", "Soon.", 2)]


def test_change_nothing(ada, task, sql):
    """An empty change is fine, and writes nothing into the trail."""
    assert ada.patch(f"/tasks/{task('Oil')}", {}).json["title"] == "Oil"
    assert sql("SELECT operation FROM audit_entry WHERE table_name = 'task'") == [("insert",)]


def test_change_status_by_hand_is_refused(ada, task, sql):
    """A task's status changes by claiming, not by editing."""
    response = ada.patch(f"/tasks/{task()}", {"status": "done"})
    assert list(response.json["fields"]) == ["status"]
    assert sql("SELECT status FROM task") == [("open",)]


def test_change_leaves_a_claim_alone(ada, bob, task, pg, until_blocked):
    """A change does not put back what another transaction changed while it waited."""
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
    """Tags come into being when they are first used, in lower case and in order."""
    response = ada.put(f"/tasks/{task()}/tags", {"tags": ["Urgent", "dirty"]})
    assert response.json["tags"] == ["dirty", "urgent"]
    assert sql("SELECT name FROM tag ORDER BY name") == [("dirty",), ("urgent",)]


def test_tags_are_replaced(ada, task, sql):
    """A task has exactly the tags given last."""
    task_id = task()
    ada.put(f"/tasks/{task_id}/tags", {"tags": ["old", "both"]})
    assert ada.put(f"/tasks/{task_id}/tags", {"tags": ["both", "new"]}).json["tags"] == [
        "both",
        "new",
    ]
    assert sql("SELECT count(*) FROM task_tag") == [(2,)]


def test_tags_are_shared(ada, task, sql):
    """Two tasks with one tag share its row."""
    for title in ("Oil", "Grease"):
        ada.put(f"/tasks/{task(title)}/tags", {"tags": ["dirty"]})
    assert sql("SELECT count(*) FROM tag") == [(1,)]
    assert sql("SELECT count(*) FROM task_tag") == [(2,)]


def test_no_tags_removes_all(ada, task, sql):
    """An empty list takes a task's tags away; the tags themselves stay."""
    task_id = task()
    ada.put(f"/tasks/{task_id}/tags", {"tags": ["dirty"]})
    assert ada.put(f"/tasks/{task_id}/tags", {"tags": []}).json["tags"] == []
    assert sql("SELECT name FROM tag") == [("dirty",)]


def test_tag_given_twice_counts_once(ada, task, sql):
    """Repetition, in whatever case, makes no second tag."""
    ada.put(f"/tasks/{task()}/tags", {"tags": ["dirty", "Dirty", "dirty"]})
    assert sql("SELECT count(*) FROM task_tag") == [(1,)]


def test_bad_tag_leaves_the_tags_alone(ada, task, sql):
    """A tag of more than one word is refused by its place in the list; nothing changes."""
    task_id = task()
    ada.put(f"/tasks/{task_id}/tags", {"tags": ["dirty"]})
    response = ada.put(f"/tasks/{task_id}/tags", {"tags": ["fine", "two words"]})
    assert list(response.json["fields"]) == ["tags.1"]
    assert sql("SELECT name FROM tag JOIN task_tag ON tag_id = id") == [("dirty",)]


def test_delete_task_takes_comments_and_tags_along(ada, task, sql):
    """Deleting a task deletes its comments and its use of tags, not the tags."""
    task_id = task()
    ada.post(f"/tasks/{task_id}/comments", {"body": "Done?"})
    ada.put(f"/tasks/{task_id}/tags", {"tags": ["dirty"]})
    assert ada.delete(f"/tasks/{task_id}").status_code == 204
    assert sql("SELECT count(*) FROM comment") == [(0,)]
    assert sql("SELECT count(*) FROM task_tag") == [(0,)]
    assert sql("SELECT count(*) FROM tag") == [(1,)]


def test_delete_task_is_for_author_and_owner(bob, task, sql):
    """A member who neither wrote the task nor owns the team cannot delete it."""
    assert bob.delete(f"/tasks/{task()}").status_code == 403
    assert sql("SELECT count(*) FROM task") == [(1,)]


def test_owner_deletes_anybodys_task(ada, bob, crew, sql):
    """The owner of the team may delete what a member wrote."""
    task_id = bob.post(f"/teams/{crew}/tasks", {"title": "Oil"}).json["id"]
    assert ada.delete(f"/tasks/{task_id}").status_code == 204
    assert sql("SELECT count(*) FROM task") == [(0,)]
