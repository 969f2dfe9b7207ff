"""The Markdown pages of this repository: their sections, links and blocks of code."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))
EXAMPLES = sorted((ROOT / "examples").glob("*/README.md"))
PAGES = [README, ROOT / "CHANGELOG.md", *DOCS, *EXAMPLES]

_FENCED = re.compile(
    r"^(?P<heading>#{1,6} [^\n]+)$|^```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_NAMED = re.compile(r"(?:#|--) (?P<name>[\w./-]+\.\w+)\n")


@dataclass(frozen=True)
class Block:
    """One fenced block of code."""

    page: str
    """The page's file name without its ending, such as `fixtures`."""
    section: str
    """The nearest heading above the block."""
    language: str
    text: str

    @property
    def name(self) -> str | None:
        """The name of the block's file, from the comment in its first line."""
        named = _NAMED.match(self.text)
        return named["name"] if named else None


def blocks(path: Path) -> list[Block]:
    """Return all fenced blocks of a page, in their order."""
    found, section = [], ""
    for match in _FENCED.finditer(path.read_text(encoding="utf-8")):
        if match["heading"]:
            section = match["heading"].lstrip("# ")
        else:
            found.append(Block(path.stem, section, match["language"], match["text"]))
    return found


def all_blocks(*languages: str) -> list[Block]:
    """Return the blocks of these languages in the README and in docs/."""
    return [
        block for path in (README, *DOCS) for block in blocks(path) if block.language in languages
    ]


def files(section: list[Block]) -> dict[str, str]:
    """Return the files that the blocks of a section make; blocks with one name are one file."""
    made: dict[str, str] = {}
    for block in section:
        if block.name:
            made[block.name] = made.get(block.name, "") + block.text
    return made


def anchors(path: Path) -> set[str]:
    """Return what links can name on a page, as GitHub makes it of the headings."""
    headings = re.findall(r"^#{1,6} (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


def links(path: Path) -> list[str]:
    """Return the targets of a page's links and images."""
    return re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8"))
