"""A whole run, on a server that was given: what it makes there, and that nothing is left."""

from __future__ import annotations

import pytest

from pgherd.postgres import naming
from pgherd.reset import generator
from tests.pgherd.support.runs import clones, databases

WRITE = """
def write(database):
    with database.connect() as link:
        link.cursor().execute("INSERT INTO thing VALUES (1)")
    link.close()

def count(database):
    link = database.connect()
    cursor = link.cursor()
    cursor.execute("SELECT count(*) FROM thing")
    ((rows,),) = cursor.fetchall()
    link.close()
    return rows
"""

CONFTEST = """
import pytest

class Things:
    def fingerprint(self):
        return "things of {name}"

    def apply(self, url):
        import psycopg2
        with open("applied", "a") as file:
            file.write("once ")
        link = psycopg2.connect(url)
        link.cursor().execute("CREATE TABLE thing (id int)")
        link.commit()
        link.close()

@pytest.fixture(scope="session")
def pg_migrations():
    return Things()
"""


@pytest.fixture
def project(pytester, server):
    """Give a project with one table, and tests that write to it and say where."""
    pytester.makeconftest(CONFTEST.replace("{name}", str(pytester.path)))
    pytester.makepyfile(
        WRITE
        + """
import pytest

@pytest.mark.parametrize("number", range(3))
def test_write(pg, number):
    assert count(pg) == 0
    write(pg)
    with open("clones", "a") as file:
        file.write(pg.name + " ")
"""
    )
    return pytester


def test_template_is_migrated_once_and_every_worker_has_its_clone(project):
    """Four workers, one migration, four clones of one run."""
    result = project.runpytest_subprocess("-n4", "--dist=each")
    result.assert_outcomes(passed=12)
    assert (project.path / "applied").read_text() == "once "
    runs = {name.rpartition("_")[0] for name in clones(project)}
    assert clones(project) == {f"{run}_gw{n}" for run in runs for n in range(4)}
    assert len(runs) == 1


def test_second_run_finds_the_template(project):
    """A template that is there already is cloned, not built again."""
    project.runpytest_subprocess("-n0").assert_outcomes(passed=3)
    project.runpytest_subprocess("-n2").assert_outcomes(passed=3)
    assert (project.path / "applied").read_text() == "once "


@pytest.mark.parametrize("how", ["-n2", "-n0", "-pno:xdist"])
def test_clones_are_dropped_at_the_end(project, server, how):
    """After a run, parallel or serial or without xdist, none of its clones is left."""
    project.runpytest_subprocess(how).assert_outcomes(passed=3)
    assert clones(project)
    assert not clones(project) & databases(server)


def test_run_that_stops_early_leaves_nothing(project, server):
    """With -x, whatever xdist skips, the clones are dropped."""
    project.makepyfile(
        test_fail="""
        def test_fail(pg):
            with open("clones", "a") as file:
                file.write(pg.name + " ")
            assert False
        """
    )
    result = project.runpytest_subprocess("-n2", "-x", "test_fail.py")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert clones(project)
    assert not clones(project) & databases(server)


def test_crashed_worker_leaves_nothing_and_its_replacement_starts_clean(project, server):
    """A worker that dies in a test is replaced, by one with a clone of its own."""
    project.makepyfile(
        WRITE
        + """
import os

def test_crash(pg):
    write(pg)
    with open("clones", "a") as file:
        file.write(pg.name + " ")
    os._exit(1)

def test_after(pg):
    assert count(pg) == 0
    with open("clones", "a") as file:
        file.write(pg.name + " ")
"""
    )
    result = project.runpytest_subprocess("-n1", "-pno:randomly")
    result.assert_outcomes(passed=1, failed=1)
    assert {name.rpartition("_")[2] for name in clones(project)} == {"gw0", "gw1"}
    assert not clones(project) & databases(server)


def test_schema_change_is_undone_by_a_new_clone(project):
    """What the reset cannot undo in place is gone all the same, under the same URL."""
    project.makepyfile(
        WRITE
        + """
import pytest

@pytest.mark.parametrize("number", range(2))
def test_drop(pg, number):
    assert count(pg) == 0
    with pg.connect() as link:
        link.cursor().execute("DROP TABLE thing")
    link.close()
"""
    )
    project.runpytest_subprocess("-n0").assert_outcomes(passed=2)


