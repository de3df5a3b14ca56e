"""The chore of files: what expired and what was deleted goes, bytes and rows. One worker does it in a period."""

from __future__ import annotations

import asyncio
import random

import structlog

from core.agentscope.runtime.work.chores import Turns
from core.files.library import FileLibrary
from core.outage import report_failure

log = structlog.get_logger(__name__)

PERIOD_SECONDS = 300.0
_LOOK_SECONDS = 60.0
_JITTER = 0.1


class FileChore:
    """One worker's share of the chore.

    Args:
        turns: Of the process.
        files: Of the process.
    """

    def __init__(self, turns: Turns, files: FileLibrary) -> None:
        self._turns = turns
        self._files = files

    async def run(self) -> None:
        """Clean up until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS * random.uniform(1 - _JITTER, 1 + _JITTER))  # noqa: S311  not a secret
            try:
                await self.tend()
            except Exception as exc:  # noqa: BLE001  top of a background loop
                report_failure("file_chore_failed", exc)

    async def tend(self) -> None:
        """Clean up if it is this worker's turn."""
        if await self._turns.take("files", PERIOD_SECONDS) and (gone := await self._files.clean_up()):
            log.info("files_removed", files=gone)
