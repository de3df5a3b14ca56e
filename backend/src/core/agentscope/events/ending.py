"""The end of a run and the promotion of the next waiting run, in one transaction."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from core.agentscope.events.agui_codec import to_agui_wire
from core.agentscope.events.history_fold import HistoryFold
from core.agentscope.events.owned_run import OwnedRun, StreamBatch
from core.agentscope.events.promotion import PromotedRun, promote_next
from core.agentscope.events.run_end import RunEnd, end_run
from core.agentscope.events.run_status import FAILED, OUTCOME_STATUS, QUEUED, EndStatus
from core.agentscope.events.wire_state import RunWireState, state_from_log
from core.agentscope.schemas.agent_runtime import AgUiWireEvent
from core.agentscope.schemas.internal_events import RunFailed, RunFinished


@dataclass(slots=True)
class Ended:
    """What the caller must do after the commit: publish the batches, send a hint for the promoted run."""

    shown: list[StreamBatch] = field(default_factory=list)
    promoted: PromotedRun | None = None


async def end_and_promote(connection: AsyncConnection, run: OwnedRun, end: RunEnd) -> Ended:
    """End a run and queue the next waiting run, inside the caller's transaction.

    Raises:
        LeaseLost: Another worker owns the run, or it has ended. Nothing was written.
    """
    ended = Ended([await end_run(connection, run, end)])
    await promote(connection, run.session_id, ended)
    return ended


async def promote(connection: AsyncConnection, session_id: int, ended: Ended) -> None:
    """Queue the thread's next waiting run; those that were cancelled meanwhile end on the way."""
    while (promoted := await promote_next(connection, session_id)) is not None:
        if not promoted.cancelled:
            ended.promoted = promoted
            return
        run = OwnedRun(promoted.run_pk, session_id, promoted.ordinal, promoted.attempt, 0)
        end = unstarted_end(promoted.thread_id, promoted.run_id, RunFinished(outcome="cancelled"))
        ended.shown.append(await end_run(connection, run, end))


def unstarted_end(
    thread_id: str, run_id: str, event: RunFinished | RunFailed, *, started: bool = False
) -> RunEnd:
    """Return the end of a run that no worker has begun: ``RUN_STARTED`` and the terminal event.

    Args:
        thread_id: The client's thread id.
        run_id: The client's run id.
        event: The end.
        started: The log has the ``RUN_STARTED`` of a first attempt already.
    """
    state = RunWireState(thread_id, run_id, started=started)
    return RunEnd(
        status=_status(event),
        events=to_agui_wire(event, state, timestamp_ms=int(time.time() * 1000)),
        messages=[],
        error_code=event.code if isinstance(event, RunFailed) else None,
        from_status=QUEUED,
    )


async def end_from_log(
    connection: AsyncConnection, run: OwnedRun, thread_id: str, run_id: str, event: RunFailed | RunFinished
) -> RunEnd:
    """Return the end of a running run whose worker does not cooperate: closes its open items, keeps its output.

    The caller holds the lock of the run's row, so nothing is appended between this read and the end.
    """
    rows = await connection.execute(_LOG, {"session_id": run.session_id, "ordinal": run.ordinal})
    logged = [AgUiWireEvent.from_json(row.payload) for row in rows]
    state = state_from_log(thread_id, run_id, logged)
    closing = to_agui_wire(event, state, timestamp_ms=int(time.time() * 1000))
    folding = HistoryFold()
    for item in (*logged, *closing):
        folding.apply(item)
    return RunEnd(
        status=_status(event),
        events=closing,
        messages=folding.snapshot(),
        error_code=event.code if isinstance(event, RunFailed) else None,
        state=folding.state,
        state_changed=folding.state_changed,
    )


def _status(event: RunFailed | RunFinished) -> EndStatus:
    return FAILED if isinstance(event, RunFailed) else OUTCOME_STATUS[event.outcome]


_LOG = text("""
SELECT payload FROM agent_run_event WHERE session_id = :session_id AND ordinal = :ordinal ORDER BY seq
""")
