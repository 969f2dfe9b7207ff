"""Full-text search for tasks."""

from __future__ import annotations

from contextlib import closing

import pytest


@pytest.fixture
def titles(ada):
    """A function that searches as ada, and returns the titles of the tasks."""

    def search(words: str, **query: object) -> list[str]:
        return [row["title"] for row in ada.get("/search", q=words, **query).json["items"]]

    return search


def test_search_finds_a_word_of_the_title(task, titles):
    """A search finds only the task that has the word in its title."""
    task("Oil the engine")
    task("Dust the loom")
    assert titles("engine") == ["Oil the engine"]


def test_search_finds_a_word_of_the_body(task, titles):
    """A search finds a word in the body."""
    task("Oil", body="The difference engine squeaks.")
    assert titles("squeaks") == ["Oil"]


def test_search_finds_other_forms_of_a_word(task, titles):
    """A search finds other English forms of a word."""
    task("Repairing engines")
    assert titles("engine repaired") == ["Repairing engines"]


def test_search_finds_any_case(task, titles):
    """A search ignores upper and lower case."""
    task("Call BABBAGE")
    assert titles("babbage") == ["Call BABBAGE"]


def test_search_ranks_the_title_first(task, titles):
    """A match in the title ranks above a match in the body of an older task."""
    task("Dust", body="Then see to the engine.")
    task("Engine", body="Then dust.")
    assert titles("engine") == ["Engine", "Dust"]


def test_search_needs_all_words(task, titles):
    """A task must contain all words of the search."""
    task("Oil the engine")
    task("Oil the loom")
    assert titles("oil loom") == ["Oil the loom"]


def test_search_for_either_word(task, titles):
    """With "or" between two words, a task must contain only one of them."""
    for title in ("Oil the engine", "Dust the loom", "Sweep the floor"):
        task(title)
    assert sorted(titles("engine or loom")) == ["Dust the loom", "Oil the engine"]


def test_search_without_a_word(task, titles):
    """A minus sign excludes the tasks that contain the word."""
    task("Oil the engine")
    task("Oil the loom")
    assert titles("oil -engine") == ["Oil the loom"]


def test_search_for_a_phrase(task, titles):
    """Words in quotation marks must follow each other."""
    task("The difference engine")
    task("The engine makes a difference")
    assert titles('"difference engine"') == ["The difference engine"]


def test_search_is_limited_to_the_users_teams(task, person):
    """A user finds no task of a team that the user is not in."""
    task("Oil the engine")
    assert person("eve").get("/search", q="engine").json == {"items": []}


def test_search_sees_a_change_at_once(ada, task, titles):
    """A search after a change finds the new words and not the old ones."""
    task_id = task("Oil the engine")
    ada.patch(f"/tasks/{task_id}", {"title": "Grease the engine"})
    assert titles("oil") == []
    assert titles("grease") == ["Grease the engine"]


def test_search_limit_keeps_the_best(task, titles):
    """A search with a limit returns the best matches."""
    task("Dust", body="engine")
    task("Engine")
    assert titles("engine", limit=1) == ["Engine"]


def test_search_for_special_characters(task, titles):
    """A search for SQL or for operators finds nothing and raises no error."""
    task("Oil the engine")
    assert titles("'; DROP TABLE task; --") == []
    assert titles("& | ! ( ) : *") == []


def test_search_without_words_is_refused(ada):
    """A search without words is rejected."""
    response = ada.get("/search")
    assert (response.status_code, response.json["fields"]) == (400, {"q": "Field required"})


def test_search_can_use_the_index(task, pg):
    """PostgreSQL can use the full-text index for a search."""
    task("Oil the engine")
    with closing(pg.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(
            "EXPLAIN SELECT * FROM task WHERE search @@ websearch_to_tsquery('english', 'engine')"
        )
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "task_search" in plan
