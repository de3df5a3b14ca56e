"""A log that is partitioned: a part for each day's runs, made before it is needed and dropped as a whole.

A run has the part that was the newest when it was accepted, and all its events go there. A part is there before a run
can have it. So an event always finds its part: if no worker opens the next one, runs go on into the newest.

A part is dropped when retention has marked every run of it in its thread: readers get ``events-expired`` before the rows
go. Functions of the database do both, with the rights of the owner of the tables. See docs/adr/0069.
"""

from __future__ import annotations

import structlog
from sqlalchemy import TextClause, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

log = structlog.get_logger(__name__)

PART_SECONDS = 86_400.0
"""How long runs get the same part."""
_LOOK_SECONDS = 60
"""Limit of the look whether every run of a part is marked: it reads the runs of the last days."""
_HELD_BY_OTHERS = "55P03"

_OPEN = text("SELECT agent_open_log_part(:seconds)")
_DROP = text("SELECT agent_drop_log_part(:days)")
_IS_PARTED = text("SELECT EXISTS (SELECT FROM agent_log_part)")


async def is_parted(connection: AsyncConnection) -> bool:
    """Return whether the log is partitioned."""
    return bool(await connection.scalar(_IS_PARTED))


async def tend_parts(engine: AsyncEngine, *, days: float, seconds: float = PART_SECONDS) -> tuple[bool, int]:
    """Open the next part if it is time, and drop the parts whose runs are all past their retention.

    Args:
        engine: Of the worker.
        days: Retention of events.
        seconds: Age of the newest part at which the next one is opened.

    Returns:
        Whether a part was opened, and how many were dropped. Nothing is done to a log that is one table.
    """
    async with engine.connect() as connection:
        if not await is_parted(connection):
            return False, 0
    opened = await _do(engine, "log_part_opened", _OPEN, {"seconds": seconds})
    dropped = 0
    while await _do(engine, "log_part_dropped", _DROP, {"days": days}):
        dropped += 1
    return opened, dropped


async def _do(engine: AsyncEngine, event: str, statement: TextClause, values: dict[str, float]) -> bool:
    try:
        async with engine.begin() as connection:
            await connection.execute(text(f"SET LOCAL statement_timeout = '{_LOOK_SECONDS}s'"))
            log_part = await connection.scalar(statement, values)
    except DBAPIError as exc:
        if getattr(exc.orig, "sqlstate", None) != _HELD_BY_OTHERS:
            raise
        # Nobody waits behind it for longer; the next turn tries again.
        log.info("log_part_busy", step=event)
        return False
    if log_part is None:
        return False
    log.info(event, log_part=log_part)
    return True
