"""How many requests of one user are accepted at once in a process."""

from __future__ import annotations

import asyncio

import pytest

from core.agentscope.runtime.accept.user_turns import AT_ONCE, UserTurns
from core.errors import RateLimited
from core.identity import Principal

ADA, EVE = Principal("t", "ada"), Principal("t", "eve")


async def test_a_thousand_requests_of_one_user_hold_two_places_and_nobody_elses() -> None:
    turns, release = UserTurns(100), asyncio.Event()
    at_work: dict[Principal, int] = {ADA: 0, EVE: 0}
    most = 0

    async def request(principal: Principal) -> None:
        nonlocal most
        async with turns.turn(principal):
            at_work[principal] += 1
            most = max(most, at_work[principal])
            await release.wait()
            at_work[principal] -= 1

    requests = [asyncio.create_task(request(ADA)) for _ in range(1000)]
    other = asyncio.create_task(request(EVE))
    refused, _ = await asyncio.wait(requests, timeout=0)
    while len(refused) < 900:
        refused, _ = await asyncio.wait(requests, return_when=asyncio.FIRST_COMPLETED)
    assert at_work == {ADA: AT_ONCE, EVE: 1}
    release.set()
    ends = await asyncio.gather(*requests, return_exceptions=True)
    await other

    assert sum(isinstance(end, RateLimited) for end in ends) == 900
    assert sum(end is None for end in ends) == 100
    assert most == AT_ONCE
    assert turns._users == {}


async def test_a_request_that_fails_or_leaves_gives_its_turn_back() -> None:
    turns = UserTurns(2)
    with pytest.raises(ValueError, match="broken"):
        async with turns.turn(ADA):
            raise ValueError("broken")
    gone = asyncio.create_task(_wait_in(turns))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    assert turns._users == {}


async def _wait_in(turns: UserTurns) -> None:
    async with turns.turn(ADA):
        await asyncio.Event().wait()
