"""Fires schedules: looks each second for what is due, and has it accepted as a request would be.

One worker looks, and tells the others that they need not (docs/adr/0063). If there is more than it takes at once, or
something fails, or it has died, the others look, too.

Rules, for a fire that was refused:

1. What may be different soon (a limit, a budget, a queue, a store) is tried again until the grace is over. Then the fire
   has failed, with the code of the last refusal.
2. A busy thread leaves the fire out, if the schedule says so.
3. A right that has ended pauses the schedule, with the reason. See ``authority.py``.
4. Everything else fails at once: the next fire may do better.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

import structlog

from core import errors
from core.agent_errors import AgentUnknown
from core.agentscope.runtime.accept.rated import Gateway
from core.agentscope.runtime.work.chores import Turns
from core.agentscope.schemas.accepted import AcceptedRun
from core.crash_points import crash_point
from core.errors import AgentBackendError
from core.metrics.catalogue import SCHEDULE_FIRES
from core.outage import report_failure
from core.schedules.fire import DueFire
from core.schedules.fire_store import FireStore, Settled
from core.store_failure import is_store_failure

log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
_TURN = "fire"
_JITTER = 0.1
BATCH = 20
_AT_ONCE = 4
"""Fires that a worker has accepted at the same time: its connections are for its runs."""
_LEAST_WAIT_SECONDS = 1.0
_MOST_WAIT_SECONDS = 60.0
FORGET_SECONDS = 600.0
_FORGET_ROWS = 5000

KEY_ENDED = "credential-ended"
RIGHT_ENDED = "authorization-expired"
_PAUSING = (AgentUnknown, errors.Forbidden, errors.Unauthenticated)
_BUSY = (errors.RunActive, errors.InterruptOpen)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a fire made no run."""

    code: str
    detail: str
    wait_seconds: float | None
    """When it may be tried again; ``None``: never."""
    pauses: bool = False
    is_busy: bool = False

    @classmethod
    def of(cls, error: AgentBackendError, attempts: int) -> Refusal:
        """Return what a refused request means for its fire."""
        pauses, is_busy = isinstance(error, _PAUSING), isinstance(error, _BUSY)
        again = error.retryable or is_busy or isinstance(error, errors.BudgetExhausted)
        wait = error.retry_after_seconds or _LEAST_WAIT_SECONDS
        if isinstance(error, errors.BudgetExhausted):
            # Until tomorrow, or until the user has more: the grace may be shorter.
            wait = _MOST_WAIT_SECONDS
        wait = min(max(wait, _LEAST_WAIT_SECONDS * 2 ** min(attempts, 6)), _MOST_WAIT_SECONDS)
        varied = wait * random.uniform(0.75, 1.25)  # noqa: S311  not for security
        return cls(error.code, error.detail, varied if again else None, pauses, is_busy)


