"""Ends a run that no worker has begun: cancelled while queued, or queued for too long."""

from __future__ import annotations

import time

from sqlalchemy.ext.asyncio import AsyncConnection

from core.agentscope.events.agui_codec import RunWireState, to_agui_wire
from core.agentscope.events.append_writer import OwnedRun, StreamBatch
from core.agentscope.events.run_end import RunEnd, end_run
from core.agentscope.schemas.internal_events import RunFailed, RunFinished
from models import AgentRun


async def end_unstarted(
    connection: AsyncConnection, run: AgentRun, thread_id: str, event: RunFinished | RunFailed
) -> StreamBatch:
    """Write ``RUN_STARTED`` and the terminal event of a queued run, in the caller's transaction.

    Raises:
        LeaseLost: A worker has claimed it meanwhile.
    """
    # A run that went back to the queue after a lost worker has its RUN_STARTED already.
    state = RunWireState(thread_id, run.run_id, started=run.last_seq > 0)
    events = to_agui_wire(event, state, timestamp_ms=int(time.time() * 1000))
    return await end_run(
        connection,
        OwnedRun(run.id, run.session_id, run.ordinal or 0, run.attempt, run.last_seq),
        RunEnd(
            status="failed" if isinstance(event, RunFailed) else "cancelled",
            events=events,
            messages=[],
            error_code=event.code if isinstance(event, RunFailed) else None,
            from_status="queued",
        ),
    )
