"""Limits of runs hold however many requests come at once, in however many processes."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import asyncpg
import jwt
import pytest
from tests.support.stack import SECRET, OpenStack, Stack

from core.agentscope.runtime.accept import gateway as gateway_module
from core.agentscope.runtime.accept import places
from core.agentscope.runtime.accept.user_turns import UserTurns


@pytest.fixture(autouse=True)
def _no_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all requests of a process come to the database at once, as those of many processes do."""
    monkeypatch.setattr("core.agentscope.runtime.accept.user_turns.AT_ONCE", 100)
    monkeypatch.setattr(gateway_module, "UserTurns", lambda _limit: UserTurns(1000))


async def outcomes(stack: Stack, users: list[str]) -> Counter[int]:
    replies = await asyncio.gather(
        *(
            stack.post_run("hello", user=user, api=stack.apis[place % len(stack.apis)])
            for place, user in enumerate(users)
        )
    )
    return Counter(reply.status for reply in replies)


async def test_a_user_never_has_more_runs_than_one_may(open_stack: OpenStack) -> None:
    async with open_stack(apis=2, workers=0, limits={"max_runs_per_user": 3}) as stack:
        assert await outcomes(stack, ["ada"] * 24) == {202: 3, 429: 21}
        assert await outcomes(stack, ["eve"] * 2) == {202: 2}


@pytest.mark.parametrize("unseen", [0, 2])
async def test_the_queue_never_has_more_runs_than_it_may(
    open_stack: OpenStack, monkeypatch: pytest.MonkeyPatch, unseen: int
) -> None:
    # With places that are given one by one alone, and with some that requests share.
    monkeypatch.setattr(places, "NEARLY_FULL", 4 if unseen else places.NEARLY_FULL)
    monkeypatch.setattr(places, "_UNSEEN", unseen)
    limit = 3 if not unseen else 12
    async with open_stack(
        apis=2, workers=0, limits={"max_queued_runs": limit, "tenant_queue_share": 1}
    ) as stack:
        found = Counter[int]()
        for _ in range(3):
            found += await outcomes(stack, [f"user-{number}" for number in range(10)])

        queued = await stack.fetch("SELECT 1 FROM agent_run WHERE status = 'queued'")
        assert len(queued) == found[202] == limit
        assert set(found) == {202, 503}


async def test_a_tenant_never_fills_the_queue(open_stack: OpenStack) -> None:
    async with open_stack(
        apis=2, workers=0, limits={"max_queued_runs": 8, "tenant_queue_share": 0.75}
    ) as stack:
        found = await outcomes(stack, [f"user-{number}" for number in range(20)])
        assert found == {202: 6, 429: 14}
        refused = await stack.post_run("hello", user="eve")
        assert "6 runs" in refused.problem(429, "queue-full")["detail"]
        assert int(refused.headers["retry-after"]) >= 1

        # Even then the last place is kept for a third tenant, and nobody else gets it.
        for tenant, status in (("other", 202), ("other", 429), ("third", 202), ("fourth", 503)):
            reply = await stack.post_run("hello", headers=bearer("eve", tenant))
            assert (tenant, reply.status) == (tenant, status)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
async def test_whatever_the_share_a_tenant_without_a_run_finds_the_last_place(
    open_stack: OpenStack, share: float
) -> None:
    async with open_stack(workers=0, limits={"max_queued_runs": 4, "tenant_queue_share": share}) as stack:
        # One of each tenant, as long as there is a place.
        for number in range(4):
            reply = await stack.post_run("hello", headers=bearer("eve", f"tenant-{number}"))
            assert reply.status == 202
        assert (await stack.post_run("hello", headers=bearer("eve", "one-more"))).status == 503


def bearer(user: str, tenant: str) -> dict[str, str]:
    now = int(time.time())
    token = jwt.encode(
        {"sub": user, "tenant": tenant, "iat": now, "exp": now + 600}, SECRET, algorithm="HS256"
    )
    return {"Authorization": f"Bearer {token}"}


async def test_requests_of_different_users_wait_for_no_lock_of_each_other(open_stack: OpenStack) -> None:
    async with open_stack(workers=0) as stack:
        await stack.post_run("hello", user="ada")
        connection = await asyncpg.connect(stack.settings.database.url.get_secret_value())
        try:
            async with connection.transaction():
                await connection.execute(
                    "SELECT pg_advisory_xact_lock(1095193173, hashtext(length('default') || '/default/ada'))"
                )
                await connection.execute("SELECT pg_advisory_xact_lock_shared(1095193169, 0)")
                waiting = asyncio.create_task(stack.post_run("hello", user="ada"))
                assert (await stack.post_run("hello", user="eve")).status == 202
                assert not waiting.done()
        finally:
            await connection.close()
        assert (await waiting).status == 202
