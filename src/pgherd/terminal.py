"""Lines that pgherd shows in the terminal."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def write_line(config: pytest.Config, text: str) -> None:
    """Write one line, even while a test's output is captured; write nothing with `-q`."""
    reporter = config.pluginmanager.getplugin("terminalreporter")
    if reporter is None or config.get_verbosity() < 0:
        return
    capture = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture else nullcontext():
        reporter.ensure_newline()
        writer = config.get_terminal_writer()
        # ensure_newline() may miss progress dots, as under xdist, so check the width of the line.
        if writer.width_of_current_line:
            writer.line()
        writer.line(f"pgherd: {text}")
