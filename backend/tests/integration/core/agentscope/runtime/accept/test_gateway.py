"""Requests that wait for something do not take the connections of those that do not."""

from __future__ import annotations

import asyncio

import asyncpg
from tests.faults.launcher import eventually
from tests.support.limits import HUNG_SECONDS
from tests.support.stack import OpenStack

BLOCKED = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
USERS = [f"user-{number}" for number in range(8)]


async def test_whoever_waits_for_a_locked_thread_holds_up_nobody_else(open_stack: OpenStack) -> None:
    # More of them than connections.
    async with open_stack(workers=0, database={"pool_size": 5}) as stack:
        for user in USERS:
            assert (await stack.post_run("hello", user=user, threadId="t-1")).status == 202
        other = await asyncpg.connect(stack.settings.database.url.get_secret_value())
        try:
            async with other.transaction():
                await other.execute("SELECT 1 FROM agent_chat_session FOR UPDATE")
                options = {"onBusy": "enqueue"}
                waiting = [
                    asyncio.create_task(
                        stack.post_run("and then", user=user, threadId="t-1", forwardedProps=options)
                    )
                    for user in USERS
                ]
                async with asyncio.timeout(HUNG_SECONDS):
                    await eventually(lambda: other.fetch(BLOCKED))
                    assert (await stack.post_run("hello", user="other")).status == 202
                    history = await stack.request("GET", "/threads", user="other")
                assert history.status == 200
                assert not any(task.done() for task in waiting)
        finally:
            await other.close()
        assert {(await task).status for task in waiting} == {202}
