"""The one way to wait for Postgres, and the one way to log an error of Postgres.

``core/store_failure.py`` decides whether Postgres is unavailable. A fault of this service is never retried: it is
raised at once and logged as an error with a traceback. The module is in ``core`` because events and runtime both
wait. Two loops use the same decision with their own rules: the group commit (``events/append_writer.py``), which
determines the outcome of each run, and the readers of streams (``events/reader.py``), which send heartbeats
meanwhile.
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
    """Return the result of an attempt, with retries while Postgres is unavailable.

    Args:
        attempt: Must be repeatable: it changes nothing, or it checks whether an earlier try of unknown outcome was
            committed.
        seconds: How long to wait for Postgres.
        what: Name of the work, for the log.

    Raises:
        StoreUnavailable: Postgres was unavailable for longer.
        Exception: Any other error of the attempt, at once.
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
    """Log an error after which the caller continues: an outage as a warning, a fault of ours with its traceback.

    For work that is repeated anyway (background loops) or that is optional (best effort).
    """
    if is_store_failure(error):
        log.warning(event, error=type(error).__name__, **fields)
    else:
        log.error(event, exc_info=error, **fields)
