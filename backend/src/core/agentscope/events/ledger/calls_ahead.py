"""Placeholders of model calls, written into the ledger before the calls are sent: a killed worker loses none.

Rules:

1. A request is sent only after its placeholder is committed, with estimated tokens and the outcome ``lost``.
2. At its end, the call overwrites its placeholder once: the key of a row is (run, call id).
3. The placeholder of a call that cost nothing (refused, or never sent) is deleted.
4. So a row that is still ``lost`` after the end of its run is a call of a dead worker. It may have cost something; the
   amount is unknown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from core.agentscope.events.ledger.ledger import CallLine, CallLines
from core.agentscope.events.owned_run import OwnedRun
from core.agentscope.events.status_sql import status_sql
from core.agentscope.schemas.internal_events import ModelUsage
from core.direct_sql import fetch
from core.errors import LeaseLost
from core.identity import Principal
from core.outage import report_failure, through_outage

_TAKE_BACK = status_sql("""
WITH owned AS (
    SELECT id FROM agent_run WHERE id = $1 AND attempt = $2 AND status = {running} FOR SHARE
)
DELETE FROM agent_model_call AS c USING owned
WHERE c.run_pk = owned.id AND c.call_id = ANY($3::text[]) AND c.outcome = 'lost'
""")


class CallsAhead:
    """The calls of one run that have begun and are not booked yet.

    Args:
        lines: The ledger.
        run: Whose calls; its worker is fenced.
        principal: Whose money.
        outage_seconds: How long a call waits for Postgres before it is given up.
        begun: Called each time a call may be sent.
    """

    def __init__(
        self,
        lines: CallLines,
        run: OwnedRun,
        principal: Principal,
        *,
        outage_seconds: float,
        begun: Callable[[], None],
    ) -> None:
        self._lines = lines
        self._run = run
        self._principal = principal
        self._outage_seconds = outage_seconds
        self._begun = begun
        self._unneeded: set[str] = set()
        self._task: asyncio.Task[None] | None = None
        self._opening: set[asyncio.Task[bool]] = set()

    async def begin(self, opening: ModelUsage) -> None:
        """Return when the call's line is committed: now it may be sent.

        Raises:
            LeaseLost: The run is not ours any more.
            StoreUnavailable: Postgres was unavailable.
        """

        line = CallLine(self._run, self._principal, opening)

        async def write_line() -> bool:
            # Shielded: whoever is cancelled takes the line back, but not before it is known to be there or not.
            task = asyncio.create_task(self._lines.open(line))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)
            return await asyncio.shield(task)

        # The same line again, when an earlier try was committed and its answer lost.
        if not await through_outage(write_line, seconds=self._outage_seconds, what="model_call_line"):
            raise LeaseLost
        self._begun()

    def take_back(self, call_id: str) -> None:
        """The call cost nothing; its line goes away in the background."""
        self._unneeded.add(call_id)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._take_back())

    async def settle(self) -> None:
        """Return when every line that is not needed is gone, or could not be removed: before the run's end."""
        if self._task is not None:
            await self._task
        if self._unneeded:
            await self._take_back()

    async def _take_back(self) -> None:
        while self._unneeded:
            if self._opening:
                await asyncio.wait(self._opening)
            call_ids = list(self._unneeded)
            try:
                await fetch(self._lines.engine, _TAKE_BACK, self._run.run_pk, self._run.attempt, call_ids)
            except Exception as exc:  # noqa: BLE001  best effort: the line says that the call is lost
                report_failure("model_call_line_not_taken_back", exc)
                return
            self._unneeded.difference_update(call_ids)
