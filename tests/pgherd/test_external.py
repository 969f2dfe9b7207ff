"""The server you were given: what it refuses and says, and what several runs do to it at once."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from pgherd.errors import ServerError
from pgherd.options import Options
from pgherd.postgres import connections, databases, locks, naming
from pgherd.run import sweep
from pgherd.run.coordinator import Coordinator
from pgherd.servers import Run, external
from pgherd.template.build import build
from tests.pgherd.support import clusters
from tests.pgherd.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pgherd import Address

SUITE = """
import os, pathlib, time
import pytest

class Things:
    def fingerprint(self):
        return "things of {name}"

    def apply(self, url):
        import psycopg2
        with open("applied", "a") as file:
            file.write("once ")
        time.sleep(0.2)
        link = psycopg2.connect(url)
        link.cursor().execute("CREATE TABLE thing (id int)")
        link.commit()
        link.close()

@pytest.fixture(scope="session")
def pg_migrations():
    return Things()

@pytest.fixture
def say(pg):
    with open("clones", "a") as file:
        file.write(pg.name + " ")
"""
TESTS = """
import os, pathlib, time
import pytest

@pytest.mark.parametrize("number", range(4))
def test_write(pg, say, number):
    with pg.connect() as link:
        run = link.cursor()
        run.execute("SELECT count(*) FROM thing")
        assert run.fetchall() == [(0,)]
        run.execute("INSERT INTO thing VALUES (1)")
        if number == 1:
            run.execute("CREATE TABLE other ()")
    link.close()
    if os.environ.get("VICTIM") and number == 3:
        owner = os.getppid()
        pathlib.Path("ready").touch()
        while os.getppid() == owner:
            time.sleep(0.01)
"""


def url_of(server: Address) -> str:
    """Give the URL of a server, as a person would name it."""
    return server.database(server.maintenance).url


def refused(server: Address, workers: int = 1, match: str | None = None) -> str:
    """Ask for a server that refuses; give its message."""
    options = Options(url=url_of(server))
    lent = external.server(options, Run(naming.new_run_id(), workers), print)
    with pytest.raises(ServerError, match=match) as error, lent:
        pass
    told = str(error.value)
    place = f"the PostgreSQL server at {server.host}:{server.port}, which pgherd_url names, "
    assert told.startswith(f"{place}cannot be used: ")
    return told.partition("cannot be used: ")[2]


@pytest.fixture
def role(pg_server: Address, link, run: str) -> Iterator[Callable[[str], Address]]:
    """Give a function that makes a role; its databases are dropped afterwards."""
    name = f"role_{run}"

    def make(rights: str) -> Address:
        link.cursor().execute(f"CREATE ROLE {name} LOGIN PASSWORD 'secret' {rights}")
        return replace(pg_server, user=name, password="secret")

    yield make
    for database, owner in owners(link).items():
        if owner == name:
            databases.thaw(link, database)
            databases.drop(link, database)
    link.cursor().execute(f"DROP ROLE IF EXISTS {name}")


def owners(link) -> dict[str, str]:
    """List the server's databases and their owners."""
    with link.cursor() as cursor:
        cursor.execute("SELECT datname, pg_get_userbyid(datdba)::text FROM pg_database")
        return dict(cursor.fetchall())


@pytest.fixture
def suite(pytester, monkeypatch):
    """Give a project with four tests, which say where they wrote.

    Its runs load no plugin that they do not need: there are many, and most of their time is that.
    """
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "xdist.plugin,pgherd.plugin")
    pytester.makeconftest(SUITE.replace("{name}", str(pytester.path)))
    pytester.makepyfile(test_things=TESTS)
    return pytester


class Local(NamedTuple):
    """A server with little room, which only talks TLS."""

    address: Address
    data: Path
    certificate: Path


@pytest.fixture(scope="module")
def local() -> Iterator[Local]:
    """Give a server for ten connections that accepts no other connection than over TLS."""
    with clusters.directory() as place:
        data = clusters.initialise(place)
        shutil.copytree(data, place / "copy" / "data")
        for path in (place / "copy", *(place / "copy").rglob("*")):
            clusters.give(path)
            if path.is_dir():
                path.chmod(0o700)
        key, certificate = place / "key", place / "certificate"
        request = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
        request += " -addext subjectAltName=DNS:localhost"
        subprocess.run(
            [*request.split(), "-keyout", key, "-out", certificate],
            check=True,
            capture_output=True,
        )
        key.chmod(0o600)
        clusters.give(key, certificate)
        with clusters.running(
            data, max_connections=10, ssl="on", ssl_cert_file=certificate, ssl_key_file=key
        ) as address:
            (data / "pg_hba.conf").write_text("hostssl all all all trust\n")
            with connections.maintenance(address) as link:
                link.cursor().execute("SELECT pg_reload_conf()")
            yield Local(replace(address, host="localhost"), data, certificate)


