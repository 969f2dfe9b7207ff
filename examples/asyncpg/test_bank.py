"""Each test starts without accounts, although the bank commits."""

import asyncio

import asyncpg
import pytest

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("balance", [1, 2])
async def test_account_is_opened(bank, balance):
    """Both parameters of this test can open the same account."""
    await bank.open("ada", balance)
    assert await bank.balances() == {"ada": balance}


async def test_payment_needs_enough_money(bank):
    """A payment that exceeds the balance raises an error and moves nothing."""
    await bank.open("ada", 1)
    await bank.open("bob", 0)
    with pytest.raises(asyncpg.CheckViolationError):
        await bank.move("ada", "bob", 2)
    assert await bank.balances() == {"ada": 1, "bob": 0}


async def test_concurrent_payments(bank):
    """Twenty payments on four connections: each is made exactly once."""
    for owner in ("ada", "bob", "eve"):
        await bank.open(owner, 20)
    payments = [("ada", "bob"), ("bob", "eve"), ("ada", "eve"), ("eve", "bob")] * 5
    await asyncio.gather(*(bank.move(payer, payee, 1) for payer, payee in payments))
    assert await bank.balances() == {"ada": 10, "bob": 25, "eve": 25}


@pytest.mark.pg(isolation="clone")
@pytest.mark.parametrize("time", range(3))  # on 2 workers, one database is replaced twice
async def test_schema_change(bank, time):
    """This test changes the schema, so the mark lets pgherd replace the database afterwards."""
    await bank.open("ada", 1)
    await bank.open("bob", 0)
    await bank.pool.execute("ALTER TABLE account DROP CONSTRAINT account_balance_check")
    await bank.move("ada", "bob", 2)
    assert await bank.balances() == {"ada": -1, "bob": 2}
