"""Search: tasks are found by their words, in any of their forms."""

from __future__ import annotations

from contextlib import closing

import pytest


@pytest.fixture
def titles(ada):
    """Give a function that has ada search, and gives the titles found."""

    def search(words: str, **query: object) -> list[str]:
        return [row["title"] for row in ada.get("/search", q=words, **query).json["items"]]

    return search


def test_search_finds_a_word_of_the_title(task, titles):
    """A word of the title is found, and the task without it is not."""
    task("Oil the engine")
    task("Dust the loom")
    assert titles("engine") == ["Oil the engine"]


def test_search_finds_a_word_of_the_body(task, titles):
    """A word of the body is found as well."""
    task("Oil", body="The difference engine squeaks.")
    assert titles("squeaks") == ["Oil"]


def test_search_finds_other_forms_of_a_word(task, titles):
    """English endings do not matter."""
    task("Repairing engines")
    assert titles("engine repaired") == ["Repairing engines"]


def test_search_finds_any_case(task, titles):
    """Capitals do not matter."""
    task("Call BABBAGE")
    assert titles("babbage") == ["Call BABBAGE"]


def test_search_ranks_the_title_first(task, titles):
    """A word in the title counts for more than one in the body, whichever is older."""
    task("Dust", body="Then see to the engine.")
    task("Engine", body="Then dust.")
    assert titles("engine") == ["Engine", "Dust"]


def test_search_needs_all_words(task, titles):
    """Several words have all to be there."""
    task("Oil the engine")
    task("Oil the loom")
    assert titles("oil loom") == ["Oil the loom"]


def test_search_for_either_word(task, titles):
    """With or between them one of two words is enough."""
    for title in ("Oil the engine", "Dust the loom", "Sweep the floor"):
        task(title)
    assert sorted(titles("engine or loom")) == ["Dust the loom", "Oil the engine"]


def test_search_without_a_word(task, titles):
    """A minus leaves out what has the word."""
    task("Oil the engine")
    task("Oil the loom")
    assert titles("oil -engine") == ["Oil the loom"]


def test_search_for_a_phrase(task, titles):
    """In quotation marks words have to follow each other."""
    task("The difference engine")
    task("The engine makes a difference")
    assert titles('"difference engine"') == ["The difference engine"]


def test_search_stays_in_ones_teams(task, person):
    """A stranger finds nothing."""
    task("Oil the engine")
    assert person("eve").get("/search", q="engine").json == {"items": []}


def test_search_sees_a_change_at_once(ada, task, titles):
    """After a change the new words are found and the old ones are not."""
    task_id = task("Oil the engine")
    ada.patch(f"/tasks/{task_id}", {"title": "Grease the engine"})
    assert titles("oil") == []
    assert titles("grease") == ["Grease the engine"]


def test_search_finds_as_many_as_asked(task, titles):
    """A limit keeps the best."""
    task("Dust", body="engine")
    task("Engine")
    assert titles("engine", limit=1) == ["Engine"]


def test_search_for_odd_characters(task, titles):
    """What is no word finds nothing, and breaks nothing."""
    task("Oil the engine")
    assert titles("'; DROP TABLE task; --") == []
    assert titles("& | ! ( ) : *") == []


def test_search_for_nothing_is_refused(ada):
    """Without words there is nothing to look for."""
    response = ada.get("/search")
    assert (response.status_code, response.json["fields"]) == (400, {"q": "Field required"})


def test_search_can_use_the_index(task, pg):
    """The full-text index answers such a search when scanning is not cheaper."""
    task("Oil the engine")
    with closing(pg.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(
            "EXPLAIN SELECT * FROM task WHERE search @@ websearch_to_tsquery('english', 'engine')"
        )
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "task_search" in plan
