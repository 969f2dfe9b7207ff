"""The output of a run: its line about the server, its log, and its error messages."""

from __future__ import annotations

import pytest

from pgherd.postgres import naming
from pgherd.reset import generator
from tests.pgherd.support import suites
from tests.pgherd.support.runs import clones, databases

pytestmark = pytest.mark.slow

suite, project = suites.suite, suites.project


def test_one_line_describes_the_server(project, server):
    """It has the kind of the server, its version, its address, and the seconds it took to start."""
    result = project.runpytest_subprocess("-n2")
    result.stdout.re_match_lines(
        [rf"pgherd: external \(PostgreSQL [\d.]+\) at {server.host}:{server.port}, ready in .* s"]
    )


@pytest.mark.parametrize("how", ["-n2", "-n0"])
def test_a_quiet_run_has_no_line_of_pgherd(project, how):
    """With `-q`, the output does not contain the word pgherd."""
    result = project.runpytest_subprocess(how, "-q")
    result.assert_outcomes(passed=3)
    assert "pgherd" not in result.stdout.str() + result.stderr.str()


@pytest.mark.parametrize("how", ["-n1", "-n0"])
def test_the_log_names_a_dropped_database(project, how):
    """At the level INFO, the owner's log names the clone that it dropped."""
    result = project.runpytest_subprocess(
        how, "--log-file=log", "--log-file-level=INFO", "--log-level=INFO"
    )
    result.assert_outcomes(passed=3)
    (clone,) = clones(project)
    assert f"dropped database {clone}" in (project.path / "log").read_text()


def test_a_failed_migration_is_shown_once(project, server):
    """Four workers wait for one template; one traceback is shown, and no template is left."""
    project.makepyfile(migrate="def broken():\n    raise RuntimeError('column is missing')\n")
    fingerprint = f"broken things of {project.path}"
    project.makeconftest(suites.conftest(fingerprint, "from migrate import broken; broken()"))
    result = project.runpytest_subprocess("-n4", "--dist=each", "-pno:cacheprovider")
    text = result.stdout.str().partition("short test summary info")[0]
    assert result.ret != pytest.ExitCode.OK
    assert text.count("RuntimeError: column is missing") == 1
    assert text.count("Traceback (most recent call last)") == 1
    assert "migrate.py" in text
    assert "src/pgherd" not in text
    template = naming.template(server.user, fingerprint, generator.fingerprint())
    assert template not in databases(server)


def test_migrations_without_a_fingerprint_are_refused(project):
    """If `pg_migrations` returns a path, the message shows the path and names the method."""
    project.makeconftest(
        """
        import pytest

        @pytest.fixture(scope="session")
        def pg_migrations():
            return "app/migrations"
        """
    )
    text = project.runpytest_subprocess("-n0").stdout.str()
    assert "pgherd: pg_migrations returned 'app/migrations', which has no fingerprint()" in text
    assert "src/pgherd" not in text


@pytest.mark.parametrize("arguments", ["isolation='table'", "'clone'", "isolate='clone'"])
def test_a_wrong_mark_fails_its_test(project, arguments):
    """The message shows the mark and lists the values that it can have; other tests pass."""
    project.makepyfile(
        f"""
        import pytest

        @pytest.mark.pg({arguments})
        def test_wrong(pg):
            pass

        def test_another(pg):
            pass
        """
    )
    result = project.runpytest_subprocess("-n0")
    result.assert_outcomes(errors=1, passed=1)
    text = result.stdout.str()
    assert f"the mark pg({arguments}) is wrong" in text
    assert 'Write @pytest.mark.pg(isolation="reset") or' in text
