"""The decorator `with_test_db`: models bound to the worker's clone, with empty tables.

Tables that the template lacks are created for the call and dropped after it. Creating and dropping
them leaves the schema as it was. So pgherd removes the entries of both from the log of schema
changes, and the clone can be reset.
"""

from __future__ import annotations

import inspect
import logging
import unittest
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import peewee
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from pgherd import lending
from pgherd.errors import UsageError
from pgherd.peewee.binding import bound, can_bind, class_of, disconnect, is_at, point
from pgherd.postgres.naming import SCHEMA
from pgherd.reset.schema_guard import DDL_LOG

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from pgherd.postgres.address import Database

    Model = type[peewee.Model]

log = logging.getLogger("pgherd")

T = TypeVar("T")

_EXISTING = """
SELECT name FROM unnest(%s::text[]) AS name WHERE to_regclass(name) IS NOT NULL
"""
# A superuser can keep the project's triggers from firing.
_WITHOUT_TRIGGERS = """
SELECT set_config('session_replication_role', 'replica', true)
WHERE current_setting('is_superuser') = 'on'
"""
_TRANSACTION_ID = "SELECT pg_current_xact_id()::xid::text"
_FORGET = f"DELETE FROM {SCHEMA}.{DDL_LOG} WHERE xmin::text = ANY (%s)"  # noqa: S608 (constants)
_LOCK_TIMEOUT = "SET LOCAL lock_timeout = 500"


def with_test_db(models: Sequence[Model]) -> Callable[[T], T]:
    """Run a test with these models bound to the worker's clone, and with empty tables.

    It decorates functions, async functions and classes. In a class it applies to each test method,
    and in a `unittest.TestCase` also to `setUp` and `tearDown`. The test gets the fixture `pg`
    without naming it.

    During the call, the models, the models related to them, and the project's database of these
    models use the clone. If the template has a model's table, pgherd truncates it, and every table
    with a foreign key to it; the reset brings the rows back. If the template lacks the table,
    pgherd creates it, and drops it after the test. The tables that these models refer to are
    created, too, but not truncated.

    Args:
        models: the models whose tables the test needs.

    Raises:
        UsageError: `models` is not a sequence of models.
    """
    # A model is iterable, too: iterating over it would query its database.
    if isinstance(models, type) or callable(models):
        raise UsageError("with_test_db takes a sequence of models: @with_test_db((User, UserRole))")
    listed = tuple(models)
    for model in listed:
        if not (isinstance(model, type) and issubclass(model, peewee.Model)):
            raise UsageError(f"with_test_db takes Peewee models, and {model!r} is none")

    def decorate(target: Any) -> Any:
        if not isinstance(target, type):
            return _function(target, listed)
        if issubclass(target, unittest.TestCase):
            target.run = _function(target.run, listed)  # type: ignore[method-assign]
        else:
            _methods(target, listed)
        setattr(target, lending.REQUESTS_PG, True)
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

    setattr(call, lending.REQUESTS_PG, True)
    return call


@contextmanager
def _tables(listed: tuple[Model, ...], user: str) -> Iterator[None]:
    clone = lending.current()
    if clone is None:
        raise UsageError(
            f"with_test_db has no database for {user}. If the plugin pgherd is off "
            "(-p no:pgherd, or PYTEST_DISABLE_PLUGIN_AUTOLOAD), switch it on: -p pgherd.plugin. "
            "If this is not a test but a function that a test calls, let the test request pg"
        )
    related = _related(listed)
    with _connected(listed, clone) as helper:
        with _bound(related, helper):
            made, transaction = _prepare(helper, listed)
        try:
            with _using_clone(related, clone, helper):
                yield
        finally:
            with _bound(related, helper):
                _drop(helper, made, transaction)


@contextmanager
def _connected(listed: tuple[Model, ...], clone: Database) -> Iterator[peewee.Database]:
    """Lend a database that is pointed at the clone, of the same class as the models' own."""
    own = listed[0]._meta.database if listed else None  # noqa: SLF001
    database = class_of(own)(None)
    point(database, clone)
    try:
        yield database
    finally:
        disconnect(database)


