"""What the tests of containers need: the engine, compose and images."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess

import pytest

TIMEOUT = 300
"""How long the pull of an image may take, in seconds."""


def need(*images: str, compose: bool = False) -> None:
    """Skip the test if no engine answers or an image is missing. In CI, the test fails instead."""
    if reason := missing(images, compose=compose):
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


@functools.cache
def missing(images: tuple[str, ...], *, compose: bool) -> str | None:
    """Return what this machine lacks, or None."""
    if not shutil.which("docker"):
        return "needs the docker command"
    commands = [["docker", "version"], ["docker", "compose", "version"]]
    for command in commands if compose else commands[:1]:
        if error := _error_of(command):
            return f"needs `{' '.join(command)}` to work: {error}"
    for image in images:
        if _error_of(["docker", "image", "inspect", image]) and (
            error := _error_of(["docker", "pull", "--quiet", image])
        ):
            return f"needs the image {image}, which cannot be pulled: {error}"
    return None


def _error_of(command: list[str]) -> str:
    """Run a command, and return its error output if it fails, else an empty text."""
    finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT)
    return finished.stderr.strip() if finished.returncode else ""
