"""Why a run in memory is where it is: the facts that memory has, and the real judgement of them."""

from __future__ import annotations

from datetime import timedelta

from tests.support.memory_ports import MemoryRuns

from core.agentscope.events.why.diagnosis import why
from core.agentscope.events.why.facts import Limits, LiveRun, Question, Questions, RunFacts, Surroundings
from core.agentscope.schemas.run_diagnosis import RunWhyResponse
from core.config import Settings
from core.identity import Principal

LIMITS = Limits.of(Settings())
A_WHILE = timedelta(days=1)


class MemoryDiagnosis:
    """``RunDiagnosis`` over the runs of ``MemoryRuns``. Its one worker has room, and executes what it has begun."""

    def __init__(self, runs: MemoryRuns) -> None:
        self._runs = runs

    async def why(self, principal: Principal, thread_id: str, run_id: str) -> RunWhyResponse:
        thread, run = self._runs._newest(principal, thread_id, run_id)
        now = run.ended_at or run.started_at or run.created_at
        live = thread.live if run.status == "waiting" else None
        asked = [each for each in thread.open_interrupts if run.status == "waiting" or each.run is run]
        return why(
            RunFacts(
                around=Surroundings(now=now),
                thread_id=run.thread_id,
                run_id=run.run_id,
                status=run.status,
                attempt=0 if run.started_at is None else 1,
                lease_until=now + LIMITS.lease if run.status == "running" else None,
                last_seq=len(run.events),
                next_hint_at=now,
                queue_deadline_at=run.created_at + LIMITS.queue,
                cancel_requested_at=now if run.cancel_requested else None,
                error_code=run.error_code,
                created_at=run.created_at,
                started_at=run.started_at,
                ended_at=run.ended_at,
                live=None if live is None else LiveRun(live.run_id, live.status),
                questions=Questions(
                    tuple(
                        Question(
                            each.asked.interrupt_id, each.asked.reason, now + A_WHILE, each.asked.tool_name
                        )
                        for each in asked
                    )
                ),
            ),
            LIMITS,
        )
