"""The last release and this version beside each other, on one database, under load: up, and back again.

Nobody loses a run and none is doubled; questions that one of them asked are answered at the other, and threads of one go
on at the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from tests.faults.checker import check
from tests.faults.evidence import at_rest, collect
from tests.faults.last_release import LastRelease, unpack
from tests.faults.launcher import AGENTS, Ground, Node, Plot, eventually, http_client
from tests.faults.recorder import BASE, Following, Owner, Recorder
from tests.support.limits import HUNG_SECONDS

from agentroute import migrations
from agentroute.schema_state import schema

pytestmark = pytest.mark.slow

CLIENTS = 6
# A store that is slow, since the machine is, has no fault that would excuse a refusal.
PATIENCE = {
    f"AGENT_{name}_SECONDS": str(HUNG_SECONDS)
    for name in (
        "WORKER__DRAIN",
        "DATABASE__POOL_TIMEOUT",
        "DATABASE__STATEMENT_TIMEOUT",
        "DATABASE__LOCK_TIMEOUT",
    )
}


@pytest.fixture(scope="module")
def last_release(tmp_path_factory: pytest.TempPathFactory) -> LastRelease:
    return LastRelease(unpack(tmp_path_factory.mktemp("last-release")))


async def test_its_processes_are_those_of_the_last_release(last_release: LastRelease) -> None:
    assert await last_release.home() == last_release.source


class Talk:
    """Clients that talk all the time, each in a thread of its own."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._ended = asyncio.Event()

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        clients = [asyncio.create_task(self._talk(number)) for number in range(CLIENTS)]
        try:
            yield
            self._ended.set()
            await asyncio.gather(*clients)
        finally:
            for task in clients:
                task.cancel()

    async def _talk(self, number: int) -> None:
        owner = Owner(user=f"user-{number % 3}")
        while not self._ended.is_set():
            wish = self._recorder.wish(words=15, pace=0.02, tool="effect" if number % 2 else "")
            agent = AGENTS[number // 2 % len(AGENTS)]
            await self._recorder.run(wish, thread_id=f"talk-{number}", owner=owner, agent=agent)


async def _ask(recorder: Recorder) -> list[Following]:
    """Start a run with each agent that ends in a question."""
    return [
        await recorder.run(recorder.wish(words=5, tool="approved_effect"), agent=agent) for agent in AGENTS
    ]


async def _answer(recorder: Recorder, asked: Sequence[Following]) -> None:
    """Answer the questions, and go on with their threads."""
    for seen in asked:
        assert seen.end is not None
        [question] = seen.end["outcome"]["interrupts"]
        wish = recorder.wish()
        body: dict[str, Any] = recorder.body(wish, seen.thread_id) | {
            "messages": [],
            "parentRunId": seen.run_id,
            "resume": [{"interruptId": question["id"], "status": "resolved", "payload": {"approved": True}}],
        }
        resumed = await recorder.run(wish, thread_id=seen.thread_id, body=body, path="/resume", kind="resume")
        assert [event["toolCallId"] for event in resumed.events if event["type"] == "TOOL_CALL_RESULT"] == [
            question["toolCallId"]
        ]
        after = await recorder.run(recorder.wish(words=3), thread_id=seen.thread_id)
        assert (after.end or {})["outcome"] == {"type": "success"}


async def _both_have_worked(plot: Plot, workers: Sequence[Node]) -> None:
    """Wait until each worker has ended runs that were accepted from now on."""
    [newest] = await plot.fetch("SELECT coalesce(max(id), 0) AS id FROM agent_run")

    async def worked() -> bool:
        rows = await plot.fetch(
            "SELECT DISTINCT worker_id FROM agent_run WHERE id > $1 AND ended_at IS NOT NULL", newest["id"]
        )
        return all(any(f"-{node.pid}-" in row["worker_id"] for row in rows) for node in workers)

    await eventually(worked)


async def _ready(client: httpx.AsyncClient, node: Node) -> bool:
    return (await client.get(f"{node.url}/readyz")).status_code == 200


async def test_a_release_is_replaced_under_load_and_taken_back(
    ground: Ground, last_release: LastRelease
) -> None:
    async with ground.plot(PATIENCE, blank=True) as plot, http_client() as client:
        await last_release.migrate(plot)
        recorder = Recorder(plot, client)
        old = [await last_release.start(plot, role) for role in ("api", "worker")]
        before = await _ask(recorder)
        async with Talk(recorder).going_on():
            await _both_have_worked(plot, old[1:])
            # Up: the schema first, then the processes beside those of the last release.
            await migrations.upgrade(plot.database_url)
            assert await migrations.current(plot.database_url) == schema().revision
            assert await _ready(client, old[0])
            new = [await plot.start(role) for role in ("api", "worker")]
            await _both_have_worked(plot, (old[1], new[1]))
            later = await _ask(recorder)
            for node in old:
                await node.terminate()
            await _answer(recorder, before)
            # And back: the schema stays as it is.
            at_new = await _ask(recorder)
            back = [await last_release.start(plot, role) for role in ("api", "worker")]
            assert await _ready(client, back[0])
            await _both_have_worked(plot, (new[1], back[1]))
            for node in new:
                await node.terminate()
            await _answer(recorder, [*later, *at_new])
        assert await at_rest(plot, HUNG_SECONDS) == []

        assert [node.exit_code for node in (*old, *new)] == [0] * 4
        evidence = await collect(plot, recorder.evidence)
        assert [str(violation) for violation in check(evidence)] == []
        ends = {(run["status"], run["attempt"]) for run in evidence.runs}
        assert ends == {("succeeded", 1), ("interrupted", 1)}
        assert len(evidence.tool) > len(before) + len(later) + len(at_new)


async def test_each_api_shows_what_the_other_has_written_byte_by_byte(
    ground: Ground, last_release: LastRelease
) -> None:
    async with ground.plot(PATIENCE, blank=True) as plot, http_client() as client:
        await last_release.migrate(plot)
        recorder = Recorder(plot, client)
        old_api, old_worker = [await last_release.start(plot, role) for role in ("api", "worker")]
        by_old = await recorder.run(recorder.wish(words=20, tool="effect"))
        await migrations.upgrade(plot.database_url)
        await old_worker.terminate()
        new_api, _ = [await plot.start(role) for role in ("api", "worker")]
        by_new = await recorder.run(recorder.wish(words=20, tool="effect"), thread_id=by_old.thread_id)

        headers = {"Authorization": f"Bearer {plot.token('tenant-1', 'ada')}", "Accept": "text/event-stream"}
        for seen in (by_old, by_new):
            told: list[bytes] = []
            for api in (old_api, new_api):
                answer = await client.get(
                    f"{api.url}{BASE}/events",
                    params={"threadId": seen.thread_id, "runId": seen.run_id},
                    headers=headers,
                )
                assert answer.status_code == 200
                told.append(b"\n\n".join(b for b in answer.content.split(b"\n\n") if b.startswith(b"id: ")))
            assert told[0] == told[1]
            assert told[0].count(b"id: ") == len(seen.events)
