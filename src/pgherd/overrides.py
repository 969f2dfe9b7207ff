"""Switch the template when another override of `pg_migrations` applies.

Each directory, module and class of a project may override that fixture.

pytest keeps a session fixture's value even where a directory overrides one of its dependencies.
Without this module, a test would get the database of another directory's migrations.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest


class Overrides:
    """The definitions of `pg_migrations` that were set up, and the template made from one of them.

    A definition is known by its `baseid`: the node id of the directory, file or class that has it.
    It applies to the tests below that. If several apply, the one with the longest `baseid` wins.
    """

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._node_id = ""
        self._in_force = ""
        self._finish_template: Callable[[], None] | None = None

    def test_begins(self, node_id: str) -> None:
        """Tear the template down if another definition applies, whose value pytest has cached."""
        self._node_id = node_id
        if self._nearest() != self._in_force:
            self._change()

    def fixture_set_up(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> None:
        """Follow the set-up of the fixtures `pg_migrations` and `pg_template`."""
        if fixturedef.argname == "pg_migrations":
            self._known.add(fixturedef.baseid)
            self._change()
        elif fixturedef.argname == "pg_template":
            self._finish_template = partial(fixturedef.finish, request)  # type: ignore[arg-type]

    def _change(self) -> None:
        """Tear down the template, and with it the fixtures that depend on it.

        pytest does the same when the parameter of a fixture changes: `FixtureDef.execute` and
        `FixtureDef.finish` in its src/_pytest/fixtures.py.
        """
        self._in_force = self._nearest()
        finish, self._finish_template = self._finish_template, None
        if finish is not None:
            finish()

    def _nearest(self) -> str:
        return max((each for each in self._known if self._applies(each)), key=len, default="")

    def _applies(self, base_id: str) -> bool:
        rest = self._node_id.removeprefix(base_id)
        return base_id == "" or (rest != self._node_id and rest.startswith(("/", "::")))
