"""The Python code of the documentation: each section is a project, whose tests pass."""

from __future__ import annotations

import pytest

from tests.docs.markdown import Block, all_blocks, files
from tests.docs.projects import SECTIONS

pytestmark = pytest.mark.slow

# The README has its own test.
PYTHON = [block for block in all_blocks("python") if block.page != "README"]


def section(page: str, heading: str) -> list[Block]:
    """Return the blocks of a section that are files."""
    found = all_blocks("python", "sql", "ini")
    return [block for block in found if (block.page, block.section) == (page, heading)]


@pytest.fixture
def server(pg_server, monkeypatch):
    """Give the run's server to the project, which would start one of its own."""
    monkeypatch.setenv("PGHERD_URL", pg_server.database(pg_server.maintenance).url)
    # Without other plugins, the run starts twice as fast.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def test_every_section_is_run():
    """Each section with Python code is listed, and each of its blocks names its file."""
    assert {(block.page, block.section) for block in PYTHON} == set(SECTIONS)
    assert [block.text for block in PYTHON if not block.name] == []


def write_project(pytester, key: tuple[str, str]) -> None:
    """Write the files of a section, with what it leaves out."""
    project = files(section(*key))
    for name, text in SECTIONS[key].items():
        project[name] = project.get(name, "") + text
    for name, text in project.items():
        path = pytester.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def check_passes(pytester) -> None:
    """Run the project. Fail if pgherd warns, because the section should prevent that."""
    plugins = ["-ppgherd.plugin", "-pno:cacheprovider"]
    strict = ["-Werror::pgherd.LeftBehindWarning"]
    result = pytester.runpytest_subprocess(*plugins, *strict, timeout=60)
    outcomes = result.parseoutcomes()
    assert set(outcomes) <= {"passed", "warning", "warnings"}, outcomes
    assert outcomes["passed"]


@pytest.mark.parametrize(
    "key",
    SECTIONS,
    ids=": ".join,
)
def test_section_passes(key: tuple[str, str], pytester, server):
    """The code of each section passes its tests, once the missing files are added."""
    write_project(pytester, key)
    check_passes(pytester)


def test_imported_engine_may_have_another_driver(pytester, server, monkeypatch):
    """The page on SQLAlchemy says that its event works with psycopg 3, too."""
    monkeypatch.setenv("URL", "postgresql+psycopg://nobody:x@127.0.0.1:1/nowhere")
    write_project(pytester, ("sqlalchemy", "An engine that is created at import"))
    check_passes(pytester)
