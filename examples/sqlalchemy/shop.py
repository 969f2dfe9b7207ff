"""A shop that sells products from its stock."""

from __future__ import annotations

from sqlalchemy import Engine, create_engine, make_url, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, sessionmaker


class Base(DeclarativeBase):
    """The base of the models, which Alembic compares with the database."""


class Product(Base):
    """A product, and how many of it are in stock."""

    __tablename__ = "product"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    stock: Mapped[int]
    version: Mapped[int] = mapped_column()

    # If another session has changed the row since it was read, a commit raises StaleDataError.
    __mapper_args__ = {"version_id_col": version}


def make_engine(url: str) -> Engine:
    """Create an engine that uses psycopg 3, from a `postgresql://` URL."""
    return create_engine(make_url(url).set(drivername="postgresql+psycopg"))


class Shop:
    """The shop; each method is one transaction."""

    def __init__(self, engine: Engine) -> None:
        self.sessions = sessionmaker(engine)

    def add(self, name: str, stock: int) -> None:
        """Add a new product."""
        with self.sessions.begin() as session:
            session.add(Product(name=name, stock=stock))

    def sell(self, name: str) -> None:
        """Sell one item of a product."""
        with self.sessions.begin() as session:
            session.scalars(select(Product).filter_by(name=name)).one().stock -= 1

    def stock(self) -> dict[str, int]:
        """Return how many items of each product are in stock."""
        with self.sessions() as session:
            return {product.name: product.stock for product in session.scalars(select(Product))}
