"""Fingerprints of migrations: they change whenever the result of the migrations would change."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

import pgherd
from tests.pgherd.support import files as of_test

if TYPE_CHECKING:
    from pathlib import Path

file = of_test.file

MAKERS = pytest.mark.parametrize(
    "make",
    [
        pgherd.sql_files,
        lambda path: pgherd.command("migrate", inputs=[path]),
    ],
    ids=["sql_files", "command"],
)


@MAKERS
def test_the_same_files_have_the_same_fingerprint(make, file, tmp_path: Path):
    """The fingerprint does not depend on the directory of the files, or on other files in it."""
    file("one/sql/a.sql", "A")
    file("two/sql/a.sql", "A")
    file("two/other.sql", "B")
    file("two/sql/__pycache__/a.pyc", "C")
    assert (
        make(tmp_path / "one" / "sql").fingerprint() == make(tmp_path / "two" / "sql").fingerprint()
    )


@MAKERS
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"a.sql": "A"}, {"a.sql": "B"}),
        ({"a.sql": "A"}, {"b.sql": "A"}),
        ({"a.sql": "A"}, {"a.sql": "A", "b.sql": ""}),
        ({"a.sql": "A", "b.sql": "B"}, {"a.sql": "B", "b.sql": "A"}),
        ({"a.sql": "Ab.sql", "b.sql": ""}, {"a.sql": "A", "b.sql": "b.sql"}),
    ],
)
def test_changed_files_have_another_fingerprint(
    make, file, tmp_path: Path, before: dict, after: dict
):
    """A changed content, a changed name and a further file each change it."""
    prints = []
    for place, files in (("before", before), ("after", after)):
        for name, text in files.items():
            file(f"{place}/{name}", text)
        prints.append(make(tmp_path / place).fingerprint())
    assert prints[0] != prints[1]


def test_the_order_of_files_counts(file):
    """The same files in another order have another fingerprint."""
    one, two = file("1.sql", "A"), file("2.sql", "B")
    assert pgherd.sql_files(one, two).fingerprint() != pgherd.sql_files(two, one).fingerprint()


def test_the_paths_inside_an_input_count(file, tmp_path: Path):
    """A file that moves to another directory of an input changes the fingerprint."""
    file("before/versions/a.py", "A")
    file("after/old/a.py", "A")
    before, after = (pgherd.command("m", inputs=[tmp_path / n]) for n in ("before", "after"))
    assert before.fingerprint() != after.fingerprint()


def test_the_command_line_and_the_variable_count(file):
    """Another command line has another fingerprint, and so has another variable."""
    inputs = [file("a")]
    prints = {
        pgherd.command("one", inputs=inputs).fingerprint(),
        pgherd.command("two", inputs=inputs).fingerprint(),
        pgherd.command("one", inputs=inputs, variable="PG_URL").fingerprint(),
    }
    assert len(prints) == 3


def test_a_fingerprint_is_not_cached(file):
    """If a file changes, the same object returns another fingerprint."""
    path = file("a.sql", "A")
    migrations = pgherd.sql_files(path)
    before = migrations.fingerprint()
    path.write_text("B")
    assert migrations.fingerprint() != before


def test_migrations_are_values(file):
    """Migrations with the same parts are equal, and they cannot be changed."""
    path = file("a.sql", "A")
    migrations = pgherd.sql_files(path)
    assert migrations == pgherd.sql_files(str(path))
    with pytest.raises(dataclasses.FrozenInstanceError):
        migrations.paths = ()
