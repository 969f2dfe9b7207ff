"""Comments: what a team says about a task."""

from __future__ import annotations


def test_comment_on_a_task(bob, task, sql):
    """A member's comment is kept with its author."""
    response = bob.post(f"/tasks/{task()}/comments", {"body": "With whale oil?"})
    assert response.status_code == 201
    assert sql("SELECT author_id, body FROM comment") == [(bob.id, "With whale oil?")]


def test_comment_of_a_stranger_is_forbidden(person, task, sql):
    """Whoever is not in the team does not comment."""
    response = person("eve").post(f"/tasks/{task()}/comments", {"body": "Ha!"})
    assert response.status_code == 403
    assert sql("SELECT count(*) FROM comment") == [(0,)]


def test_empty_comment_is_refused(ada, task, sql):
    """A comment says something."""
    response = ada.post(f"/tasks/{task()}/comments", {"body": ""})
    assert list(response.json["fields"]) == ["body"]
    assert sql("SELECT count(*) FROM comment") == [(0,)]


def test_comment_on_a_task_that_is_not_there(ada, sql):
    """There is nothing to comment on: 404."""
    assert ada.post("/tasks/5/comments", {"body": "Hello?"}).status_code == 404
    assert sql("SELECT count(*) FROM comment") == [(0,)]


def test_list_comments_oldest_first(ada, bob, task):
    """The list reads like the conversation."""
    task_id = task()
    for person, body in [(ada, "Oil?"), (bob, "Grease."), (ada, "Fine.")]:
        person.post(f"/tasks/{task_id}/comments", {"body": body})
    said = [
        (row["author_id"], row["body"])
        for row in bob.get(f"/tasks/{task_id}/comments").json["items"]
    ]
    assert said == [(ada.id, "Oil?"), (bob.id, "Grease."), (ada.id, "Fine.")]


def test_list_comments_of_one_task(ada, task):
    """What was said about another task is not in the list."""
    ada.post(f"/tasks/{task('Dust')}/comments", {"body": "Dry."})
    assert ada.get(f"/tasks/{task('Oil')}/comments").json["items"] == []


def test_author_deletes_a_comment(bob, task, sql):
    """One may take back what one said; the task stays."""
    comment = bob.post(f"/tasks/{task()}/comments", {"body": "Oops"}).json
    assert bob.delete(f"/comments/{comment['id']}").status_code == 204
    assert sql("SELECT (SELECT count(*) FROM comment), (SELECT count(*) FROM task)") == [(0, 1)]


def test_nobody_deletes_anothers_comment(ada, bob, task, sql):
    """Not even the owner of the team takes back what a member said."""
    comment = bob.post(f"/tasks/{task()}/comments", {"body": "Hm"}).json
    assert ada.delete(f"/comments/{comment['id']}").status_code == 403
    assert sql("SELECT body FROM comment") == [("Hm",)]


def test_admin_deletes_anybodys_comment(root, bob, task, sql):
    """An admin moderates, without being in the team."""
    comment = bob.post(f"/tasks/{task()}/comments", {"body": "Rude"}).json
    assert root.delete(f"/comments/{comment['id']}").status_code == 204
    assert sql("SELECT count(*) FROM comment") == [(0,)]


def test_delete_comment_that_is_not_there(ada):
    """An unknown comment answers 404."""
    assert ada.delete("/comments/3").json["detail"] == "There is no such comment."
