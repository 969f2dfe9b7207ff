"""A bank: money moves from one account to another, and none is made or lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg

if TYPE_CHECKING:
    from asyncpg import Pool


class Bank:
    """The accounts in the database that this pool is connected to."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    async def open(self, owner: str, balance: int) -> None:
        """Open an account."""
        await self.pool.execute("INSERT INTO account VALUES ($1, $2)", owner, balance)

    async def move(self, payer: str, payee: str, amount: int) -> None:
        """Move money, however many others do: who was overtaken begins again."""
        changes = sorted([(payer, -amount), (payee, amount)])  # in one order: nobody deadlocks
        while True:
            try:
                async with (
                    self.pool.acquire() as connection,
                    connection.transaction(isolation="serializable"),
                ):
                    await connection.executemany(
                        "UPDATE account SET balance = balance + $2 WHERE owner = $1", changes
                    )
            except asyncpg.SerializationError:
                continue
            else:
                return

    async def balances(self) -> dict[str, int]:
        """Say how much each owner has."""
        return dict(await self.pool.fetch("SELECT owner, balance FROM account"))
