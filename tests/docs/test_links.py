"""The pages of the documentation: their links, their length, and the chart."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from tests.docs.markdown import DOCS, PAGES, README, ROOT, anchors, links

if TYPE_CHECKING:
    from pathlib import Path

REPOSITORY = "https://github.com/pgherd/pytest-pgherd"
RAW = "https://raw.githubusercontent.com/pgherd/pytest-pgherd/main/"


def target(page: Path, link: str) -> tuple[Path, str] | None:
    """Return the file of this repository that a link leads to, and the anchor; None elsewhere."""
    link = link.replace(RAW, f"{REPOSITORY}/blob/main/")
    found = re.fullmatch(rf"{REPOSITORY}(?:/(?:blob|tree)/main/([^#]+))?(?:#(.+))?", link)
    if found:
        return (ROOT / found[1] if found[1] else README), found[2] or ""
    if "://" in link:
        return None
    path, _, anchor = link.partition("#")
    return (page.parent / path if path else page), anchor


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path):
    """Each link into this repository leads to an existing file, and its anchor to a heading."""
    found = [(link, target(page, link)) for link in links(page)]
    assert [link for link, to in found if to and not to[0].exists()] == []
    assert [link for link, to in found if to and to[1] and to[1] not in anchors(to[0])] == []


def test_readme_has_absolute_links_only():
    """PyPI shows the README, too, and knows none of the other files."""
    assert [link for link in links(README) if not link.startswith("https://")] == []


def test_readme_is_short():
    """The README has fewer than 150 lines."""
    assert len(README.read_text(encoding="utf-8").splitlines()) < 150


def test_index_lists_every_page():
    """The index has a link to each page of docs/."""
    named = set(links(ROOT / "docs" / "index.md"))
    assert {page.name for page in DOCS} - named == {"index.md"}


def test_chart_shows_the_table():
    """The chart has the figures of the table's row for 100 tables, and so has its description."""
    text = README.read_text(encoding="utf-8")
    _, *row, _ = re.findall(r"^\| 100 (.*)$", text, re.MULTILINE)[0].split("|")
    figures = [each.strip() for each in row]
    drawn = ET.parse(ROOT / "docs" / "reset.svg").iter("{http://www.w3.org/2000/svg}text")  # noqa: S314 (our file)
    assert [each.text for each in drawn if re.fullmatch(r"[\d.]+", each.text or "")] == figures
    [described] = re.findall(r"!\[(With 100 tables.*?)\]", text)
    assert re.findall(r"([\d.]+) ms", described) == figures