class ScheduleFirer:
    """One worker's share of the fires.

    Args:
        turns: Of the process.
        store: The rows.
        acceptance: What accepts requests, within the limits and rates of their users.
        retention_days: How long settled fires and ended schedules are kept; 0: for ever.
    """

    def __init__(self, turns: Turns, store: FireStore, acceptance: Gateway, *, retention_days: int) -> None:
        self._turns = turns
        self._store = store
        self._acceptance = acceptance
        self._retention_days = retention_days
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._failing = False

    async def run(self) -> None:
        """Fire what is due until cancelled."""
        forget_at = 0.0
        loop = asyncio.get_running_loop()
        while True:
            waits = self._turns.wait_seconds(_TURN, LOOK_SECONDS)
            await asyncio.sleep(waits or LOOK_SECONDS * random.uniform(1 - _JITTER, 1 + _JITTER))  # noqa: S311  not a secret
            try:
                await self.look_in_turn()
                if loop.time() >= forget_at:
                    forget_at = loop.time() + FORGET_SECONDS / 10
                    await self.tend()
            except Exception as exc:  # noqa: BLE001  top of a background loop
                report_failure("schedules_not_fired", exc)

    async def look_in_turn(self) -> None:
        """Fire everything that is due, unless another worker does."""
        if self._turns.wait_seconds(_TURN, LOOK_SECONDS) <= 0:
            self._failing = False
            fires = await self.look()
            self._turns.did(_TURN, LOOK_SECONDS, alone=fires < BATCH and not self._failing)

    async def look(self) -> int:
        """Fire everything that is due; returns how many fires that were."""
        if not await self._store.has_work():
            return 0
        while (planned := await self._store.plan_due(BATCH)).schedules:
            SCHEDULE_FIRES.add("missed", amount=planned.missed)
            self._leave(planned.unread)
            if planned.schedules < BATCH:
                break
        fires = 0
        while (due := await self._store.lease(BATCH)).fires or due.unread:
            self._leave(due.unread)
            fires += len(due.fires)
            await asyncio.gather(*(self._in_turn(each) for each in due.fires))
        return fires

    async def tend(self) -> None:
        """Delete what is past its retention, if it is this worker's turn."""
        if not self._retention_days or not await self._turns.take("schedules", FORGET_SECONDS):
            return
        while await self._store.forget(days=self._retention_days, rows=_FORGET_ROWS) >= _FORGET_ROWS:
            pass

    def _leave(self, unread: int) -> None:
        """Leave what this version cannot read to the other workers: they have to look, too."""
        self._failing = self._failing or unread > 0

    async def _in_turn(self, due: DueFire) -> None:
        async with self._places:
            try:
                await self._try(due)
            except Exception as exc:  # noqa: BLE001  the other fires go on
                # Its lease ends, and then somebody tries again.
                self._failing = True
                report_failure("schedule_not_fired", exc, fire=due.fire.fire_pk)
                if due.is_overdue and not is_store_failure(exc):
                    detail = "The fire failed by a fault of this service."
                    await self._settle(due, "failed", code=AgentBackendError.code, detail=detail)

    async def _try(self, due: DueFire) -> None:
        fire = due.fire
        try:
            # Another worker may have had it accepted before it died. That counts, whatever has changed since.
            accepted = await self._found(due) if fire.attempts > 1 else None
            if accepted is None:
                if refusal := _missing_right(due):
                    await self._refused(due, refusal)
                    return
                if due.is_overdue and not due.late:
                    await self._too_late(due)
                    return
                accepted = await self._acceptance.accept(
                    due.principal,
                    fire.command(),
                    idempotency_key=fire.idempotency_key,
                    request_hash=fire.request_hash,
                )
        except AgentBackendError as exc:
            await self._refused(due, Refusal.of(exc, fire.attempts))
            return
        crash_point("schedule-accepted")
        await self._settle(due, "accepted", run=accepted)

    async def _too_late(self, due: DueFire) -> None:
        if due.last_refusal is None:
            await self._settle(due, "missed", code="missed", detail="No worker fired it in time.")
            return
        code, detail = due.last_refusal
        await self._settle(due, "failed", code=code, detail=detail)

    async def _found(self, due: DueFire) -> AcceptedRun | None:
        fire = due.fire
        return await self._acceptance.find_accepted(
            due.principal,
            fire.command(),
            idempotency_key=fire.idempotency_key,
            request_hash=fire.request_hash,
        )

    async def _refused(self, due: DueFire, refusal: Refusal) -> None:
        about = {"code": refusal.code, "detail": refusal.detail}

        async def settle(state: Settled) -> None:
            await self._settle(due, state, code=refusal.code, detail=refusal.detail)

        if refusal.is_busy and due.fire.form.on_busy == "skip":
            await settle("skipped")
        elif refusal.pauses:
            if await self._store.pause(due, **about):
                log.warning("schedule_paused", schedule=due.fire.schedule_pk, code=refusal.code)
                await settle("failed")
            elif not await self._store.postpone(due.fire, _LEAST_WAIT_SECONDS, **about):
                await settle("failed")
        elif refusal.wait_seconds is None or not await self._store.postpone(
            due.fire, refusal.wait_seconds, **about
        ):
            await settle("failed")

    async def _settle(
        self,
        due: DueFire,
        state: Settled,
        *,
        run: AcceptedRun | None = None,
        code: str | None = None,
        detail: str | None = None,
    ) -> None:
        ids = {} if run is None else {"run_id": run.run_id, "thread_id": run.thread_id}
        if await self._store.settle(due.fire, state, code=code, detail=detail, **ids):
            SCHEDULE_FIRES.add(state)
            log.info("schedule_fired", schedule=due.fire.schedule_pk, state=state, code=code, **ids)


def _missing_right(due: DueFire) -> Refusal | None:
    if due.key_ended:
        why = "The API key that made or last changed the schedule was revoked or has expired. Change the schedule with a good credential."
        return Refusal(KEY_ENDED, why, None, pauses=True)
    if due.right_ended:
        why = "Nobody has changed the schedule for so long that its token does not count any more. Enable it again."
        return Refusal(RIGHT_ENDED, why, None, pauses=True)
    if "run" not in due.authority.scopes:
        why = "The credential that made or last changed the schedule lacks the scope 'run'."
        return Refusal(errors.Forbidden.code, why, None, pauses=True)
    return None