@contextmanager
def _using_clone(
    models: Collection[Model], clone: Database, helper: peewee.Database
) -> Iterator[None]:
    """Point the models' own databases at the clone, and bind all models to one of them.

    The code under test may use its own database directly: `db.atomic()`, `db.connect()`. If no
    model has a database that can be pointed at the clone, the models are bound to the helper.
    """
    databases = {model: model._meta.database for model in models}  # noqa: SLF001
    usable = {id(own): own for own in databases.values() if can_bind(own)}
    common = next((own for own in databases.values() if can_bind(own)), helper)
    others = [model for model, own in databases.items() if own is not common]
    with ExitStack() as stack:
        for own in usable.values():
            stack.enter_context(_bound_already(own) if is_at(own, clone) else bound(own, clone))
        stack.enter_context(_bound(others, common))
        yield


@contextmanager
def _bound_already(database: peewee.Database | peewee.Proxy) -> Iterator[None]:
    """Leave a database as it is, but end a transaction that the block left open.

    Such a transaction would hold locks. One that was open before belongs to the calling test.
    """
    was_open = _in_transaction(database)
    try:
        yield
    finally:
        if not was_open and _in_transaction(database):
            disconnect(database)


def _in_transaction(database: peewee.Database | peewee.Proxy) -> bool:
    """Whether a transaction is open; Peewee does not count one that `begin()` started."""
    if database.is_closed():
        return False
    status: int = database.connection().info.transaction_status
    return status != TRANSACTION_STATUS_IDLE


def _prepare(database: Any, listed: tuple[Model, ...]) -> tuple[list[Model], str]:
    """Create missing tables, empty the listed ones; return the new ones and the transaction."""
    wanted = _with_references(listed)
    with database.atomic():
        names = [_name(model) for model in wanted]
        existing = {name for (name,) in database.execute_sql(_EXISTING, [names])}
        missing = [model for model in wanted if _name(model) not in existing]
        _empty(database, [model for model in listed if model not in missing])
        if not missing:
            return [], ""
        database.create_tables(missing)
        ((transaction,),) = database.execute_sql(_TRANSACTION_ID)
        return missing, transaction


def _empty(database: Any, models: Collection[Model]) -> None:
    """Truncate the tables that have rows, and restart their sequences."""
    filled = [_name(model) for model in models if model.select().exists()]
    if filled:
        database.execute_sql(_WITHOUT_TRIGGERS)
        database.execute_sql(f"TRUNCATE {', '.join(filled)} RESTART IDENTITY CASCADE")


def _drop(database: Any, made: list[Model], transaction: str) -> None:
    """Drop what was created. If this fails, the log entries stay, and the clone is replaced."""
    if not made:
        return
    try:
        if database.in_transaction():
            disconnect(database)
        # The test may have set a search path or a role, with which the names mean other tables.
        database.execute_sql("DISCARD ALL")
        with database.atomic():
            database.execute_sql(_LOCK_TIMEOUT)
            database.drop_tables(made, cascade=True)
            ((log_table,),) = database.execute_sql(
                "SELECT to_regclass(%s)", [f"{SCHEMA}.{DDL_LOG}"]
            )
            if log_table:
                ((dropping,),) = database.execute_sql(_TRANSACTION_ID)
                database.execute_sql(_FORGET, [[transaction, dropping]])
    except peewee.PeeweeException:
        log.debug("the tables of with_test_db could not be dropped", exc_info=True)


@contextmanager
def _bound(models: Collection[Model], database: peewee.Database) -> Iterator[None]:
    """Bind models; then bind each to its own database again, unlike `bind_ctx`."""
    before = {model: model._meta.database for model in models}  # noqa: SLF001
    try:
        for model in models:
            model._meta.set_database(database)  # noqa: SLF001 (documented by Peewee)
        yield
    finally:
        for model, own in before.items():
            model._meta.set_database(own)  # noqa: SLF001


def _related(models: Collection[Model]) -> list[Model]:
    """Return the models, then those that refer to them or are referred to, as `bind_ctx` does."""
    related = [
        found
        for model in models
        for _, found, _ in model._meta.model_graph()  # noqa: SLF001
    ]
    return list(dict.fromkeys([*models, *related]))


def _with_references(models: Collection[Model]) -> list[Model]:
    """Return the models and all that they refer to, the latter first."""
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
