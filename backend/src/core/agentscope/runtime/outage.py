"""Reads that outlast a restart of Postgres: a run that has begun does not fail for the moment at which it reads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from core.errors import StoreUnavailable
from core.store_failure import is_store_failure

log = structlog.get_logger(__name__)

PAUSE_SECONDS = 0.5

Result = TypeVar("Result")


async def through_outage(read: Callable[[], Awaitable[Result]], *, seconds: float) -> Result:
    """Return what a read returns, asking again while Postgres is away.

    Args:
        read: Changes nothing, so that it may be repeated.
        seconds: How long Postgres may stay away.

    Raises:
        StoreUnavailable: It stayed away longer.
    """
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + seconds
    while True:
        try:
            return await read()
        except Exception as exc:
            if not is_store_failure(exc):
                raise
            if loop.time() + PAUSE_SECONDS > give_up_at:
                raise StoreUnavailable from exc
            log.warning("read_repeated", error=type(exc).__name__)
        await asyncio.sleep(PAUSE_SECONDS)
