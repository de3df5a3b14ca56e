"""Saves a run's checkpoints in the background, so that a crash loses less; each writes what is new in it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from dataclasses import replace

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
        self._stored: set[bytes] = set()
        """Parts of states that the thread has: those that a state names which stays as long as the run."""
        self._brought: set[bytes] = set()
        """Parts that the run may have stored."""

    def begin(self, stored: Iterable[bytes]) -> None:
        """Note the parts of the state that the run begins with."""
        self._stored.update(stored)

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

    def difference(self, checkpoint: Checkpoint) -> Checkpoint:
        """Return a checkpoint that writes only what the thread does not have, and deletes what nothing names any more."""
        gone = self._brought - checkpoint.state.parts.keys()
        return replace(checkpoint, stored=frozenset(self._stored), superseded=tuple(gone))

    async def _save(self, checkpoint: Checkpoint) -> None:
        made = self.difference(checkpoint)
        # Noted before: if the answer is lost, they may be there.
        self._brought.update(made.state.parts.keys() - self._stored)
        # And these may be gone.
        self._stored.difference_update(made.superseded)
        async with self._engine.begin() as connection:
            await save_checkpoint(connection, self._run, made)
        self._stored.update(made.state.parts)
        self._brought.difference_update(made.superseded)

    async def _write(self) -> None:
        while (checkpoint := self._newest) is not None:
            self._newest = None
            try:
                await self._save(checkpoint)
                crash_point("checkpoint-saved")
            except Exception as exc:  # noqa: BLE001  the run's end writes the state again
                report_failure("checkpoint_not_saved", exc)
