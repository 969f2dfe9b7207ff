"""What pgherd tells the person who runs the tests, in the terminal."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def say(config: pytest.Config, text: str) -> None:
    """Write one line, also while a test is captured; nothing with `-q`."""
    terminal = config.pluginmanager.getplugin("terminalreporter")
    if terminal is None or config.get_verbosity() < 0:
        return
    capture = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture else nullcontext():
        terminal.ensure_newline()
        writer = config.get_terminal_writer()
        if writer.width_of_current_line:  # the dots of tests, of which the reporter knows nothing
            writer.line()
        writer.line(f"pgherd: {text}")