def test_connection_left_in_a_transaction_is_ended_and_named(project):
    """It would block the reset, so it is ended, and the test is warned with its statement."""
    project.makepyfile(
        WRITE
        + """
left = []

def test_leave(pg):
    left.append(pg.connect())
    left[0].cursor().execute("INSERT INTO thing VALUES (7)")

def test_after(pg):
    assert count(pg) == 0
"""
    )
    result = project.runpytest_subprocess("-n0", "-pno:randomly")
    result.assert_outcomes(passed=2, warnings=1)
    result.stdout.fnmatch_lines(["*test_leave*", "*left a connection*INSERT INTO thing VALUES (7)"])


def test_failing_migration_is_told_once(project, server):
    """Four workers wait for one template: its traceback is shown once, and nothing is left."""
    project.makepyfile(migrate="def broken():\n    raise RuntimeError('column is missing')\n")
    project.makeconftest(
        CONFTEST.replace("{name}", str(project.path)).replace(
            "link = psycopg2.connect(url)", "from migrate import broken; broken()"
        )
    )
    result = project.runpytest_subprocess("-n4", "--dist=each", "-pno:cacheprovider")
    text = result.stdout.str().partition("short test summary info")[0]
    assert result.ret != pytest.ExitCode.OK
    assert text.count("RuntimeError: column is missing") == 1
    assert text.count("Traceback (most recent call last)") == 1
    assert "migrate.py" in text
    assert "src/pgherd" not in text
    template = naming.template(server.user, f"things of {project.path}", generator.fingerprint())
    assert template not in databases(server)


def test_what_migrates_nothing_is_told(project):
    """A directory alone is no migrations: it is not said what runs them."""
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


def test_no_database_test_starts_nothing(project, monkeypatch):
    """Tests that need no database pass where there is no server at all."""
    monkeypatch.setenv("PGHERD_URL", "postgresql://nobody@127.0.0.1:1/none")
    project.makepyfile("def test_pure():\n    pass\n")
    result = project.runpytest_subprocess("-n2")
    result.assert_outcomes(passed=1)
    assert "pgherd:" not in result.stdout.str()


def test_header_line_names_the_server(project, server):
    """One line says which server, which version, where, and how long it took."""
    result = project.runpytest_subprocess("-n2")
    result.stdout.re_match_lines(
        [rf"pgherd: external \(PostgreSQL [\d.]+\) at {server.host}:{server.port}, ready in .* s"]
    )


@pytest.mark.parametrize("how", ["-n2", "-n0"])
def test_quiet_run_is_silent(project, how):
    """With -q there is no line of ours."""
    result = project.runpytest_subprocess(how, "-q")
    result.assert_outcomes(passed=3)
    assert "pgherd" not in result.stdout.str() + result.stderr.str()


@pytest.mark.parametrize("how", ["-n1", "-n0"])
def test_log_says_what_is_created_and_dropped(project, how):
    """The log of the run names each database when it comes and when it goes."""
    result = project.runpytest_subprocess(
        how, "--log-file=log", "--log-file-level=INFO", "--log-level=INFO"
    )
    result.assert_outcomes(passed=3)
    (clone,) = clones(project)
    assert f"dropped database {clone}" in (project.path / "log").read_text()


ISOLATED = """
import pytest

@pytest.fixture(scope="session")
def kept(pg_database):
    return []

@pytest.fixture(scope="session")
def pg_disconnect(kept):
    def disconnect():
        while kept:
            kept.pop().close()
    return disconnect

@pytest.mark.pg(isolation="clone")
@pytest.mark.parametrize("number", range(5))
def test_isolated(pg, kept, number):
    assert count(pg) == 0
    write(pg)
    kept.append(pg.connect())
    kept[0].cursor().execute("SET application_name TO kept")
    kept[0].commit()
    with pg.connect() as link:
        link.cursor().execute("CREATE TABLE other (id int)")
    link.close()
    with open("clones", "a") as file:
        file.write(pg.name + " ")
"""


def test_isolated_test_has_a_clone_for_itself(project, server):
    """With isolation="clone" the database is replaced under its URL, and none is left."""
    project.makepyfile(WRITE + ISOLATED)
    project.runpytest_subprocess("-n2", "--log-level=INFO").assert_outcomes(passed=5)
    names = clones(project)
    assert len(names) <= 2
    left = databases(server)
    assert not {name for name in left if any(name.startswith(clone) for clone in names)}


