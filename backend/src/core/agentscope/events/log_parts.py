"""A log that is partitioned: a part for each day's runs, made before it is needed and dropped as a whole.

A run has the part that was the newest when it was accepted, and all its events go there. A part is there before a run
can have it. So an event always finds its part: if no worker opens the next one, runs go on into the newest.

A part is dropped when retention has marked every run of it in its thread: readers get ``events-expired`` before the rows
go. Functions of the database do both, with the rights of the owner of the tables. See docs/adr/0069.
"""

from __future__ import annotations

from typing import Any

import asyncpg
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

log = structlog.get_logger(__name__)

PART_SECONDS = 86_400.0
"""How long runs get the same part."""
_LOOK_SECONDS = 60
"""Limit of the look whether every run of a part is marked: it reads the runs of the last days."""
_ANSWER_SECONDS = 2
"""How much longer the answer is waited for: a server that lives is the first to give up."""

_OPEN = "SELECT agent_open_log_part($1)"
_DROP = "SELECT agent_drop_log_part($1)"
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

    Raises:
        Exception: Errors of SQLAlchemy and of asyncpg: the database is unavailable, or needs more than a minute for a
            part.
    """
    async with engine.connect() as connection:
        if not await is_parted(connection):
            return False, 0
    opened = await _do(engine, "log_part_opened", _OPEN, seconds)
    dropped = 0
    while await _do(engine, "log_part_dropped", _DROP, days):
        dropped += 1
    return opened, dropped


async def _do(engine: AsyncEngine, event: str, sql: str, value: float) -> bool:
    try:
        async with engine.begin() as connection:
            await connection.execute(text(f"SET LOCAL statement_timeout = '{_LOOK_SECONDS}s'"))
            log_part = await _answer(connection, sql, value)
    except asyncpg.LockNotAvailableError:
        # Nobody waits behind it for longer; the next turn tries again.
        log.info("log_part_busy", step=event)
        return False
    if log_part is None:
        return False
    log.info(event, log_part=log_part)
    return True


async def _answer(connection: AsyncConnection, sql: str, value: float) -> int | None:
    """Execute a function past SQLAlchemy, which cannot wait longer for one statement than for all others."""
    driver: Any = (await connection.get_raw_connection()).driver_connection
    try:
        found: int | None = await driver.fetchval(sql, value, timeout=_LOOK_SECONDS + _ANSWER_SECONDS)
    except asyncpg.PostgresError:
        raise
    except BaseException:
        # No answer, or nobody waits for it any more: a rollback would wait for the server once more.
        driver.terminate()
        await connection.invalidate()
        raise
    return found
