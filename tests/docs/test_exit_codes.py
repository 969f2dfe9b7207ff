"""The exit codes that the page of questions names."""

from __future__ import annotations

import pytest

from tests.docs.markdown import ROOT

pytestmark = pytest.mark.slow

QUESTIONS = (ROOT / "docs" / "questions.md").read_text(encoding="utf-8").replace("\n", " ")


@pytest.fixture
def project(pytester, pg_server, monkeypatch):
    """Return a project whose migrations fail."""
    monkeypatch.setenv("PGHERD_URL", pg_server.database(pg_server.maintenance).url)
    (pytester.path / "bad.sql").write_text("CREATE TABEL users ();")
    pytester.makeconftest(
        """
        import pgherd
        import pytest

        @pytest.fixture(scope="session")
        def pg_migrations():
            return pgherd.sql_files("bad.sql")
        """
    )
    pytester.makepyfile("def test_one(pg): ...\n\ndef test_two(pg): ...")
    return pytester


@pytest.mark.parametrize(("arguments", "code"), [((), 1), (("-n2",), 2)])
def test_failed_migration(project, arguments: tuple[str, ...], code: int):
    """A failed migration ends a serial run with 1, and a run of xdist with 2."""
    assert "exit code 1, or with exit code 2 under xdist" in QUESTIONS
    assert project.runpytest_subprocess(*arguments, timeout=60).ret == code


@pytest.mark.parametrize("arguments", [(), ("-n2",)])
def test_no_server(project, monkeypatch, arguments: tuple[str, ...]):
    """Without a server, both end with 4."""
    assert "The run stops with exit code 4" in QUESTIONS
    monkeypatch.setenv("PGHERD_URL", "postgresql://nobody@127.0.0.1:1/nowhere")
    assert project.runpytest_subprocess(*arguments, timeout=60).ret == 4
