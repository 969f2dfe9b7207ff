"""A shop's stock: what is sold is gone, even if two sell at once."""

from __future__ import annotations

from sqlalchemy import Engine, create_engine, make_url, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, sessionmaker


class Base(DeclarativeBase):
    """What `alembic revision --autogenerate` compares the database with."""


class Product(Base):
    """Something that is sold, and how many of it there are."""

    __tablename__ = "product"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    stock: Mapped[int]
    version: Mapped[int] = mapped_column()

    # A session that writes what another has changed since gets a StaleDataError.
    __mapper_args__ = {"version_id_col": version}


def make_engine(url: str) -> Engine:
    """Make an engine from a `postgresql://` URL, whichever driver SQLAlchemy would choose."""
    return create_engine(make_url(url).set(drivername="postgresql+psycopg"))


class Shop:
    """What the rest of the application calls: each method is a transaction."""

    def __init__(self, engine: Engine) -> None:
        self.sessions = sessionmaker(engine)

    def add(self, name: str, stock: int) -> None:
        """Offer a new product."""
        with self.sessions.begin() as session:
            session.add(Product(name=name, stock=stock))

    def sell(self, name: str) -> None:
        """Sell one of a product."""
        with self.sessions.begin() as session:
            session.scalars(select(Product).filter_by(name=name)).one().stock -= 1

    def stock(self) -> dict[str, int]:
        """Say how many there are of each product."""
        with self.sessions() as session:
            return {product.name: product.stock for product in session.scalars(select(Product))}