@pytest.mark.parametrize("given", ["isolation='table'", "'clone'", "isolate='clone'"])
def test_a_mark_that_is_not_understood_is_told(project, given):
    """A mark with another value or name is answered with those that there are."""
    project.makepyfile(
        f"""
        import pytest

        @pytest.mark.pg({given})
        def test_it(pg):
            pass

        def test_another(pg):
            pass
        """
    )
    result = project.runpytest_subprocess("-n0")
    result.assert_outcomes(errors=1, passed=1)
    told = result.stdout.str()
    assert f"the mark pg({given}) is not understood" in told
    assert "Write pg(isolation=…) with one of: reset, clone" in told


@pytest.mark.parametrize("change", ["write(pg_database)", "run(pg_database, 'DROP TABLE thing')"])
def test_pristine_before_a_test_whatever_came_before(project, change):
    """What a test did that forgot to ask for `pg` is not there for one that does."""
    project.makepyfile(
        WRITE
        + f"""
def run(database, statement):
    with database.connect() as link:
        link.cursor().execute(statement)
    link.close()

def test_forgets(pg_database):
    {change}

def test_asks(pg):
    assert count(pg) == 0
"""
    )
    result = project.runpytest_subprocess("-n0", "-pno:randomly")
    result.assert_outcomes(passed=2)


def test_factory_gives_further_databases(project, server):
    """Each call gives another pristine database, and none of them outlives the run."""
    project.makepyfile(
        WRITE
        + """
import pytest

@pytest.mark.parametrize("number", range(2))
def test_three(pg, pg_factory, number):
    three = [pg, pg_factory(), pg_factory()]
    assert len({database.name for database in three}) == 3
    for database in three:
        assert count(database) == 0
        write(database)
        with open("clones", "a") as file:
            file.write(database.name + " ")
"""
    )
    project.runpytest_subprocess("-n0").assert_outcomes(passed=2)
    assert len(clones(project)) == 5
    assert not clones(project) & databases(server)


def test_only_the_test_that_left_something_is_warned(project):
    """A test whose database is replaced is not warned of what the test before it left."""
    project.makepyfile(
        """
        import pytest

        left = []

        def test_leave(pg):
            left.append(pg.connect())
            left[0].cursor().execute("SELECT 1")

        @pytest.mark.pg(isolation="clone")
        def test_isolated(pg):
            pass
        """
    )
    result = project.runpytest_subprocess("-n0", "-pno:randomly")
    result.assert_outcomes(passed=2, warnings=1)


KEEPS = """
import pytest

kept = []

{disconnect}

def test_asks_nothing(pg):
    pass

@pytest.mark.parametrize("number", range(3))
def test_keep(pg, number):
    pg.connect().close()
    kept.append(pg.connect())
    kept[-1].autocommit = True
    kept[-1].cursor().execute("CREATE TABLE made ()")
"""
DISCONNECT = """
@pytest.fixture(scope="session")
def pg_disconnect():
    return lambda: kept.pop().close()
"""


@pytest.mark.parametrize(("disconnect", "warnings"), [("", 3), (DISCONNECT, 0)])
def test_kept_connections_that_were_ended_are_told(project, disconnect, warnings):
    """Else the next test fails that is given one, by a pool say, and nobody knows why."""
    project.makepyfile(KEEPS.replace("{disconnect}", disconnect))
    result = project.runpytest_subprocess("-n0", "-pno:randomly")
    result.assert_outcomes(passed=4, warnings=warnings)
    if warnings:
        result.stdout.fnmatch_lines(["*were still open: 1.*Override the fixture pg_disconnect*"])


def test_a_clone_is_replaced_although_a_transaction_is_prepared_in_it(project):
    """The server renames no database that has one, so it is rolled back, and named."""
    project.makepyfile(
        """
import pytest

@pytest.mark.pg(isolation="clone")
@pytest.mark.parametrize("number", range(2))
def test_leave(pg, number):
    link = pg.connect()
    link.cursor().execute("INSERT INTO thing VALUES (7)")
    link.cursor().execute(f"PREPARE TRANSACTION 'of {pg.name}'")
    link.close()
"""
    )
    result = project.runpytest_subprocess("-n0")
    result.assert_outcomes(passed=2, warnings=2)
    result.stdout.fnmatch_lines(["*left the prepared transaction 'of pgherd_*"])
