"""The end of a run and the promotion of the next waiting run, in one transaction."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncConnection

from core.agentscope.events.agui_codec import to_agui_wire
from core.agentscope.events.log_fold import LogFold, log_page
from core.agentscope.events.owned_run import OwnedRun, StreamBatch
from core.agentscope.events.promotion import PromotedRun, promote_next
from core.agentscope.events.run_end import EndedRun, RunEnd, end_run
from core.agentscope.events.run_status import FAILED, OUTCOME_STATUS, QUEUED, EndStatus
from core.agentscope.events.run_summary import RunSummary
from core.agentscope.events.wire_state import RunWireState
from core.agentscope.schemas.internal_events import RunFailed, RunFinished


@dataclass(slots=True)
class Ended:
    """What the caller must do after the commit: publish the batches, log the runs, send a hint for the promoted run."""

    shown: list[StreamBatch] = field(default_factory=list)
    runs: list[RunSummary] = field(default_factory=list)
    promoted: PromotedRun | None = None

    def add(self, run: EndedRun) -> None:
        """Note a run that the transaction has ended."""
        self.shown.append(run.batch)
        self.runs.append(run.summary)


async def end_and_promote(connection: AsyncConnection, run: OwnedRun, end: RunEnd) -> Ended:
    """End a run and queue the next waiting run, inside the caller's transaction.

    Raises:
        LeaseLost: Another worker owns the run, or it has ended. Nothing was written.
    """
    ended = Ended()
    ended.add(await end_run(connection, run, end))
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
        ended.add(await end_run(connection, run, end))


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
    connection: AsyncConnection,
    run: OwnedRun,
    thread_id: str,
    run_id: str,
    event: RunFailed | RunFinished,
    *,
    rescue: bool = False,
) -> RunEnd:
    """Return the end of a running run whose worker does not cooperate: closes its open items, keeps its output.

    The caller holds the lock of the run's row, so nothing is appended between this read and the end.

    Args:
        connection: The transaction that will write the end.
        run: The run, as its log has it.
        thread_id: The client's thread id.
        run_id: The client's run id.
        event: The end.
        rescue: An end from the log failed before. The log is read as far as it can be, and messages that cannot be
            stored are replaced by a note.
    """
    wire = RunWireState(thread_id, run_id)
    log = LogFold(wire)
    while page := await log_page(connection, run.session_id, run.ordinal, after=log.seq):
        try:
            log.extend(page)
        except Exception:
            if not rescue:
                raise
            # The first event is always RUN_STARTED, whether it can be read or not.
            wire.started = True
            break
        # Other runs of the process go on in between.
        await asyncio.sleep(0)
    closing = to_agui_wire(event, wire, timestamp_ms=int(time.time() * 1000))
    folding = log.fold
    for item in closing:
        folding.apply(item)
    return RunEnd(
        status=_status(event),
        events=closing,
        messages=folding.snapshot(),
        error_code=event.code if isinstance(event, RunFailed) else None,
        state=folding.state,
        state_changed=folding.state_changed and not rescue,
        rescue=rescue,
    )


def _status(event: RunFailed | RunFinished) -> EndStatus:
    return FAILED if isinstance(event, RunFailed) else OUTCOME_STATUS[event.outcome]
