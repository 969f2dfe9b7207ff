"""The errors and warnings of pgherd.

A message says what failed and its name, why, and what to do. The cause is chained.
"""

from __future__ import annotations

import os
import traceback
from pathlib import Path

PACKAGE = f"{Path(__file__).parent}{os.sep}"


class PgherdError(Exception):
    """The base of pgherd's own errors."""


class UsageError(PgherdError):
    """The configuration of pgherd, or a call of it, is wrong."""


class ServerError(PgherdError):
    """There is no server, or it cannot do what the run needs."""


class NotHereError(ServerError):
    """This machine cannot run this kind of server; another kind may work.

    Args:
        message: what failed, and what to do.
        short: the reason in a few words.
    """

    def __init__(self, message: str, short: str = "") -> None:
        super().__init__(message)
        self.short = short


class LeftBehindWarning(UserWarning):
    """A test left something behind, such as an open transaction, and pgherd ended it."""


class MigrationError(PgherdError):
    """The project's migrations failed, so there is no template."""

    @classmethod
    def caused_by(cls, error: BaseException) -> MigrationError:
        """Wrap an exception of the migrations: its traceback, without the frames of pgherd."""
        trace = traceback.TracebackException.from_exception(error)
        each: traceback.TracebackException | None = trace
        while each is not None:
            kept = [frame for frame in each.stack if not frame.filename.startswith(PACKAGE)]
            each.stack = traceback.StackSummary.from_list(kept)
            each = each.__cause__ or each.__context__
        return cls(
            "the migrations failed, so there is no template to clone from. "
            f"Correct this and run again:\n\n{''.join(trace.format())}"
        )
