"""The databases of a run: one template, a clone for each worker, and nothing at the end."""

from __future__ import annotations

import pytest

from tests.pgherd.support import suites
from tests.pgherd.support.runs import clones, databases
from tests.pgherd.support.suites import HELPERS

pytestmark = pytest.mark.slow

suite, project = suites.suite, suites.project


def test_four_workers_share_one_template_and_have_a_clone_each(project):
    """The migrations run once, and the names of the four clones have the id of one run."""
    result = project.runpytest_subprocess("-n4", "--dist=each")
    result.assert_outcomes(passed=12)
    assert (project.path / "applied").read_text() == "once "
    prefixes = {name.rpartition("_")[0] for name in clones(project)}
    assert clones(project) == {f"{prefix}_gw{n}" for prefix in prefixes for n in range(4)}
    assert len(prefixes) == 1


def test_a_second_run_uses_the_template_of_the_first(project):
    """Its migrations do not run again."""
    project.runpytest_subprocess("-n0").assert_outcomes(passed=3)
    project.runpytest_subprocess("-n2").assert_outcomes(passed=3)
    assert (project.path / "applied").read_text() == "once "


@pytest.mark.parametrize("how", ["-n2", "-n0", "-pno:xdist"])
def test_the_clones_are_dropped_at_the_end(project, monkeypatch, server, how):
    """A run in parallel, a serial one, and one without xdist leave no clone."""
    suites.load_all(monkeypatch)
    project.runpytest_subprocess(how).assert_outcomes(passed=3)
    assert clones(project)
    assert not clones(project) & databases(server)


def test_a_run_that_stops_at_a_failure_drops_its_clones(project, server):
    """With `-x`, xdist skips teardowns, and pgherd drops the clones nevertheless."""
    project.makepyfile(
        test_fail=HELPERS
        + """
def test_fail(pg):
    record(pg)
    assert False
"""
    )
    result = project.runpytest_subprocess("-n2", "-x", "test_fail.py")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert clones(project)
    assert not clones(project) & databases(server)


def test_a_crashed_worker_is_replaced_by_one_with_its_own_clone(project, server):
    """The new worker's clone is pristine, and both clones are dropped at the end."""
    project.makepyfile(
        HELPERS
        + """
import os

def test_crash(pg):
    write(pg)
    record(pg)
    os._exit(1)

def test_after(pg):
    assert count(pg) == 0
    record(pg)
"""
    )
    result = project.runpytest_subprocess("-n1")
    result.assert_outcomes(passed=1, failed=1)
    assert {name.rpartition("_")[2] for name in clones(project)} == {"gw0", "gw1"}
    assert not clones(project) & databases(server)


def test_a_run_without_database_tests_needs_no_server(project, monkeypatch):
    """Although the server does not exist, the test passes, and pgherd writes nothing."""
    monkeypatch.setenv("PGHERD_URL", "postgresql://nobody@127.0.0.1:1/none")
    project.makepyfile("def test_pure():\n    pass\n")
    result = project.runpytest_subprocess("-n2")
    result.assert_outcomes(passed=1)
    assert "pgherd:" not in result.stdout.str()