def test_who_may_not_create_databases_is_refused(role):
    """The message names the role, and the statement that gives it the right."""
    address = role("")
    assert refused(address) == (
        f"the role {address.user} may not create databases. "
        f"Have an administrator run: ALTER ROLE {address.user} CREATEDB"
    )


OLD = external.Facts("12.22", 12, "me", may_create=True, standby=False, read_only=False)


def test_too_old():
    """The message names both versions."""
    assert external.refusal(OLD) == (
        "it is PostgreSQL 12.22, and pgherd needs 13 or later. "
        "Upgrade it, or use the URL of another server"
    )
    assert external.refusal(OLD._replace(version="13.0", major=13)) is None


def test_a_server_that_is_too_old_is_refused(pg_server, link, monkeypatch):
    """The version is the server's own: where a later one is the oldest that will do, it is told."""
    monkeypatch.setattr(external, "_OLDEST", 99)
    told = f"it is PostgreSQL {connections.server_version(link)}"
    assert refused(pg_server, match="and pgherd needs 99 or later").startswith(told)


def test_read_only_transactions_are_refused(role, link):
    """The message says what to undo, or what to add to the URL, and that helps."""
    address = role("CREATEDB")
    link.cursor().execute(f"ALTER ROLE {address.user} SET default_transaction_read_only = on")
    told = refused(address)
    assert f"the transactions of the role {address.user} are read-only by default" in told
    added = told.rpartition("add to the URL: ")[2]
    with external.server(Options(url=url_of(address) + added), Run("x"), print) as server:
        assert server.description == "external"


def test_a_standby_is_refused(local):
    """The message asks for the primary."""
    data = local.data.parent / "copy" / "data"
    (data / "standby.signal").touch()
    with clusters.running(data) as standby:
        assert refused(standby) == (
            "it is a standby, on which nothing can be created. Use the URL of its primary"
        )


@pytest.mark.parametrize("mode", ["transaction", "statement"])
def test_a_pooler_that_splits_sessions_is_refused(pg_server, mode):
    """The message says which URL is needed."""
    with clusters.directory() as place, clusters.pooled(pg_server, place, mode) as pool:
        assert refused(pool) == (
            "a pooler in transaction mode (or statement mode) stands before it, so that no session "
            "has a backend of its own. Use the URL of the server itself, or of a pool in "
            "session mode"
        )


def test_a_pooler_in_session_mode_will_do(pg_server, link, suite):
    """A whole run goes through it, with a change of the schema, and leaves no clone."""
    with clusters.directory() as place, clusters.pooled(pg_server, place, "session") as pool:
        url = f"--pgherd-url={url_of(pool)}"
        suite.runpytest_subprocess("-n2", url).assert_outcomes(passed=4)
    assert clones(suite.path)
    assert not clones(suite.path) & set(owners(link))


def test_a_server_without_room_is_refused_before_the_run(local, suite):
    """One message with the number of workers that fits; no test is run; exit code 4."""
    result = suite.runpytest_subprocess("-n8", f"--pgherd-url={url_of(local.address)}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert (
        result.stdout.str().partition("short test summary")[0].count("which pgherd_url names") == 1
    )
    text = " ".join(result.stdout.str().split())
    assert "it has 7 connections left, and this run needs 34: 4 for each worker (8)" in text
    assert "Run with -n 1, or raise max_connections from 10 to 37" in text
    assert not clones(suite.path)


def test_the_number_of_workers_that_is_named_fits(local, suite):
    """The run that the message proposes passes on the same server."""
    result = suite.runpytest_subprocess("-n1", f"--pgherd-url={url_of(local.address)}")
    result.assert_outcomes(passed=4)


def test_the_limit_of_the_role_is_named(role):
    """A role may have fewer connections than the server."""
    address = role("CREATEDB CONNECTION LIMIT 9")
    assert f"raise the CONNECTION LIMIT of the role {address.user} from 9 to 10" in refused(
        address, 2
    )


