"""The one way to wait for Postgres, and the one way to report an error of it.

``core/store_failure.py`` judges. A fault of ours is never repeated: it passes at once, and its log line is an error
with a traceback. In ``core`` because events and runtime both wait. Two loops wait by the same judge and their own
rules: the group commit (``events/append_writer.py``), which settles the outcome of each of its runs, and readers of
streams (``events/reader.py``), which go on with heartbeats meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import structlog

from core.errors import StoreUnavailable
from core.store_failure import is_store_failure

log = structlog.get_logger(__name__)

PAUSE_SECONDS = 0.5

Result = TypeVar("Result")


async def through_outage(attempt: Callable[[], Awaitable[Result]], *, seconds: float, what: str) -> Result:
    """Return what an attempt returns, trying again while Postgres is away.

    Args:
        attempt: May be repeated: it changes nothing, or it finds out whether an
            earlier try, whose outcome was never learned, was committed.
        seconds: How long Postgres may stay away.
        what: Name of the work, for the log.

    Raises:
        StoreUnavailable: It stayed away longer.
        Exception: Of the attempt, at once, when Postgres is not away.
    """
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + seconds
    while True:
        try:
            return await attempt()
        except Exception as exc:
            if not is_store_failure(exc):
                raise
            if loop.time() + PAUSE_SECONDS > give_up_at:
                raise StoreUnavailable from exc
            log.warning("store_waited_for", what=what, error=type(exc).__name__)
        await asyncio.sleep(PAUSE_SECONDS)


def report_failure(event: str, error: BaseException, **fields: Any) -> None:
    """Log an error that its caller survives: an outage as a warning, a fault of ours with its traceback.

    For work that is done again anyway (background loops) or that only saves work (best effort).
    """
    if is_store_failure(error):
        log.warning(event, error=type(error).__name__, **fields)
    else:
        log.error(event, exc_info=error, **fields)
