"""The choice of the server: `auto` falls back to embedded, `docker` and `embedded` never change."""

from __future__ import annotations

import socket
import tempfile
import time

import pytest

from tests.pgherd.support import registry
from tests.pgherd.support.engine import need
from tests.pgherd.support.messages import TWO_TESTS, only_message

pytestmark = pytest.mark.slow

NO_BINARIES = """
from pgherd.servers.embedded import binaries
binaries._of_the_machine = binaries._of_the_wheel = lambda: iter(())
"""


@pytest.fixture
def auto(pytester, monkeypatch):
    """A suite that chooses no server, on a machine where no engine answers."""
    monkeypatch.delenv("PGHERD_IMAGE", raising=False)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{pytester.path}/none.sock")
    pytester.makepyfile(TWO_TESTS)
    return pytester


def test_auto_without_an_engine_is_embedded(auto):
    """If no engine answers, the tests run on an embedded server, and the report says why."""
    result = auto.runpytest_subprocess("-n2")
    result.assert_outcomes(passed=2)
    result.stdout.re_match_lines(
        [r"pgherd: embedded /.*, because no Docker engine answers \(PostgreSQL [\d.]+\) at 127\..*"]
    )


@pytest.mark.parametrize("image", ["pgherd.invalid/none:1", "No:Name"])
def test_auto_without_the_image_is_embedded(auto, monkeypatch, image):
    """If the engine cannot pull the image, the tests run on an embedded server."""
    monkeypatch.delenv("DOCKER_HOST")
    need()
    result = auto.runpytest_subprocess("-n0", f"--pgherd-image={image}")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines([f"*because the image {image} is not here and*"])


@pytest.mark.parametrize(("pieces", "breaks"), [(0, False), (10, False), (10, True)])
def test_auto_gives_up_a_pull_that_stops(auto, monkeypatch, pieces: int, breaks: bool):  # noqa: FBT001
    """If the registry sends nothing, stops, or breaks off, the tests run on an embedded server."""
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


def test_auto_gives_up_an_engine_that_hangs(auto, monkeypatch):
    """If the engine accepts a connection and never answers, the tests run on an embedded server."""
    with socket.socket(socket.AF_UNIX) as engine, tempfile.TemporaryDirectory() as directory:
        engine.bind(f"{directory}/s")
        engine.listen()
        monkeypatch.setenv("DOCKER_HOST", f"unix://{directory}/s")
        auto.makeconftest("from pgherd.servers.docker import engine\nengine.ANSWERS_WITHIN = 0.5")
        result = auto.runpytest_subprocess("-n0")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*because no Docker engine answers*"])


def test_auto_without_an_engine_and_binaries_names_three_remedies(auto):
    """If auto finds no server, one message names three remedies, although two workers ask."""
    auto.makeconftest(NO_BINARIES)
    text = only_message(auto.runpytest_subprocess("-n2", "--dist=each"))
    assert text.count("no Docker engine answers at") == 1
    assert "Start Docker" in text
    assert "--pgherd-url=postgresql://" in text
    assert "pip install 'pytest-pgherd[embedded]'" in text


def test_docker_never_becomes_embedded(auto):
    """If the user chooses docker and no engine answers, the run ends with a message."""
    text = only_message(auto.runpytest_subprocess("-n0", "--pgherd-server=docker"))
    assert "no Docker engine answers at" in text
    assert "pgherd: embedded" not in text


def test_embedded_without_binaries_names_the_package(auto):
    """If the user chooses embedded and there are no binaries, the message says what to install."""
    auto.makeconftest(NO_BINARIES)
    text = only_message(auto.runpytest_subprocess("-n0", "--pgherd-server=embedded"))
    assert "no PostgreSQL 13 or later is installed on this machine" in text
