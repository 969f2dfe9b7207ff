"""The decorator `with_test_db`: models bound to the worker's clone, their tables there and empty.

Tables that the template does not have are created for the call, and dropped after it. What that
changes in the schema is no reason to replace the clone, so the notes of it are taken back with it.
"""

from __future__ import annotations

import inspect
import logging
import unittest
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import peewee

from pgherd import current
from pgherd.binding import disconnect, kind_of, point
from pgherd.errors import UsageError
from pgherd.naming import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    Model = type[peewee.Model]

log = logging.getLogger("pgherd")

T = TypeVar("T")

_THERE = """
SELECT name FROM unnest(%s::text[]) AS name WHERE to_regclass(name) IS NOT NULL
"""
# No trigger of the project has a say in it, where we may forbid it.
_SILENTLY = """
SELECT set_config('session_replication_role', 'replica', true)
WHERE current_setting('is_superuser') = 'on'
"""
_TRANSACTION = "SELECT pg_current_xact_id()::xid::text"
_TAKE_BACK = f"DELETE FROM {SCHEMA}.noted WHERE xmin::text = ANY (%s)"  # noqa: S608 (a constant)
_PATIENCE = "SET LOCAL lock_timeout = 500"


def with_test_db(models: Sequence[Model]) -> Callable[[T], T]:
    """Run a test with these models bound to the worker's clone, their tables there and empty.

    For functions, async ones too, and classes: each test method of a class, with its `setUp` where
    it is a `unittest.TestCase`. The test gets the fixture `pg` without naming it.

    A table that the template has is used as it is, after its rows were removed, and with them those
    that refer to them; the reset brings them back. Another is created, and dropped after the test.
    So are the tables that these models refer to, but they are not emptied. The models that are
    related to these are bound, too.

    Args:
        models: whose tables the test needs.

    Raises:
        UsageError: it was given no sequence of models.
    """
    if isinstance(models, type) or callable(models):  # to go through a model would ask its database
        raise UsageError("with_test_db takes a sequence of models: @with_test_db((User, UserRole))")
    listed = tuple(models)

    def decorate(target: Any) -> Any:
        if not isinstance(target, type):
            return _function(target, listed)
        if issubclass(target, unittest.TestCase):
            target.run = _function(target.run, listed)  # type: ignore[method-assign]
        else:
            _methods(target, listed)
        setattr(target, current.ASKS, True)
        return target

    return decorate


def _methods(target: type, listed: tuple[Model, ...]) -> None:
    for name in dir(target):
        method = inspect.getattr_static(target, name)
        if not name.startswith("test"):
            continue
        if isinstance(method, (staticmethod, classmethod)):
            setattr(target, name, type(method)(_function(method.__func__, listed)))
        elif inspect.isfunction(method):
            setattr(target, name, _function(method, listed))


def _function(function: Callable[..., Any], listed: tuple[Model, ...]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(function):

        @wraps(function)
        async def call(*args: Any, **kwargs: Any) -> Any:
            with _tables(listed, function.__qualname__):
                return await function(*args, **kwargs)
    else:

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with _tables(listed, function.__qualname__):
                return function(*args, **kwargs)

    setattr(call, current.ASKS, True)
    return call


@contextmanager
def _tables(listed: tuple[Model, ...], user: str) -> Iterator[None]:
    clone = current.database()
    if clone is None:
        raise UsageError(
            f"with_test_db has no database for {user}. If the plugin pgherd is switched off "
            "(-p no:pgherd, or PYTEST_DISABLE_PLUGIN_AUTOLOAD), switch it on (-p pgherd.plugin); "
            "if this is not a test but called by one, let the test ask for the fixture pg"
        )
    database = kind_of(listed[0]._meta.database if listed else None)(None)  # noqa: SLF001
    point(database, clone)
    try:
        with _bound(_related(listed), database):
            made, transaction = _prepare(database, listed)
            try:
                yield
            finally:
                _drop(database, made, transaction)
    finally:
        disconnect(database)


def _prepare(database: Any, listed: tuple[Model, ...]) -> tuple[list[Model], str]:
    """Have the tables there and empty; give those that were made, and by which transaction."""
    wanted = _with_references(listed)
    with database.atomic():
        names = [_name(model) for model in wanted]
        there = {name for (name,) in database.execute_sql(_THERE, [names])}
        missing = [model for model in wanted if _name(model) not in there]
        _empty(database, [model for model in listed if model not in missing])
        if not missing:
            return [], ""
        database.create_tables(missing)
        ((transaction,),) = database.execute_sql(_TRANSACTION)
        return missing, transaction


def _empty(database: Any, models: Collection[Model]) -> None:
    """Remove all rows, and let numbers begin anew, as in a table that was just created."""
    filled = [_name(model) for model in models if model.select().exists()]
    if filled:
        database.execute_sql(_SILENTLY)
        database.execute_sql(f"TRUNCATE {', '.join(filled)} RESTART IDENTITY CASCADE")


def _drop(database: Any, made: list[Model], transaction: str) -> None:
    """Drop what was made. Where it fails, the notes of it stay, and the clone is replaced."""
    if not made:
        return
    try:
        if database.in_transaction():
            disconnect(database)
        # The test may have set a search path or a role, under which these would be other tables.
        database.execute_sql("DISCARD ALL")
        with database.atomic():
            database.execute_sql(_PATIENCE)
            database.drop_tables(made, cascade=True)
            ((noted,),) = database.execute_sql("SELECT to_regclass(%s)", [f"{SCHEMA}.noted"])
            if noted:
                ((dropping,),) = database.execute_sql(_TRANSACTION)
                database.execute_sql(_TAKE_BACK, [[transaction, dropping]])
    except peewee.PeeweeException:
        log.debug("the tables of with_test_db could not be dropped", exc_info=True)


@contextmanager
def _bound(models: Collection[Model], database: peewee.Database) -> Iterator[None]:
    """Bind models, and give each its own database back: `bind_ctx` gives all the same one back."""
    before = {model: model._meta.database for model in models}  # noqa: SLF001
    try:
        for model in models:
            model._meta.set_database(database)  # noqa: SLF001 (Peewee's documented place for it)
        yield
    finally:
        for model, own in before.items():
            model._meta.set_database(own)  # noqa: SLF001


def _related(models: Collection[Model]) -> set[Model]:
    """Give the models, and all that refer to them or are referred to, as `bind_ctx` does."""
    return {
        related
        for model in models
        for _, related, _ in model._meta.model_graph()  # noqa: SLF001
    }


def _with_references(models: Collection[Model]) -> list[Model]:
    """Give the models and all that they refer to, these first."""
    found = set(models)
    todo = list(models)
    while todo:
        new = set(todo.pop()._meta.refs.values()) - found  # noqa: SLF001
        found |= new
        todo += new
    return list(peewee.sort_models(found))  # type: ignore[attr-defined]


def _name(model: Model) -> str:
    meta = model._meta  # noqa: SLF001
    parts = [meta.schema, meta.table_name] if meta.schema else [meta.table_name]
    return ".".join('"{}"'.format(part.replace('"', '""')) for part in parts)