def test_a_schema_with_more_locks_than_the_server_keeps_is_refused(local, suite):
    """Ten times 64 locks are not enough for 700 tables; nobody runs into it in a test."""
    many = "'; '.join(f'CREATE TABLE t{n} ()' for n in range(700))"
    conftest = suite.path / "conftest.py"
    conftest.write_text(
        conftest.read_text()
        .replace('"CREATE TABLE thing (id int)"', many)
        .replace("things of", "many of")
    )
    with_more = f"--pgherd-url={url_of(local.address)}"
    result = suite.runpytest_subprocess("-n0", with_more)
    text = " ".join(result.stdout.str().split())
    assert "the server has too few locks for this run: it has room for 640 locks" in text
    assert "Raise max_locks_per_transaction from 64 to 7" in text
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_tls_goes_through_every_connection(local, suite):
    """The server accepts nothing else, and is verified by its certificate and name."""
    parameters = (("sslmode", "verify-full"), ("sslrootcert", str(local.certificate)))
    url = url_of(replace(local.address, parameters=parameters))
    suite.makepyfile(
        test_tls="""
        import psycopg2
        import pytest

        ASK = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"

        @pytest.mark.parametrize("form", ["url", "dsn"])
        def test_tls(pg, form):
            link = psycopg2.connect(getattr(pg, form))
            run = link.cursor()
            run.execute(ASK)
            assert run.fetchall() == [(True,)]
            assert link.info.dsn_parameters["sslmode"] == "verify-full"
            link.close()
        """
    )
    suite.runpytest_subprocess("-n0", f"--pgherd-url={url}").assert_outcomes(passed=6)


def test_a_server_that_is_not_the_one_is_refused(local):
    """Where the certificate is of another name, no connection is made."""
    parameters = (("sslmode", "verify-full"), ("sslrootcert", str(local.certificate)))
    other = replace(local.address, host=clusters.HOST, parameters=parameters)
    assert "certificate" in refused(other, match="cannot be used")


def test_without_tls_there_is_no_connection(local):
    """What the test above relies on: the server turns others away."""
    refused(replace(local.address, parameters=(("sslmode", "disable"),)), match="no encryption")


@pytest.mark.parametrize("how", ["-n2", "-n0"])
def test_who_may_only_create_databases_can_run(role, link, suite, how):
    """A run makes its own databases, leaves the template, and nothing of another name."""
    before = set(owners(link))
    address = role("CREATEDB")
    suite.runpytest_subprocess(how, f"--pgherd-url={url_of(address)}").assert_outcomes(passed=4)
    left = {name for name, owner in owners(link).items() if owner == address.user}
    assert [naming.is_template(name) for name in left - before] == [True]
    assert not clones(suite.path) & left


def test_two_roles_do_not_share_what_they_make(role, pg_server, suite):
    """Of a database cloned from another role's template, the tables would be that role's."""
    for address in (pg_server, role("CREATEDB")):
        result = suite.runpytest_subprocess("-n0", f"--pgherd-url={url_of(address)}")
        result.assert_outcomes(passed=4)


def test_a_run_keeps_the_templates_that_it_uses(role, link):
    """Whoever sweeps finds them in use, from before they are built until the run has ended."""
    address = role("CREATEDB")
    name = naming.template(address.user, "used")
    with closing(Coordinator(Options(url=url_of(address)), print)) as owner:
        owner.server()
        assert owner.claim(name, "gw0")
        build(address, name)
        sweep.templates(address, keep=0)
        with connections.maintenance(address) as another:
            assert databases.own_templates(another) == {name: True}
        owner.settle(name, built=True)
    with connections.maintenance(address) as another:
        wait_until(lambda: not locks.is_held(another, naming.use_of(name)), 5)
        sweep.templates(address, keep=0)
        assert databases.own_templates(another) == {}


def test_a_run_that_built_a_template_drops_the_oldest(role, link):
    """There were five, and now there are five again."""
    address = role("CREATEDB")
    names = [naming.template(address.user, text) for text in "123456"]
    for name in names[:5]:
        build(address, name)
    with closing(Coordinator(Options(url=url_of(address)), print)) as owner:
        owner.server()
        owner.claim(names[5], "main")
        build(address, names[5])
        owner.settle(names[5], built=True)
        with connections.maintenance(address) as another:
            assert set(databases.own_templates(another)) == set(names[1:])


