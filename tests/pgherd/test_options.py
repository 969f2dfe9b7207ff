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


def test_the_command_line_wins():
    """A flag wins over the environment and the ini file."""
    assert read(flag="flag:1", variable="variable:1").image == "flag:1"


def test_the_environment_comes_second():
    """A variable wins over the ini file."""
    assert read(variable="variable:1").image == "variable:1"


def test_the_ini_file_comes_third():
    """What neither a flag nor a variable sets is read from the ini file."""
    assert read().image == "ini:1"


def test_an_empty_variable_is_not_set():
    """A variable that is set to nothing, as a compose file may do, counts as not set."""
    assert read(variable="").image == "ini:1"


def test_space_around_a_value_is_none_of_it():
    """What a file says ends with its line, as a secret's does that was made by echo."""
    assert read(variable=" variable:1\n").image == "variable:1"


def test_defaults():
    """Nothing has to be set: a container of postgres:17, unless a URL is given."""
    chosen = options.Options()
    assert (chosen.server, chosen.image, chosen.url) == ("auto", "postgres:17", "")


def test_one_option_has_three_names():
    """An option is named alike on the command line, in the environment and in an ini file."""
    names = {(option.flag, option.variable, option.ini) for option in options.declared()}
    assert ("--pgherd-image", "PGHERD_IMAGE", "pgherd_image") in names


@pytest.mark.parametrize("place", ["flag", "environment", "ini"])
def test_a_bad_choice_is_told(place: str):
    """Wherever it comes from, a bad choice is told with those that are possible."""
    flag = {"pgherd_server": "podman" if place == "flag" else None}
    environ = {"PGHERD_SERVER": "podman"} if place == "environment" else {}
    ini = {option.ini: option.default for option in options.declared()}
    if place == "ini":
        ini["pgherd_server"] = "podman"
    with pytest.raises(UsageError, match="pgherd_server is 'podman'; choose one of: auto, "):
        options.read(flag.get, environ, ini.__getitem__)


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Give a project with one test, and an environment without our variables."""
    for option in options.declared():
        monkeypatch.delenv(option.variable, raising=False)
    pytester.makepyfile("def test_one(): pass")
    return pytester


def test_a_bad_choice_ends_the_run(project: pytest.Pytester):
    """A bad choice is one line on the command line, without a traceback: exit code 4."""
    result = project.runpytest_subprocess("--pgherd-server=podman")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: pgherd: pgherd_server is 'podman'; choose one of: auto, docker, *"]
    )
    assert "Traceback" not in result.stderr.str() + result.stdout.str()


def test_pytest_reads_all_three_places(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    """In a real run, too, a flag hides the variable, and the variable what the ini file says."""
    project.makeini("[pytest]\npgherd_server = of-the-ini-file")
    monkeypatch.setenv("PGHERD_SERVER", "of-the-environment")
    project.runpytest_subprocess().stderr.fnmatch_lines(["*is 'of-the-environment'*"])
    monkeypatch.delenv("PGHERD_SERVER")
    project.runpytest_subprocess().stderr.fnmatch_lines(["*is 'of-the-ini-file'*"])
    assert project.runpytest_subprocess("--pgherd-server=docker").ret == pytest.ExitCode.OK


def test_help_tells_each_option(project: pytest.Pytester):
    """`--help` tells what an option does, its default and its variable."""
    told = " ".join(project.runpytest_subprocess("--help").stdout.str().split())
    assert (
        "--pgherd-image=PGHERD_IMAGE the image that the docker server runs "
        "(default: postgres:17; environment: PGHERD_IMAGE)"
    ) in told
    assert "(default: none; environment: PGHERD_URL)" in told
