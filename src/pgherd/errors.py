"""What can go wrong, as the person who runs the tests should read it.

A message says what failed, names the object, and says what to do; the cause is chained.
"""

from __future__ import annotations

import traceback
from pathlib import Path

PACKAGE = str(Path(__file__).parent)


class PgherdError(Exception):
    """The base of every error that pgherd raises."""


class UsageError(PgherdError):
    """pgherd was configured, or called, in a way that cannot be meant."""


class ServerError(PgherdError):
    """The server cannot be had, or does not do what the run needs."""


class NotHereError(ServerError):
    """This kind of server cannot be had here, and another kind may.

    Args:
        message: what failed, and what to do.
        short: why, in a few words.
    """

    def __init__(self, message: str, short: str = "") -> None:
        super().__init__(message)
        self.short = short


class LeftBehindWarning(UserWarning):
    """A test left what would block the reset, such as an open transaction; it was ended."""


class MigrationError(PgherdError):
    """The template could not be built, because the project's migrations failed."""

    @classmethod
    def caused_by(cls, error: BaseException) -> MigrationError:
        """Wrap what the migrations raised, with their own traceback and without our frames."""
        told = traceback.TracebackException.from_exception(error)
        each: traceback.TracebackException | None = told
        while each is not None:
            kept = [frame for frame in each.stack if not frame.filename.startswith(PACKAGE)]
            each.stack = traceback.StackSummary.from_list(kept)
            each = each.__cause__ or each.__context__
        return cls(
            "the migrations failed, so there is no template to clone from. "
            f"Mend this and run again:\n\n{''.join(told.format())}"
        )
