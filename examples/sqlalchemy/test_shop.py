"""Each test starts without products, although the shop commits."""

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
    """Both parameters of this test can add the same name."""
    shop.add("lamp", stock)
    assert shop.stock() == {"lamp": stock}


def test_name_is_unique(shop):
    """A second product with the same name is refused; the first stays."""
    shop.add("lamp", 1)
    with pytest.raises(IntegrityError):
        shop.add("lamp", 1)
    assert shop.stock() == {"lamp": 1}


def test_sale_reduces_the_stock(shop):
    """A sale takes one item from the stock."""
    shop.add("lamp", 2)
    shop.sell("lamp")
    assert shop.stock() == {"lamp": 1}


def test_last_item_is_sold_once(shop):
    """Two sessions sell the last lamp at once; the second commit raises an error."""
    shop.add("lamp", 1)
    with shop.sessions() as ada, shop.sessions() as bob:
        for session in (ada, bob):
            session.scalars(select(Product)).one().stock -= 1
        ada.commit()
        with pytest.raises(StaleDataError):
            bob.commit()
    assert shop.stock() == {"lamp": 0}


def test_migrations_match_the_models(engine, pg):
    """Alembic finds no difference between the migrated schema and the models."""
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


@pytest.mark.pg(isolation="clone")
@pytest.mark.parametrize("time", range(3))  # on 2 workers, one database is replaced twice
def test_migrations_are_reversible(shop, engine, pg, monkeypatch, time):
    """Each migration can be reversed, even if the table has rows.

    This changes the schema, so the mark lets pgherd replace the database afterwards.
    """
    shop.add("lamp", 1)
    monkeypatch.setenv("DATABASE_URL", pg.url)
    command.downgrade(Config(toml_file="pyproject.toml"), "base")
    assert inspect(engine).get_table_names() == ["alembic_version"]
