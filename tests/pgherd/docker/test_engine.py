"""The engine: how a run finds out that there is none."""

from __future__ import annotations

import os
import pwd

import pytest

from pgherd.errors import NotHereError
from pgherd.servers.docker import engine as docker_engine
from tests.pgherd.support import users
from tests.pgherd.support.messages import TWO_TESTS, only_message

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _docker(monkeypatch):
    """Choose the container, although these tests need no engine."""
    monkeypatch.setenv("PGHERD_SERVER", "docker")


@pytest.fixture
def public_directory():
    """A directory that every user can enter."""
    with users.public_directory() as directory:
        yield directory


@pytest.mark.parametrize("how", ["-n0", "-n2"])
def test_run_without_an_engine_gets_one_message(pytester, monkeypatch, how):
    """If no engine answers, one message says so and names the alternatives."""
    pytester.makepyfile(TWO_TESTS)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{pytester.path}/none.sock")
    text = only_message(pytester.runpytest_subprocess(how, "--dist=each"))
    address = f"unix://{pytester.path}/none.sock"
    assert f"no Docker engine answers at {address} (No such file or directory). Start" in text
    assert text.count("existing server: --pgherd-url=postgresql://") == 1


def test_quick_check_accepts_an_engine_elsewhere(monkeypatch, public_directory):
    """The quick check raises only for a Unix socket, not for DOCKER_HOST=tcp://… or a context."""
    check = docker_engine._check_usual_socket  # noqa: SLF001
    monkeypatch.setenv("HOME", str(public_directory))
    for name in ("DOCKER_CONTEXT", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(docker_engine, "_USUAL_SOCKET", f"unix://{public_directory}/none")
    for host in ("tcp://127.0.0.1:1", "ssh://a@b", "npipe:////./pipe/docker_engine"):
        monkeypatch.setenv("DOCKER_HOST", host)
        check()
    monkeypatch.setenv("DOCKER_HOST", "")
    with pytest.raises(NotHereError, match="no Docker engine answers at its usual socket"):
        check()
    (public_directory / ".docker").mkdir()
    (public_directory / ".docker/config.json").write_text("{}")
    check()


@users.needs_root
def test_quick_check_ignores_a_home_that_it_cannot_read(monkeypatch, public_directory):
    """If HOME is another user's private home, the error is about the engine, not about the home."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{public_directory}/none")
    monkeypatch.setenv("HOME", str(public_directory / "home"))
    (public_directory / "home").mkdir(mode=0o700)
    os.seteuid(pwd.getpwnam("nobody").pw_uid)
    try:
        with pytest.raises(NotHereError, match="no Docker engine answers"):
            docker_engine._check_usual_socket()  # noqa: SLF001
    finally:
        os.seteuid(0)
