"""The bank really commits; each test finds it empty."""

import asyncio

import asyncpg
import pytest

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("balance", [1, 2])
async def test_account_is_opened(bank, balance):
    """An owner has one account, and yet each of these tests can open it."""
    await bank.open("ada", balance)
    assert await bank.balances() == {"ada": balance}


async def test_nobody_pays_what_he_has_not(bank):
    """A payment that fails moves nothing."""
    await bank.open("ada", 1)
    await bank.open("bob", 0)
    with pytest.raises(asyncpg.CheckViolationError):
        await bank.move("ada", "bob", 2)
    assert await bank.balances() == {"ada": 1, "bob": 0}


async def test_all_pay_at_once(bank):
    """Twenty payments on four connections: some are overtaken, none is lost or made twice."""
    for owner in ("ada", "bob", "eve"):
        await bank.open(owner, 20)
    ways = [("ada", "bob"), ("bob", "eve"), ("ada", "eve"), ("eve", "bob")] * 5
    await asyncio.gather(*(bank.move(payer, payee, 1) for payer, payee in ways))
    assert await bank.balances() == {"ada": 10, "bob": 25, "eve": 25}


@pytest.mark.pg(isolation="clone")
@pytest.mark.parametrize("time", range(3))  # of two workers, one has its clone replaced twice
async def test_without_the_check(bank, time):
    """A change of the schema is gone with the clone, and the pool knows the next one."""
    await bank.open("ada", 1)
    await bank.open("bob", 0)
    await bank.pool.execute("ALTER TABLE account DROP CONSTRAINT account_balance_check")
    await bank.move("ada", "bob", 2)
    assert await bank.balances() == {"ada": -1, "bob": 2}
