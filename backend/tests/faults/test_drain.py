"""SIGTERM: a worker gives back what showed nothing and ends the rest with a word; a deploy under load is not noticed."""

from __future__ import annotations

import asyncio
import itertools

import asyncpg
import pytest
from tests.faults.checker import check
from tests.faults.evidence import at_rest, collect
from tests.faults.launcher import AGENTS, Ground, Plot, eventually, http_client
from tests.faults.recorder import Owner, Recorder
from tests.support.limits import HUNG_SECONDS

_WAITING = """
SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


async def all_wait_for_locks(plot: Plot) -> bool:
    return len(await plot.fetch(_WAITING)) == len(AGENTS)


async def test_a_worker_whose_grace_is_over_ends_its_runs_with_a_word(ground: Ground) -> None:
    async with ground.plot(AGENT_WORKER__DRAIN_SECONDS="0.2") as plot, http_client() as client:
        recorder = Recorder(plot, client)
        await plot.start("api")
        worker = await plot.start("worker")
        # Many at once: each waits in the middle of its answer, and for nobody else.
        wishes = [
            recorder.wish(words=20, hold=5, gate=f"{plot.name}-{number}", tool="effect")
            for number in range(8)
        ]
        runs = [
            asyncio.create_task(recorder.run(wish, stream=True, agent=agent))
            for wish, agent in zip(wishes, itertools.cycle(AGENTS), strict=False)
        ]
        for wish in wishes:
            await ground.gates.reached(wish.gate)
        await worker.terminate()
        assert worker.exit_code == 0
        seen = await asyncio.gather(*runs)

        assert [(each.end or {}).get("code") for each in seen] == ["worker-shutdown"] * len(wishes)
        evidence = await collect(plot, recorder.evidence)
        assert [str(violation) for violation in check(evidence)] == []
        assert len(evidence.tool) == len(wishes)
        for wish in wishes:
            ground.gates.open(wish.gate)


async def test_runs_that_showed_nothing_go_back_to_the_queue_and_on_to_another_worker(
    ground: Ground,
) -> None:
    async with ground.plot(AGENT_WORKER__DRAIN_SECONDS="0.2") as plot, http_client() as client:
        recorder = Recorder(plot, client)
        await plot.start("api")
        first = await plot.start("worker")
        # Only a thread that has talked before has a memory to load.
        before = await asyncio.gather(
            *(recorder.run(recorder.wish(words=2), agent=agent) for agent in AGENTS)
        )
        await first.terminate()
        connection = await asyncpg.connect(plot.database_url)
        try:
            async with connection.transaction():
                # They cannot load their memory, so they show nothing but that they began.
                await connection.execute("LOCK TABLE agent_state IN ACCESS EXCLUSIVE MODE")
                worker = await plot.start("worker")
                runs = [
                    asyncio.create_task(
                        recorder.run(recorder.wish(words=5, tool="effect"), thread_id=seen.thread_id)
                    )
                    for seen in before
                ]
                await eventually(lambda: all_wait_for_locks(plot))
                await worker.terminate()
                assert worker.exit_code == 0
                rows = await plot.fetch(
                    "SELECT status, attempt, worker_id, last_seq FROM agent_run WHERE ended_at IS NULL"
                )
                given_back = {"status": "queued", "attempt": 1, "worker_id": None, "last_seq": 1}
                assert [dict(row) for row in rows] == [given_back] * len(AGENTS)
        finally:
            await connection.close()
        await plot.start("worker")
        seen = await asyncio.gather(*runs)

        assert [(each.end or {}).get("outcome") for each in seen] == [{"type": "success"}] * len(AGENTS)
        evidence = await collect(plot, recorder.evidence)
        assert [str(violation) for violation in check(evidence)] == []
        attempts = [(row["attempt"], row["released"]) for row in evidence.runs]
        assert attempts == [(1, 0)] * len(AGENTS) + [(2, 1)] * len(AGENTS)


async def test_idle_processes_are_gone_at_once(ground: Ground) -> None:
    async with ground.plot() as plot:
        nodes = await asyncio.gather(*(plot.start(role) for role in ("api", "worker", "worker", "worker")))
        await asyncio.gather(*(node.terminate() for node in nodes))
        assert [node.exit_code for node in nodes] == [0] * len(nodes)


@pytest.mark.slow
async def test_a_deploy_under_load_is_not_noticed(ground: Ground) -> None:
    # A store that is slow, since the machine is, has no fault that would excuse a refusal.
    patience = {
        f"AGENT_{name}_SECONDS": str(HUNG_SECONDS)
        for name in (
            "WORKER__DRAIN",
            "DATABASE__POOL_TIMEOUT",
            "DATABASE__STATEMENT_TIMEOUT",
            "DATABASE__LOCK_TIMEOUT",
        )
    }
    async with ground.plot(patience) as plot, http_client() as client:
        recorder = Recorder(plot, client)
        await asyncio.gather(*(plot.start(role) for role in ("api", "api", "worker", "worker")))
        deployed = asyncio.Event()

        async def talk(number: int) -> None:
            owner = Owner(user=f"user-{number % 3}")
            thread = f"thread-{number}"
            while not deployed.is_set():
                wish = recorder.wish(words=25, pace=0.02, tool="effect" if number % 2 else "")
                await recorder.run(
                    wish, thread_id=thread, owner=owner, agent=AGENTS[number // 2 % len(AGENTS)]
                )

        clients = [asyncio.create_task(talk(number)) for number in range(8)]
        try:
            for node in list(plot.nodes):
                await plot.start(node.role)
                await node.terminate()
                assert node.exit_code == 0, node.log()[-3:]
            deployed.set()
            await asyncio.gather(*clients)
        finally:
            for task in clients:
                task.cancel()
        assert await at_rest(plot, HUNG_SECONDS) == []

        evidence = await collect(plot, recorder.evidence)
        assert [str(violation) for violation in check(evidence)] == []
        assert {(run["status"], run["attempt"]) for run in evidence.runs} == {("succeeded", 1)}
        assert len(evidence.runs) >= len(clients)
