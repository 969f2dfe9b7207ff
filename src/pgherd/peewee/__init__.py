"""Peewee: migrations, tables from models, databases bound to a clone, and `with_test_db`."""

from pgherd.peewee.binding import bound, disconnect
from pgherd.peewee.decorator import with_test_db
from pgherd.peewee.migrations import PeeweeMigrations, create_tables

__all__ = ["PeeweeMigrations", "bound", "create_tables", "disconnect", "with_test_db"]
