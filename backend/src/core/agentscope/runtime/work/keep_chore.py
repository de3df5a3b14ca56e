"""The chore of what is kept for a time only: conversations, notes, states of the agent, usage. One worker does it in a period.

Events, inputs, and states without a time of their own are the reaper's (``events/retention.py``); files have a chore of
their own. A class without a time is kept for ever. A sweep looks at a window of rows by their ids in each step, so no
step reads a whole table.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from core.agentscope.events.ledger.ledger_retention import LEDGERS, drop_usage
from core.agentscope.events.state_retention import Looked, drop_old, drop_replaced, find_old, find_replaced
from core.agentscope.runtime.work.chores import Turns
from core.config import WorkerSettings
from core.errors import NotFound
from core.identity import Principal
from core.outage import report_failure

log = structlog.get_logger(__name__)

PERIOD_SECONDS = 600.0
WINDOW_ROWS = 1000
_LOOK_SECONDS = 60.0
_JITTER = 0.1

DeleteIdle = Callable[[Principal, str, datetime], Awaitable[None]]
"""Deletes a thread like its owner does, unless something has happened in it since a time."""


class KeepChore:
    """One worker's share of the chore.

    Args:
        engine: Of the process.
        turns: Of the process.
        settings: How long what is kept.
        delete_idle: Deletes threads.
    """

    def __init__(
        self, engine: AsyncEngine, turns: Turns, settings: WorkerSettings, delete_idle: DeleteIdle
    ) -> None:
        self._engine = engine
        self._turns = turns
        self._settings = settings
        self._delete_idle = delete_idle

    @property
    def has_work(self) -> bool:
        """Whether anything is kept for a time only."""
        kept = self._settings
        return any(
            (
                kept.thread_retention_days,
                kept.memory_retention_days,
                kept.checkpoint_retention_days,
                kept.last_checkpoint_retention_days,
                kept.usage_retention_days,
            )
        )

    async def run(self) -> None:
        """Look until cancelled. In a deployment that keeps everything, nothing is looked at."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS * random.uniform(1 - _JITTER, 1 + _JITTER))  # noqa: S311  not a secret
            try:
                await self.tend()
            except Exception as exc:  # noqa: BLE001  top of a background loop
                report_failure("keep_chore_failed", exc)

    async def tend(self) -> None:
        """Sweep once if it is this worker's turn."""
        if self.has_work and await self._turns.take("keep", PERIOD_SECONDS):
            classes = {
                "threads": self.drop_threads,
                "memories": self.drop_notes,
                "states": self.drop_states,
                "usage": self.drop_usage,
            }
            gone: dict[str, int] = {}
            for name, drop in classes.items():
                try:
                    gone[name] = await drop()
                except Exception as exc:  # noqa: BLE001  what goes wrong with one class keeps no other
                    report_failure("keep_chore_failed", exc, kept=name)
            if any(gone.values()):
                log.info("past_their_time", **gone)

    async def drop_threads(self) -> int:
        """Delete the threads in which nothing has happened for too long; returns how many."""
        days = self._settings.thread_retention_days
        after, dropped = 0, 0
        while days:
            async with self._engine.connect() as connection:
                values = {"after": after, "days": days, "rows": WINDOW_ROWS}
                rows = (await connection.execute(_IDLE, values)).all()
            for row in rows:
                if row.thread_id is not None:
                    dropped += await self._drop(row)
            if not rows or rows[0].looked_at < WINDOW_ROWS:
                break
            after = rows[0].last
        return dropped

    async def drop_notes(self) -> int:
        """Delete the notes that are too old; returns how many."""
        days = self._settings.memory_retention_days
        after, dropped = 0, 0
        while days:
            async with self._engine.begin() as connection:
                values = {"after": after, "days": days, "rows": WINDOW_ROWS}
                row = (await connection.execute(_NOTES, values)).one()
            dropped += row.gone
            if row.looked_at < WINDOW_ROWS:
                break
            after = row.last
        return dropped

    async def drop_states(self) -> int:
        """Delete the states of the agent that are too old, of those with a time of their own; returns how many."""
        dropped = 0
        if days := self._settings.checkpoint_retention_days:
            dropped += await self._in_threads(
                partial(find_replaced, self._engine, days=days),
                partial(drop_replaced, self._engine, days=days),
            )
        if days := self._settings.last_checkpoint_retention_days:
            dropped += await self._in_threads(
                partial(find_old, self._engine, days=days), partial(drop_old, self._engine, days=days)
            )
        return dropped

    async def drop_usage(self) -> int:
        """Delete the lines of usage that are too old; returns how many."""
        days, dropped = self._settings.usage_retention_days, 0
        if days:
            for ledger in LEDGERS:
                dropped += await drop_usage(self._engine, ledger, days=days, rows=WINDOW_ROWS)
        return dropped

    async def _in_threads(
        self, find: Callable[..., Awaitable[Looked]], drop: Callable[[int], Awaitable[int]]
    ) -> int:
        after, dropped = 0, 0
        while True:
            looked = await find(after=after, rows=WINDOW_ROWS)
            for session_id in looked.found:
                dropped += await drop(session_id)
            if looked.count < WINDOW_ROWS:
                return dropped
            after = looked.last

    async def _drop(self, row: object) -> int:
        tenant_id, user_id, thread_id, before = (
            getattr(row, name) for name in ("tenant_id", "user_id", "thread_id", "before")
        )
        try:
            await self._delete_idle(Principal(tenant_id, user_id), thread_id, before)
        except NotFound:
            return 0  # its owner was faster, or goes on with it
        return 1


# One row at least, also if the window has no thread of that age: it says where to go on.
_IDLE = text("""
WITH looked AS (
    SELECT id, tenant_id, user_id, thread_id, updated_at FROM agent_chat_session WHERE id > :after
    ORDER BY id LIMIT :rows
), place AS (
    SELECT count(*) AS looked_at, max(id) AS last,
        statement_timestamp() - CAST(:days AS integer) * interval '1 day' AS before FROM looked
)
SELECT p.looked_at, p.last, p.before, l.tenant_id, l.user_id, l.thread_id
FROM place AS p LEFT JOIN looked AS l ON l.updated_at < p.before ORDER BY l.id
""")
_NOTES = text("""
WITH looked AS (
    SELECT id, created_at FROM agent_memory WHERE id > :after ORDER BY id LIMIT :rows
), gone AS (
    DELETE FROM agent_memory AS m USING looked AS l
    WHERE m.id = l.id AND l.created_at < statement_timestamp() - CAST(:days AS integer) * interval '1 day'
    RETURNING m.id
)
SELECT (SELECT count(*) FROM looked) AS looked_at, (SELECT max(id) FROM looked) AS last,
    (SELECT count(*) FROM gone) AS gone
""")
