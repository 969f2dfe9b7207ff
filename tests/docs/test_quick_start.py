"""The quick start of the README, followed word for word in an empty folder."""

from __future__ import annotations

import re
import shlex
import subprocess

import pytest

from tests.docs import markdown

pytestmark = pytest.mark.slow

STEPS = [each for each in markdown.blocks(markdown.README) if each.section == "Quick start"]
SERVER = re.compile(r"pgherd: .+ \(PostgreSQL [\d.]+\) at [\w.:]+, ready in [\d.]+ s")


def shape(line: str) -> str:
    """Remove times and addresses from a line of pytest's output."""
    line = re.sub(r" in [\d.]+s", "", line).strip("= ")
    return "pgherd: the server" if SERVER.match(line) else line


def test_quick_start_prints_what_it_says(tmp_path):
    """The files are written, the command is run, and every printed line of the README appears."""
    for name, text in markdown.files(STEPS).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    install, command = (each.text.strip() for each in STEPS if each.language == "sh")
    _, printed = (each.text.strip() for each in STEPS if each.language == "text")
    assert install == "pip install 'pytest-pgherd[embedded]' pytest-xdist"
    assert command == "pytest -n 4"
    done = subprocess.run(
        shlex.split(command),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [shape(line) for line in done.stdout.splitlines()]
    assert [line for line in map(shape, printed.splitlines()) if line not in lines] == []
    assert lines[-1] == "4 passed"


def test_quick_start_draws_its_files():
    """The tree of files has exactly the files that the blocks make."""
    tree = next(each.text for each in STEPS if each.language == "text")
    drawn = {name for name in re.findall(r"─ (\S+)$", tree, re.MULTILINE) if "." in name}
    assert drawn == {name.rpartition("/")[2] for name in markdown.files(STEPS)}