@pytest.fixture
def own() -> Iterator[Address]:
    """Give a server on which nobody else is."""
    with clusters.directory() as place, clusters.running(clusters.initialise(place)) as address:
        yield address


MONITOR = """
import sys, time
import psycopg2

first, seen, held = psycopg2.connect(sys.argv[1]), set(), []
first.autocommit = True
run = first.cursor()
while True:
    run.execute("SELECT datname, oid FROM pg_database WHERE datallowconn AND datname ~ '^pgherd_'")
    for name, oid in set(run.fetchall()) - seen:
        try:
            held.append(psycopg2.connect(sys.argv[1], dbname=name))
            seen.add((name, oid))
        except psycopg2.OperationalError:
            pass
    print(len(held), flush=True)
    time.sleep(0.005)
"""


@contextmanager
def monitored(server: Address) -> Iterator[None]:
    """Have somebody connect to each database of ours as soon as it is there, and stay."""
    dsn = server.database(server.maintenance).dsn
    with subprocess.Popen([sys.executable, "-c", MONITOR, dsn], stdout=subprocess.PIPE) as monitor:
        assert monitor.stdout.readline() == b"0\n"
        try:
            yield
        finally:
            monitor.kill()
            *_, last = monitor.communicate()[0].splitlines()
    assert int(last) > 0, "it found nothing to look at"


def test_who_looks_into_each_database_is_not_in_the_way(own, suite):
    """As programs do that monitor a server: templates are cloned, and clones replaced, as ever."""
    with monitored(own):
        result = suite.runpytest_subprocess("-n1", f"--pgherd-url={url_of(own)}")
    result.assert_outcomes(passed=4)


def test_who_may_not_end_the_connections_of_others_is_told(own, suite):
    """The message says which right is needed, and with it the same run passes."""
    with connections.maintenance(own) as link:
        link.cursor().execute('CREATE ROLE "may create" LOGIN CREATEDB; CREATE ROLE other LOGIN')
    url = f"--pgherd-url={url_of(replace(own, user='may create'))}"
    with monitored(replace(own, user="other")):
        told = " ".join(suite.runpytest_subprocess("-n1", url).stdout.str().split())
        grant = 'GRANT pg_signal_backend TO "may create"'
        assert "another role is connected to the database pgherd_template_" in told
        assert f"have an administrator run: {grant}" in told
        with connections.maintenance(own) as link:
            link.cursor().execute(grant)
        suite.runpytest_subprocess("-n1", url).assert_outcomes(passed=4)


def clones(path: Path) -> set[str]:
    """Read where the tests of a suite wrote."""
    told = path / "clones"
    return set(told.read_text().split()) if told.exists() else set()


def start(path: Path, how: str, server: Address, **environ: str) -> subprocess.Popen[Any]:
    """Begin a run of a suite."""
    command = [sys.executable, "-m", "pytest", "-q", "-pno:cacheprovider", how]
    return subprocess.Popen(
        [*command, f"--pgherd-url={url_of(server)}"],
        cwd=path,
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_eight_runs_at_once_and_one_is_killed(pg_server, link, run, empty, suite):
    """Seven are green, with one template; the dead one's clones go, and none of the living's.

    The URLs name two databases of the server, in turns.
    """
    other = replace(pg_server, maintenance=empty("maintenance").name)
    victim = start(suite.path, "-n1", other, VICTIM="1")
    hows = ["-n2", "-n0", "-n0", "-n2", "-n0", "-n0", "-n0"]
    servers = [pg_server, other] * 4
    runs = [start(suite.path, *each) for each in zip(hows, servers, strict=False)]
    until = time.monotonic() + 60
    while not (suite.path / "ready").exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    victim.send_signal(signal.SIGKILL)
    victim.communicate(timeout=20)
    told = [each.communicate(timeout=60)[0] for each in runs]
    assert [each.returncode for each in runs] == [0] * 7, told
    assert (suite.path / "applied").read_text() == "once "
    start(suite.path, "-n0", pg_server).communicate(timeout=60)
    assert len({naming.run_of(name) for name in clones(suite.path)}) == 9
    assert not clones(suite.path) & set(owners(link))
    assert f"pgherd_{run}_maintenance" in owners(link)
