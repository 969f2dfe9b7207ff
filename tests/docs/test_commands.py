"""The commands and settings of the documentation: they name only what exists."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from pgherd import options
from tests.docs.markdown import ROOT, all_blocks, blocks

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

OPTIONS = list(options.declared())
SHELL = {block.text: block for block in all_blocks("sh")}
DROP_TEMPLATES = next(text for text in SHELL if "<<'SQL'" in text)
LINES = sorted(
    {line for text in SHELL if text != DROP_TEMPLATES for line in text.strip().splitlines()}
)


@pytest.mark.parametrize("line", LINES)
def test_command_names_what_exists(line: str, pytester):
    """Each command of a shell block is one that we know how to check, and it passes."""
    program, *arguments = shlex.split(line)
    {
        "docker": check_compose,
        "export": check_export,
        "make": check_make,
        "pip": check_pip,
        "pytest": pytester.parseconfig,  # an option that does not exist raises an error
        "python": check_python,
        "sudo": check_script,
    }[program](*arguments)


def check_compose(compose: str, command: str, *arguments: str) -> None:
    """Check `docker compose`: the service is in the compose file."""
    assert (compose, command) in {("compose", "run"), ("compose", "down")}
    services = yaml.safe_load((ROOT / "docker-compose.test.yml").read_text())["services"]
    assert not arguments or (arguments[0] == "--rm" and arguments[1] in services)


def check_export(assignment: str) -> None:
    """Check `export`: the variable is one of ours."""
    assert assignment.partition("=")[0] in {option.variable for option in OPTIONS}


def check_make(target: str) -> None:
    """Check `make`: the target is in the Makefile."""
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def check_pip(install: str, *requirements: str) -> None:
    """Check `pip install`: the packages are ours or pytest-xdist, and the extras are declared."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert install == "install"
    for each in map(Requirement, requirements):
        assert each.name in {project["name"], "pytest-xdist"}
        assert each.extras <= set(project["optional-dependencies"])


def check_python(option: str, module: str, *_: str) -> None:
    """Check `python -m`: the module is installed."""
    assert option == "-m"
    assert find_spec(module)


def check_script(script: str, *images: str) -> None:
    """Check a script of this repository: it can be run, and knows the images."""
    assert os.access(ROOT / script, os.X_OK)
    assert all(image in (ROOT / script).read_text() for image in images)


def test_templates_are_dropped_as_the_page_says(pytester):
    """The psql script of the page on servers drops the templates of a server of its own."""
    (pytester.path / "drop.sh").write_text(DROP_TEMPLATES)
    pytester.makepyfile(
        """
        import os
        import subprocess

        COUNT = "SELECT count(*) FROM pg_database WHERE datname LIKE 'pgherd_template_%'"

        def count(server):
            connection = server.database("postgres").connect()
            try:
                with connection.cursor() as cursor:
                    cursor.execute(COUNT)
                    return cursor.fetchone()[0]
            finally:
                connection.close()

        def test_drop(pg_server, pg_template):
            assert count(pg_server) == 1
            where = {
                "PGHOST": pg_server.host,
                "PGPORT": str(pg_server.port),
                "PGUSER": pg_server.user,
                "PGPASSWORD": pg_server.password,
            }
            subprocess.run(["sh", "drop.sh"], check=True, env=os.environ | where)
            assert count(pg_server) == 0
        """
    )
    result = pytester.runpytest_subprocess("--pgherd-server=embedded", timeout=60)
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize("block", all_blocks("toml", "ini"), ids=lambda block: block.page)
def test_settings_are_options(block):
    """Each ini file of the documentation can be read, and sets options that there are."""
    if block.language == "toml":
        settings = tomllib.loads(block.text)["tool"]["pytest"]["ini_options"]
    else:
        ini = configparser.ConfigParser()
        ini.read_string(block.text)
        settings = dict(ini["pytest"])
    assert settings
    assert set(settings) <= {option.ini for option in OPTIONS}


def test_every_option_is_listed():
    """The table of the page on options has each option under its three names, and its default."""
    text = (ROOT / "docs" / "options.md").read_text(encoding="utf-8")
    rows = [line.split(" | ")[:4] for line in text.splitlines() if line.startswith("| `--")]
    assert [[cell.strip("|` ") for cell in row] for row in rows] == [
        [option.flag, option.variable, option.ini, option.default or "none"] for option in OPTIONS
    ]


def test_no_password_is_an_argument():
    """Other users can read the arguments of a program, so no example has a URL among them."""
    lines = [line for text in SHELL for line in text.splitlines() if "postgresql://" in line]
    assert lines
    assert all(line.startswith("export ") for line in lines)


def test_every_page_is_checked():
    """Each block has a language that one of these tests looks at."""
    languages = {
        block.language for path in Path(ROOT / "docs").glob("*.md") for block in blocks(path)
    }
    assert languages <= {"python", "sh", "ini", "toml", "sql", "text"}
