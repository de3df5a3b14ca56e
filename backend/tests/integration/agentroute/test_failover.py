"""A failover to a replica that never got the newest commits: no client is told anything else under a cursor it holds.

A real primary and a real replica. The replica is cut off while the service goes on, the primary is killed, and the
replica takes its place.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.cursor_check import Shown, log_of, wrong_cursors
from tests.support.limits import HUNG_SECONDS
from tests.support.replica import ReplicatedPostgres, replicated
from tests.support.stack import EventStream, OpenStack, Stack, eventually

from core.agentscope.schemas.cursor import RESTORE_STEP, Cursor

pytestmark = pytest.mark.slow

_WORKER = {"lease_seconds": 6.0, "reap_seconds": 0.2}
"""A reaper rests for as long after an outage. A busy machine renews a lease in time."""


@asynccontextmanager
async def _service(
    open_stack: OpenStack, servers: ReplicatedPostgres, **sections: Any
) -> AsyncIterator[Stack]:
    sections = {"worker": _WORKER, "stream": {"patrol_seconds": 0.1}} | sections
    async with open_stack(database_url=servers.url, **sections) as stack:
        yield stack


def _note(shown: Shown, thread: str, stream: Any) -> None:
    shown.setdefault(thread, []).extend((frame.id, frame.data) for frame in stream.frames)


async def _read_some(stream: EventStream, events: int) -> None:
    for _ in range(events):
        assert await stream.next() is not None


async def _all_ended(stack: Stack) -> bool:
    try:
        return not await stack.fetch("SELECT 1 FROM agent_run WHERE ended_at IS NULL")
    except OSError:
        return False


async def _accepted(stack: Stack, body: dict[str, Any]) -> bool:
    return (await stack.post_run(body=body)).status == 202


async def test_a_failover_that_loses_commits_leads_no_cursor_astray(
    open_stack: OpenStack, server_dir: Path
) -> None:
    shown: Shown = {}
    async with replicated(server_dir / "lossy") as servers, _service(open_stack, servers) as stack:
        _note(shown, "talks", await stack.stream_run("before", thread="talks"))
        _note(shown, "idle", await stack.stream_run("before", thread="idle"))
        async with stack.open_run("slowly", thread="live") as live, stack.open_events("talks") as follower:
            await live.until("TEXT_MESSAGE_CONTENT")
            await servers.caught_up()
            await servers.cut()

            # What the replica never gets: the rest of a run, a run, a thread, a run that nobody has begun.
            await _read_some(live, 5)
            _note(shown, "talks", await stack.stream_run("lost", thread="talks"))
            _note(shown, "new", await stack.stream_run("lost", thread="new"))
            lost = list(shown["talks"])
            while follower.frames[-1:] == [] or follower.frames[-1].id != lost[-1][0]:
                assert await follower.next() is not None

            await servers.fail_over()
            # Streams that were open end, and tell nothing of what comes.
            await follower.to_end()
            await live.to_end()
        _note(shown, "live", live)
        assert [(frame.id, frame.data) for frame in follower.frames] == lost[-len(follower.frames) :]
        assert b"epoch: " in follower.body

        await eventually(lambda: _all_ended(stack))
        for thread in ("talks", "live", "new"):
            for number in range(2):
                body = stack.run_body(f"anew {number}, and with more words than before", thread=thread)
                await eventually(lambda body=body: _accepted(stack, body))
                await stack.ended(thread)

        wrong, exact, refused = await wrong_cursors(stack, shown)
        assert wrong == []
        survived = [cursor for cursor, _ in shown["talks"] if Cursor.parse(cursor).ordinal == 1]
        assert exact == len(survived) + len(shown["idle"])
        assert refused == sum(map(len, shown.values())) - exact > 0
        # Nobody's next run has the place of one that was lost, in a thread that was begun anew neither.
        for thread in ("talks", "live", "new"):
            assert Cursor.parse((await log_of(stack, thread))[-1][0]).ordinal > RESTORE_STEP
        # A client that is refused reads the history, and goes on from there.
        history = await stack.history("live")
        assert history["messages"][0]["content"] == "slowly"
        [epoch] = await stack.fetch("SELECT epoch FROM agent_epoch")
        assert epoch["epoch"] == 1


async def test_a_failover_that_loses_nothing_costs_a_live_run_nothing(
    open_stack: OpenStack, server_dir: Path
) -> None:
    shown: Shown = {}
    async with replicated(server_dir / "lossless") as servers:
        await servers.wait_for_replica()
        async with _service(open_stack, servers, worker={"lease_seconds": float(HUNG_SECONDS)}) as stack:
            _note(shown, "talks", await stack.stream_run("before", thread="talks"))
            body = stack.run_body("slowly", thread="live")
            async with stack.open_run(body=body) as live:
                await live.until("TEXT_MESSAGE_CONTENT")
                await servers.fail_over()
                await live.to_end()
            _note(shown, "live", live)
            await eventually(lambda: _all_ended(stack))
            [run] = await stack.runs("live")
            assert (run["status"], run["ordinal"], run["attempt"]) == ("succeeded", 1, 1)
            wrong, exact, refused = await wrong_cursors(stack, shown)
            assert (wrong, refused) == ([], 0)
            assert exact == sum(map(len, shown.values()))
            # The next run begins the epoch.
            _note(shown, "talks", await stack.stream_run("after", thread="talks"))
            assert Cursor.parse(shown["talks"][-1][0]).ordinal == RESTORE_STEP + 1
            wrong, _, refused = await wrong_cursors(stack, shown)
            assert (wrong, refused) == ([], 0)
