"""A bank that moves money between accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg

if TYPE_CHECKING:
    from asyncpg import Pool


class Bank:
    """The accounts in the pool's database."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    async def open(self, owner: str, balance: int) -> None:
        """Open an account."""
        await self.pool.execute("INSERT INTO account VALUES ($1, $2)", owner, balance)

    async def move(self, payer: str, payee: str, amount: int) -> None:
        """Move money; if another transaction changed the accounts meanwhile, try again."""
        # All transactions update accounts in the same order, so they never deadlock.
        changes = sorted([(payer, -amount), (payee, amount)])
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
        """Return the balance of each owner."""
        return dict(await self.pool.fetch("SELECT owner, balance FROM account"))
