"""Follow the project's fixtures that decide about the database, and switch it when they change.

Each directory, module and class of a project may override `pg_migrations`, or a fixture that it
depends on. pytest keeps the value of a session fixture all the same. Without this module, a test
would get the database of another directory's migrations.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

_OWN = {"pg", "pg_database", "pg_factory", "pg_disconnect", "_pg_prefetched", "_pg_worker_database"}


class Overrides:
    """The definitions of fixtures that were set up, and which of them apply to the running test.

    A definition is known by its name and its `baseid`: the node id of the directory, file or class
    that has it. It applies to the tests below that. If several of one name apply, the one with the
    longest `baseid` wins.

    Args:
        before_change: a function to call before the worker's database is torn down.
    """

    def __init__(self, before_change: Callable[[], None]) -> None:
        self._before_change = before_change
        self._known: dict[str, set[str]] = {}
        self._requests: dict[str, set[str]] = {}
        """The names of the fixtures that each fixture requests."""
        self._node_id = ""
        self._parametrized = False
        self._in_force: object = None
        self._finishers: dict[str, list[Callable[[], None]]] = {}

    def test_begins(self, item: pytest.Item) -> None:
        """Tear the template down if other definitions apply than before.

        If pytest has cached their values, it does not call `fixture_set_up`.
        """
        self._node_id = item.nodeid
        callspec = getattr(item, "callspec", None)
        self._parametrized = callspec is not None and "pg_migrations" in callspec.params
        if self._in_force not in (None, self._applying()):
            self._finish("pg_migrations")
            self._finish("pg_template")

    def fixture_set_up(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> None:
        """Record a fixture; tear down what was made from another definition of it.

        pytest does the same when the parameter of a fixture changes: `FixtureDef.execute` and
        `FixtureDef.finish` in its src/_pytest/fixtures.py.
        """
        name = fixturedef.argname
        self._known.setdefault(name, set()).add(fixturedef.baseid)
        self._requests.setdefault(name, set()).update(fixturedef.argnames)
        if name == "pg_migrations":
            self._finish("pg_template")
        elif name in self.requested_by("pg_migrations"):
            self._finish("pg_migrations")
            self._finish("pg_template")
        if name in {"pg_migrations", "pg_template"}:
            finish = partial(fixturedef.finish, request)  # type: ignore[arg-type]
            self._finishers.setdefault(name, []).append(finish)
            self._in_force = self._applying()

    def requested_by(self, name: str) -> set[str]:
        """Return the names of the fixtures that a fixture requests, directly or through others."""
        found: set[str] = set()
        todo = [name]
        while todo:
            new = self._requests.get(todo.pop(), set()) - found
            found |= new
            todo += new
        return found

    def may_write(self, name: str) -> bool:
        """Whether a fixture of the project has the worker's database, and may write to it."""
        return name not in _OWN and "pg_database" in self.requested_by(name)

    def _finish(self, name: str) -> None:
        try:
            if name in self._finishers:
                self._before_change()
        finally:  # an error of the project must not leave another definition's database in place
            for finish in self._finishers.pop(name, []):
                finish()

    def _applying(self) -> object:
        """Return the definitions that apply to the running test, of those that are known."""
        names = {"pg_migrations", *self.requested_by("pg_migrations")}
        bases = {name: self._nearest(name) for name in names if name in self._known}
        return bases, self._parametrized

    def _nearest(self, name: str) -> str:
        return max((each for each in self._known[name] if self._applies(each)), key=len, default="")

    def _applies(self, base_id: str) -> bool:
        rest = self._node_id.removeprefix(base_id)
        return base_id == "" or (rest != self._node_id and rest.startswith(("/", "::")))
