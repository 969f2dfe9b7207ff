"""What the tests of containers need of a machine; without it they are skipped, but never in CI."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess

import pytest

AT_MOST = 300  # seconds; pulling an image


def need(*images: str, compose: bool = False) -> None:
    """Skip the test where no engine answers, or one of the images is not to be had."""
    if reason := missing(images, compose=compose):
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


@functools.cache
def missing(images: tuple[str, ...], *, compose: bool) -> str | None:
    """Say what this machine lacks."""
    if not shutil.which("docker"):
        return "needs the docker command"
    commands = [["docker", "version"], ["docker", "compose", "version"]]
    for command in commands if compose else commands[:1]:
        if wrong := _wrong_with(command):
            return f"needs `{' '.join(command)}` to work: {wrong}"
    for image in images:
        if _wrong_with(["docker", "image", "inspect", image]) and (
            wrong := _wrong_with(["docker", "pull", "--quiet", image])
        ):
            return f"needs the image {image}, which cannot be pulled: {wrong}"
    return None


def _wrong_with(command: list[str]) -> str:
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=AT_MOST)
    return ran.stderr.strip() if ran.returncode else ""
