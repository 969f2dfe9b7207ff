"""The option `settings`: settings of PostgreSQL for a server that pgherd starts."""

from __future__ import annotations

import pytest

from pgherd import UsageError
from pgherd.servers import tuning

pytestmark = pytest.mark.slow

TEST = """
def test_settings(pg):
    connection = pg.connect()
    cursor = connection.cursor()
    cursor.execute("SELECT current_setting('track_commit_timestamp'), current_setting('TimeZone'),"
                   " current_setting('wal_level'), current_setting('fsync')")
    assert cursor.fetchall() == [("on", "Europe/Berlin", "logical", "off")]
    connection.close()
"""
INI = """
[pytest]
pgherd_settings =
    track_commit_timestamp = on
    timezone = Europe/Berlin
    wal_level = logical
"""
TOML = """
[tool.pytest.ini_options]
pgherd_settings = ["track_commit_timestamp=on", "timezone=Europe/Berlin", "wal_level=logical"]
"""


@pytest.mark.parametrize("kind", ["docker", "embedded"])
@pytest.mark.parametrize(("name", "text"), [("pytest.ini", INI), ("pyproject.toml", TOML)])
def test_settings_of_an_ini_file_reach_the_server(pytester, kind: str, name: str, text: str):
    """The settings of the project win over those of pgherd, which keeps its others."""
    (pytester.path / name).write_text(text)
    pytester.makepyfile(TEST)
    pytester.runpytest_subprocess("-n0", f"--pgherd-server={kind}").assert_outcomes(passed=1)


def test_settings_of_the_environment_are_divided_by_semicolons(pytester, monkeypatch):
    """The environment has no lines, so a semicolon is between two settings."""
    value = "track_commit_timestamp=on; timezone=Europe/Berlin;wal_level=logical"
    monkeypatch.setenv("PGHERD_SETTINGS", value)
    pytester.makepyfile(TEST)
    pytester.runpytest_subprocess("-n0", "--pgherd-server=embedded").assert_outcomes(passed=1)


def test_an_unknown_setting_is_explained(pytester):
    """The message shows what PostgreSQL says of the setting."""
    pytester.makepyfile(TEST)
    result = pytester.runpytest_subprocess(
        "-n0", "--pgherd-server=embedded", "--pgherd-settings=no_such_setting=1"
    )
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stdout.fnmatch_lines(["*unrecognized configuration parameter*no_such_setting*"])


def test_an_external_server_keeps_its_settings(pytester, server):
    """A line says that the settings do not apply to a server that exists already."""
    pytester.makepyfile("def test_one(pg): pass")
    result = pytester.runpytest_subprocess("-n0", "--pgherd-settings=wal_level=logical")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["pgherd: pgherd_settings does not apply *: wal_level=logical"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("wal_level", "'wal_level', which is not name=value"),
        ("Wal Level=1", "'Wal Level=1', which is not name=value"),
        ("port=1", "cannot set port: pgherd chooses it"),
        ("listen_addresses=*", "cannot set listen_addresses"),
    ],
)
def test_a_wrong_setting_raises_an_error(text: str, message: str):
    """The error names the setting, and an example."""
    with pytest.raises(UsageError, match=message.replace("*", r"\*")):
        tuning.settings(1, text)
