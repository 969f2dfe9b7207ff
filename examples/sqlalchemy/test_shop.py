"""The shop really commits; each test finds it empty."""

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import inspect, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm.exc import StaleDataError

from shop import Base, Product


@pytest.mark.parametrize("stock", [1, 2])
def test_product_is_added(shop, stock):
    """The name is unique, and yet each of these tests can add it."""
    shop.add("lamp", stock)
    assert shop.stock() == {"lamp": stock}


def test_name_is_unique(shop):
    """A second lamp is refused, in a transaction of its own: the first is there already."""
    shop.add("lamp", 1)
    with pytest.raises(IntegrityError):
        shop.add("lamp", 1)
    assert shop.stock() == {"lamp": 1}


def test_sale(shop):
    """What is sold is gone."""
    shop.add("lamp", 2)
    shop.sell("lamp")
    assert shop.stock() == {"lamp": 1}


def test_last_one_is_sold_once(shop):
    """Two sell the last lamp at once: that takes two connections, and a commit between."""
    shop.add("lamp", 1)
    with shop.sessions() as ada, shop.sessions() as bob:
        for session in (ada, bob):
            session.scalars(select(Product)).one().stock -= 1
        ada.commit()
        with pytest.raises(StaleDataError):
            bob.commit()
    assert shop.stock() == {"lamp": 0}


def test_migrations_make_what_the_models_say(engine, pg):
    """Alembic finds nothing to add to the migrations."""
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


@pytest.mark.pg(isolation="clone")
@pytest.mark.parametrize("time", range(3))  # of two workers, one has its clone replaced twice
def test_downgrade(shop, engine, pg, monkeypatch, time):
    """Each migration can be taken back, whatever is in the tables."""
    shop.add("lamp", 1)
    monkeypatch.setenv("DATABASE_URL", pg.url)
    command.downgrade(Config(toml_file="pyproject.toml"), "base")
    assert inspect(engine).get_table_names() == ["alembic_version"]
