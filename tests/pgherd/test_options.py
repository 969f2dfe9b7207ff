"""The options: one declaration, three places to set them."""

from __future__ import annotations

import pytest

from pgherd import UsageError, options


def read(flag: str | None = None, variable: str | None = None, ini: str = "ini:1"):
    """Read the image from up to three places; the other options have their defaults."""
    environ = {} if variable is None else {"PGHERD_IMAGE": variable}
    defaults = {option.ini: option.default for option in options.declared()}
    return options.read(
        {"pgherd_image": flag}.get, environ, {**defaults, "pgherd_image": ini}.__getitem__
    )


def test_flag_comes_first():
    """A flag overrides the environment variable and the ini file."""
    assert read(flag="flag:1", variable="variable:1").image == "flag:1"


def test_environment_variable_comes_second():
    """An environment variable overrides the ini file."""
    assert read(variable="variable:1").image == "variable:1"


def test_ini_file_comes_third():
    """If neither a flag nor a variable sets an option, the ini file does."""
    assert read().image == "ini:1"


def test_empty_variable_counts_as_not_set():
    """An empty variable, which a compose file can set, does not override the ini file."""
    assert read(variable="").image == "ini:1"


def test_space_around_a_value_is_removed():
    """A value that was read from a file may end with a line break, which is removed."""
    assert read(variable=" variable:1\n").image == "variable:1"


def test_options_have_defaults():
    """Without any setting, pgherd chooses the server, and a container runs postgres:17."""
    chosen = options.Options()
    assert (chosen.server, chosen.image, chosen.url) == ("auto", "postgres:17", "")


def test_option_has_three_names():
    """The flag, the variable and the ini name of an option follow one pattern."""
    names = {(option.flag, option.variable, option.ini) for option in options.declared()}
    assert ("--pgherd-image", "PGHERD_IMAGE", "pgherd_image") in names


@pytest.mark.parametrize("place", ["flag", "environment", "ini"])
def test_invalid_choice_raises_an_error(place: str):
    """The error names the invalid choice and the valid ones, wherever the choice was set."""
    flag = {"pgherd_server": "podman" if place == "flag" else None}
    environ = {"PGHERD_SERVER": "podman"} if place == "environment" else {}
    ini = {option.ini: option.default for option in options.declared()}
    if place == "ini":
        ini["pgherd_server"] = "podman"
    with pytest.raises(UsageError, match="pgherd_server is 'podman'; choose one of: auto, "):
        options.read(flag.get, environ, ini.__getitem__)


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Write a project with one test, and unset pgherd's environment variables."""
    for option in options.declared():
        monkeypatch.delenv(option.variable, raising=False)
    pytester.makepyfile("def test_one(): pass")
    return pytester


def test_invalid_choice_ends_the_run(project: pytest.Pytester):
    """An invalid choice ends pytest with one line, without a traceback, and with exit code 4."""
    result = project.runpytest_subprocess("--pgherd-server=podman")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: pgherd: pgherd_server is 'podman'; choose one of: auto, docker, *"]
    )
    assert "Traceback" not in result.stderr.str() + result.stdout.str()


def test_pytest_reads_flag_variable_and_ini_file(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
):
    """In a real run, too, a flag overrides the variable, and the variable the ini file."""
    project.makeini("[pytest]\npgherd_server = from-ini-file")
    monkeypatch.setenv("PGHERD_SERVER", "from-environment")
    project.runpytest_subprocess().stderr.fnmatch_lines(["*is 'from-environment'*"])
    monkeypatch.delenv("PGHERD_SERVER")
    project.runpytest_subprocess().stderr.fnmatch_lines(["*is 'from-ini-file'*"])
    assert project.runpytest_subprocess("--pgherd-server=docker").ret == pytest.ExitCode.OK


def test_help_describes_each_option(project: pytest.Pytester):
    """`--help` shows what an option does, its default and its environment variable."""
    text = " ".join(project.runpytest_subprocess("--help").stdout.str().split())
    assert (
        "--pgherd-image=PGHERD_IMAGE the image that the docker server runs "
        "(default: postgres:17; environment: PGHERD_IMAGE)"
    ) in text
    assert "(default: none; environment: PGHERD_URL)" in text
