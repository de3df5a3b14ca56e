"""Saves a run's checkpoints in the background, so that a crash loses less."""

from __future__ import annotations

import asyncio
import contextlib

from sqlalchemy.ext.asyncio import AsyncEngine

from core.agentscope.events.checkpoints import Checkpoint, save_checkpoint
from core.agentscope.events.owned_run import OwnedRun
from core.crash_points import crash_point
from core.outage import report_failure


class CheckpointSaver:
    """Writes the newest checkpoint in the background, one at a time; older ones are skipped."""

    def __init__(self, engine: AsyncEngine, run: OwnedRun) -> None:
        self._engine = engine
        self._run = run
        self._newest: Checkpoint | None = None
        self._task: asyncio.Task[None] | None = None

    def save(self, checkpoint: Checkpoint) -> None:
        """Take in a checkpoint; returns at once."""
        self._newest = checkpoint
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write())

    async def settle(self) -> None:
        """Return when nothing is being written any more; what has not begun is not written."""
        self._newest = None
        if self._task is not None:
            with contextlib.suppress(Exception):
                await self._task

    async def _write(self) -> None:
        while (checkpoint := self._newest) is not None:
            self._newest = None
            try:
                async with self._engine.begin() as connection:
                    await save_checkpoint(connection, self._run, checkpoint)
                crash_point("checkpoint-saved")
            except Exception as exc:  # noqa: BLE001  the run's end writes the state again
                report_failure("checkpoint_not_saved", exc)
