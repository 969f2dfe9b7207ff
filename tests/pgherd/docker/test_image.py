"""The image: how long a run waits for it, and what happens if there is none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from pgherd.servers.docker import image as docker_image
from tests.pgherd.support import registry
from tests.pgherd.support.messages import TWO_TESTS, only_message

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("how", ["-n0", "-n2"])
def test_image_that_does_not_exist_is_named(pytester, how):
    """If the engine cannot pull the image, one message names the image and says why."""
    pytester.makepyfile(TWO_TESTS)
    text = only_message(
        pytester.runpytest_subprocess(how, "--dist=each", "--pgherd-image=pgherd.invalid/none:1")
    )
    assert text.count("the image 'pgherd.invalid/none:1' is not on this machine") == 1
    assert "--pgherd-image" in text


def test_pull_may_take_long_if_it_makes_progress(monkeypatch, engine):
    """A pull may take longer than the limit for each piece, and one line says what is pulled."""
    monkeypatch.setattr(docker_image, "PROGRESS_WITHIN", 2.5)
    lines = []
    with registry.serving(registry.Image(every=0.2, pieces=20)) as image:
        began = time.monotonic()
        docker_image.provide(engine, image, lines.append)
        assert time.monotonic() - began > 2.5
        engine.images.remove(image)
    assert lines == [f"pulling {image}, which is not on this machine yet"]


# By default, the owner waits five seconds for its workers, and five seconds for its server.
END_SOON = """
from pgherd.run import coordinator, transport
coordinator._STARTED_WITHIN = transport._LEASES_END_WITHIN = 0.5
"""


def test_interrupt_ends_a_long_pull(pytester):
    """Ctrl-C ends a run during the pull, although its workers wait for the server."""
    pytester.makeconftest(END_SOON)
    pytester.makepyfile(TWO_TESTS)
    with (
        registry.serving(registry.Image(every=4, pieces=20)) as image,
        subprocess.Popen(
            [sys.executable, "-m", "pytest", "-n1", f"--pgherd-image={image}"],
            cwd=pytester.path,
            stdout=subprocess.PIPE,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
            start_new_session=True,
            text=True,
        ) as process,
    ):
        while "pulling" not in process.stdout.readline():
            assert process.poll() is None
        began = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert time.monotonic() - began < 30  # the pull takes 80
