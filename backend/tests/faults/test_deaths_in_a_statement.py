"""A process and its statement part between the writes of a database function and the answer: no promise breaks.

The functions that accept and end the usual run commit by themselves, so no crash point of the process lies between their
writes and their commit. Here Postgres itself stops there: a trigger that runs at the commit waits for a lock of the test.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum

import asyncpg
import pytest
from tests.faults.checker import check
from tests.faults.evidence import at_rest, collect
from tests.faults.launcher import AGENTS, Ground, Node, Plot, Role, eventually, http_client
from tests.faults.recorder import Recorder
from tests.support.limits import HUNG_SECONDS, NEVER_SECONDS


class Fate(Enum):
    """What becomes of the process and of its statement, which has written everything."""

    DIES_UNDONE = "the process dies, and the statement with it"
    DIES_BEFORE_COMMIT = "the process dies, then the statement commits"
    DIES_AFTER_COMMIT = "the statement commits, and the process dies before it reads the answer"
    LIVES_UNDONE = "Postgres ends the connection, and the process lives"
    LIVES_UNHEARD = "the statement commits, and the answer is lost on its way"


@dataclass(frozen=True)
class Held:
    """Which statement is held at its commit."""

    function: str
    role: Role
    """Of the process that sends it."""
    trigger: str
    """After what a transaction is held."""
    written: str
    """Finds a row once it is committed."""


ACCEPT = Held("agent_accept_usual_run", "api", "INSERT ON agent_run", "SELECT 1 FROM agent_run")
END = Held(
    "agent_end_usual",
    "worker",
    "UPDATE OF status ON agent_run",
    "SELECT 1 FROM agent_run WHERE ended_at IS NOT NULL",
)

_KEY = 4711
_TRIGGER = """
CREATE FUNCTION held_at_commit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' OR NEW.ended_at IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock_shared({key});
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER held_at_commit AFTER {trigger} DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION held_at_commit();
"""
_WAITING = """
SELECT a.pid, a.query FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
WHERE l.locktype = 'advisory' AND l.objid = $1 AND l.objsubid = 1 AND NOT l.granted AND a.datname = current_database()
"""


@asynccontextmanager
async def commits_held(plot: Plot, held: Held) -> AsyncIterator[asyncio.Event]:
    """Hold transactions at their commit until the event is set."""
    connection = await asyncpg.connect(plot.database_url, timeout=HUNG_SECONDS)
    try:
        await connection.execute(_TRIGGER.format(key=_KEY, trigger=held.trigger))
        await connection.execute(f"SELECT pg_advisory_lock({_KEY})")
        released = asyncio.Event()

        async def release() -> None:
            await released.wait()
            await connection.execute("SELECT pg_advisory_unlock_all()")

        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(release())
            yield released
            waiting.cancel()
    finally:
        connection.terminate()


class Trial:
    """One fate of one statement, on a service of its own."""

    def __init__(self, plot: Plot, held: Held, fate: Fate, released: asyncio.Event) -> None:
        self._plot = plot
        self._held = held
        self._fate = fate
        self._released = released

    async def befall(self, node: Node) -> None:
        """Wait until the statement of a process is held, and let its fate come."""
        [row] = await eventually(lambda: self._plot.fetch(_WAITING, _KEY))
        # The careful way is held by the same trigger, and would prove nothing.
        assert self._held.function in row["query"]
        assert await self._plot.fetch(self._held.written) == []
        match self._fate:
            case Fate.DIES_UNDONE:
                await node.kill()
                await self._end_connection(row["pid"])
            case Fate.DIES_BEFORE_COMMIT:
                await node.kill()
                await self._commit()
            case Fate.DIES_AFTER_COMMIT:
                node.postgres.hold("down")
                await self._commit()
                await node.kill()
            case Fate.LIVES_UNDONE:
                await self._end_connection(row["pid"])
            case Fate.LIVES_UNHEARD:
                node.postgres.hold("down")
                await self._commit()
                node.postgres.cut()
                node.postgres.release()
        if not node.running:
            if node.role == "worker":
                await self._plot.expire_leases()
            await self._plot.start(node.role)

    async def _commit(self) -> None:
        self._released.set()
        await eventually(lambda: self._plot.fetch(self._held.written))

    async def _end_connection(self, pid: int) -> None:
        async def gone() -> bool:
            return not await self._plot.fetch("SELECT pg_terminate_backend($1)", pid) or not (
                await self._plot.fetch("SELECT 1 FROM pg_stat_activity WHERE pid = $1", pid)
            )

        await eventually(gone)
        self._released.set()


async def play(ground: Ground, held: Held, fate: Fate, agent: str) -> None:
    async with (
        ground.plot(
            AGENT_WORKER__LEASE_SECONDS=str(NEVER_SECONDS),
            AGENT_WORKER__REAP_SECONDS="0.2",
            AGENT_WORKER__HINT_AFTER_SECONDS="0.2",
            FAULTS_REAPER_SECONDS="0.2",
            # The test ends the wait, not Postgres.
            AGENT_DATABASE__LOCK_TIMEOUT_SECONDS=str(NEVER_SECONDS),
            AGENT_DATABASE__STATEMENT_TIMEOUT_SECONDS=str(NEVER_SECONDS),
        ) as plot,
        http_client() as client,
        commits_held(plot, held) as released,
    ):
        recorder = Recorder(plot, client)
        nodes = {"api": await plot.start("api")}
        if held.role == "worker":
            nodes["worker"] = await plot.start("worker")
        wish = recorder.wish(words=8, pace=0.01, tool="effect")
        run = asyncio.create_task(recorder.run(wish, stream=False, agent=agent))
        try:
            await Trial(plot, held, fate, released).befall(nodes[held.role])
            if "worker" not in nodes:
                await plot.start("worker")
            await run
        finally:
            run.cancel()
        assert await at_rest(plot, HUNG_SECONDS) == []
        recorder.evidence.faults.append(
            {"kind": "crash", "node": "", "pid": 0, "since": 0.0, "until": float("inf")}
        )
        evidence = await collect(plot, recorder.evidence)
        assert [str(violation) for violation in check(evidence)] == []
        [row] = evidence.runs
        # What was shown is not said again: without its end, the run of a dead worker is lost.
        is_lost = held is END and fate is Fate.DIES_UNDONE
        about = f"{held.function}, {agent}: {fate.value}"
        assert (row["error_code"] or row["status"]) == ("worker-lost" if is_lost else "succeeded"), about
        assert row["attempt"] == 1, about
        assert len(evidence.tool) == 1, about


# They wait most of the time, so they are played side by side.
@pytest.mark.slow
@pytest.mark.parametrize("held", [ACCEPT, END], ids=lambda held: held.function)
async def test_a_statement_and_its_process_part_at_the_commit_and_no_promise_breaks(
    ground: Ground, held: Held
) -> None:
    async with asyncio.TaskGroup() as trials:
        for fate, agent in itertools.product(Fate, AGENTS):
            trials.create_task(play(ground, held, fate, agent))
