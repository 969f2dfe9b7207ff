"""Comments on tasks."""

from __future__ import annotations


def test_comment_on_a_task(bob, task, sql):
    """A member's comment is stored with its author."""
    response = bob.post(f"/tasks/{task()}/comments", {"body": "With whale oil?"})
    assert response.status_code == 201
    assert sql("SELECT author_id, body FROM comment") == [(bob.id, "With whale oil?")]


def test_comment_by_a_non_member_is_forbidden(person, task, sql):
    """A user who is not in the team cannot comment on its tasks."""
    response = person("eve").post(f"/tasks/{task()}/comments", {"body": "Ha!"})
    assert response.status_code == 403
    assert sql("SELECT count(*) FROM comment") == [(0,)]


def test_empty_comment_is_refused(ada, task, sql):
    """A comment without text is rejected."""
    response = ada.post(f"/tasks/{task()}/comments", {"body": ""})
    assert list(response.json["fields"]) == ["body"]
    assert sql("SELECT count(*) FROM comment") == [(0,)]


def test_comment_on_a_missing_task(ada, sql):
    """A comment on a task that does not exist gets 404."""
    assert ada.post("/tasks/5/comments", {"body": "Hello?"}).status_code == 404
    assert sql("SELECT count(*) FROM comment") == [(0,)]


def test_list_comments_oldest_first(ada, bob, task):
    """Comments are listed in the order in which they were created."""
    task_id = task()
    for person, body in [(ada, "Oil?"), (bob, "Grease."), (ada, "Fine.")]:
        person.post(f"/tasks/{task_id}/comments", {"body": body})
    listed = [
        (row["author_id"], row["body"])
        for row in bob.get(f"/tasks/{task_id}/comments").json["items"]
    ]
    assert listed == [(ada.id, "Oil?"), (bob.id, "Grease."), (ada.id, "Fine.")]


def test_list_comments_of_one_task(ada, task):
    """The list contains no comments on other tasks."""
    ada.post(f"/tasks/{task('Dust')}/comments", {"body": "Dry."})
    assert ada.get(f"/tasks/{task('Oil')}/comments").json["items"] == []


def test_author_deletes_a_comment(bob, task, sql):
    """The author of a comment can delete it; the task stays."""
    comment = bob.post(f"/tasks/{task()}/comments", {"body": "Oops"}).json
    assert bob.delete(f"/comments/{comment['id']}").status_code == 204
    assert sql("SELECT (SELECT count(*) FROM comment), (SELECT count(*) FROM task)") == [(0, 1)]


def test_owner_cannot_delete_a_members_comment(ada, bob, task, sql):
    """The owner of a team cannot delete a comment by a member."""
    comment = bob.post(f"/tasks/{task()}/comments", {"body": "Hm"}).json
    assert ada.delete(f"/comments/{comment['id']}").status_code == 403
    assert sql("SELECT body FROM comment") == [("Hm",)]


def test_admin_deletes_any_comment(root, bob, task, sql):
    """An admin who is not in the team can delete a comment."""
    comment = bob.post(f"/tasks/{task()}/comments", {"body": "Rude"}).json
    assert root.delete(f"/comments/{comment['id']}").status_code == 204
    assert sql("SELECT count(*) FROM comment") == [(0,)]


def test_delete_a_missing_comment(ada):
    """The request to delete a comment that does not exist gets 404."""
    assert ada.delete("/comments/3").json["detail"] == "There is no such comment."
