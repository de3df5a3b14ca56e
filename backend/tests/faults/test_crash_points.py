"""A process dies at each named point, at the first and at the second attempt, with Redis and without: no promise breaks."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from dataclasses import dataclass

import pytest
from tests.faults.checker import check
from tests.faults.evidence import Evidence, Line, at_rest, collect
from tests.faults.launcher import AGENTS, Ground, Node, Plot, Role, eventually, http_client
from tests.faults.recorder import Recorder
from tests.support.limits import HUNG_SECONDS, NEVER_SECONDS

from core.crash_points import EXIT_CODE, POINTS

SUCCEEDED = frozenset({"succeeded"})
LOST = frozenset({"worker-lost"})
EITHER = SUCCEEDED | LOST


@dataclass(frozen=True)
class Case:
    """A point, at which passing of it the process dies, and how the run may end."""

    point: str
    first: frozenset[str]
    """After a death in the first attempt."""
    second: frozenset[str] = LOST
    """After a death in the second, which is the last."""
    passing: int = 1
    effects: frozenset[int] = frozenset({0})
    """How often the tool may have acted after a death in the first attempt."""


CASES = (
    Case("accept-inserted", SUCCEEDED, SUCCEEDED, effects=frozenset({1})),
    Case("accept-committed", SUCCEEDED, SUCCEEDED, effects=frozenset({1})),
    Case("accept-hinted", SUCCEEDED, SUCCEEDED, effects=frozenset({1})),
    Case("accept-answered", SUCCEEDED, SUCCEEDED, effects=frozenset({1})),
    Case("claim-committed", SUCCEEDED, effects=frozenset({1})),
    Case("run-started", SUCCEEDED, effects=frozenset({1})),
    # What comes quickly shares a flush. So the tool may have acted before the third one.
    Case("append-sent", LOST, passing=4, effects=frozenset({0, 1})),
    Case("append-committed", LOST, passing=3, effects=frozenset({0, 1})),
    Case("published", EITHER, EITHER, passing=3, effects=frozenset({0, 1})),
    Case("tool-before", LOST),
    Case("tool-after", LOST, effects=frozenset({1})),
    Case("checkpoint-saved", EITHER, EITHER, effects=frozenset({0, 1})),
    Case("end-before-commit", LOST, effects=frozenset({1})),
    Case("end-committed", SUCCEEDED, SUCCEEDED, effects=frozenset({1})),
    Case("reaper-before-commit", LOST, SUCCEEDED, effects=frozenset({0, 1})),
    Case("reaper-committed", LOST, SUCCEEDED, effects=frozenset({0, 1})),
)


class Trial:
    """One case on a service of its own: each agent has a run, and each run its deaths."""

    def __init__(self, plot: Plot, recorder: Recorder, *, with_redis: bool) -> None:
        self._plot = plot
        self._recorder = recorder
        self._with_redis = with_redis

    async def start(self, role: Role, crash_point: str = "") -> Node:
        node = await self._plot.start(role, crash_point=crash_point)
        if not self._with_redis:
            await node.redis.refuse()
        return node

    async def dies(self, node: Node, run_id: str, *, surely: bool) -> None:
        """Wait until a process dies at its point or, where it may not come to it, until the run has ended."""

        async def dead_or_done() -> bool:
            if not node.running:
                return True
            ended = "SELECT 1 FROM agent_run WHERE run_id = $1 AND ended_at IS NOT NULL"
            return not surely and bool(await self._plot.fetch(ended, run_id))

        await eventually(dead_or_done)
        if not node.running:
            assert node.exit_code == EXIT_CODE, node.log()[-3:]
            if node.role == "worker":
                await self._plot.expire_leases()

    async def play(self, case: Case, *, second: bool) -> list[Line]:
        """Run the case with each agent and return the rows of the runs, in the order of the agents."""
        point = f"{case.point}:{case.passing}"
        deaths: list[tuple[Role, list[str]]]
        if case.point.startswith("accept"):
            deaths = [("api", [point, point] if second else [point]), ("worker", [])]
        elif case.point.startswith("reaper"):
            deaths = [("worker", ["claim-committed" if second else "append-committed:3", point])]
        else:
            deaths = [("worker", ["claim-committed", point] if second else [point])]
        if deaths[0][0] == "worker":
            await self.start("api")
        run_ids = [await self._run(case, deaths, agent) for agent in AGENTS]
        self._recorder.evidence.faults.append(
            {"kind": "crash", "node": "", "pid": 0, "since": 0.0, "until": float("inf")}
        )
        evidence: Evidence = await collect(self._plot, self._recorder.evidence)
        assert [str(violation) for violation in check(evidence)] == []
        rows = {row["run_id"]: row for row in evidence.runs}
        assert sorted(rows) == sorted(run_ids)
        effects = Counter(line["run_id"] for line in evidence.tool)
        return [rows[run_id] | {"effects": effects[run_id]} for run_id in run_ids]

    async def _run(self, case: Case, deaths: list[tuple[Role, list[str]]], agent: str) -> str:
        """Run one agent to its end while processes die, and return the id of the run."""
        surely = case.point != "checkpoint-saved" and (self._with_redis or case.point != "published")
        wish = self._recorder.wish(words=8, pace=0.01, tool="effect")
        # Whoever dies is to be the only one, so that it surely has the run.
        for node in self._plot.nodes:
            if node.role in dict(deaths):
                await node.kill()
        run = asyncio.create_task(
            self._recorder.run(wish, stream=False, seconds=2 * HUNG_SECONDS, agent=agent)
        )
        try:
            for role, points in deaths:
                for wished in points:
                    await self.dies(await self.start(role, wished), wish.run_id, surely=surely)
                await self.start(role)
            seen = await run
        finally:
            run.cancel()
        assert seen.end is not None
        assert await at_rest(self._plot, HUNG_SECONDS) == []
        return wish.run_id


def test_every_point_has_its_case() -> None:
    # Those of webhooks are played in test_webhooks.py, those of schedules in test_schedules.py.
    others = ("webhook-", "schedule-")
    assert {case.point for case in CASES} == {name for name in POINTS if not name.startswith(others)}


async def play(ground: Ground, case: Case, *, second: bool, with_redis: bool) -> None:
    async with (
        ground.plot(
            AGENT_WORKER__LEASE_SECONDS=str(NEVER_SECONDS),
            AGENT_WORKER__REAP_SECONDS="0.2",
            AGENT_WORKER__HINT_AFTER_SECONDS="0.2",
            FAULTS_REAPER_SECONDS="0.2",
        ) as plot,
        http_client() as client,
    ):
        trial = Trial(plot, Recorder(plot, client), with_redis=with_redis)
        rows = await trial.play(case, second=second)
    for agent, row in zip(AGENTS, rows, strict=True):
        ended = row["error_code"] or row["status"]
        about = f"{case.point} {agent} second={second} redis={with_redis} {ended} {row['attempt']}"
        assert ended in (case.second if second else case.first), about
        if not second:
            assert row["effects"] in case.effects, about


# Trials wait most of the time: those of two points are played side by side.
@pytest.mark.slow
@pytest.mark.parametrize(
    "cases",
    list(zip(CASES[::2], CASES[1::2], strict=True)),
    ids=lambda cases: "+".join(case.point for case in cases),
)
async def test_a_death_at_these_points_breaks_no_promise(ground: Ground, cases: tuple[Case, ...]) -> None:
    async with asyncio.TaskGroup() as trials:
        for case, second, with_redis in itertools.product(cases, (False, True), (True, False)):
            trials.create_task(play(ground, case, second=second, with_redis=with_redis))


async def approve(ground: Ground, agent: str) -> None:
    pace = {"AGENT_WORKER__LEASE_SECONDS": str(NEVER_SECONDS), "FAULTS_REAPER_SECONDS": "0.2"}
    async with ground.plot(pace) as plot, http_client() as client:
        recorder = Recorder(plot, client)
        await plot.start("api")
        worker = await plot.start("worker", crash_point="tool-after")
        asked = await recorder.run(recorder.wish(tool="approved_effect"), agent=agent)
        [interrupt] = (asked.end or {})["outcome"]["interrupts"]
        # The tool is faster than the commit before it, which then never comes.
        worker.postgres.delay_seconds = 0.3
        wish = recorder.wish()
        answer = recorder.body(wish, asked.thread_id) | {
            "messages": [],
            "parentRunId": asked.run_id,
            "resume": [{"interruptId": interrupt["id"], "status": "resolved", "payload": {"approved": True}}],
        }
        resumed = asyncio.create_task(
            recorder.run(wish, thread_id=asked.thread_id, body=answer, path="/resume", kind="resume")
        )
        try:
            assert await worker.wait() == EXIT_CODE
            await worker.postgres.refuse()
            await plot.expire_leases()
            await plot.start("worker")
            assert ((await resumed).end or {}).get("code") == "worker-lost"
        finally:
            resumed.cancel()
        recorder.evidence.faults.append(
            {"kind": "crash", "node": "", "pid": 0, "since": 0.0, "until": float("inf")}
        )
        evidence = await collect(plot, recorder.evidence)
        assert [str(violation) for violation in check(evidence)] == []
        assert len(evidence.tool) == 1


@pytest.mark.slow
async def test_an_approved_call_acts_once_although_its_worker_dies_before_anything_was_shown(
    ground: Ground,
) -> None:
    async with asyncio.TaskGroup() as trials:
        for agent in AGENTS:
            trials.create_task(approve(ground, agent))
