"""Says why accepted runs wait when no worker is running."""

from __future__ import annotations

import asyncio

import structlog

from core.readiness import ReadinessProbe

log = structlog.get_logger(__name__)


class WorkerWatch:
    """Logs one line for each run that is accepted while no worker is running.

    The workers are looked for after the answer, once for all runs that are accepted meanwhile, so a run never waits for
    the look.

    Args:
        readiness: Counts the workers; asks the database once a second at most.
    """

    def __init__(self, readiness: ReadinessProbe) -> None:
        self._readiness = readiness
        self._accepted: list[tuple[str, str]] = []
        self._looking: asyncio.Task[None] | None = None

    def note(self, thread_id: str, run_id: str) -> None:
        """Take a run that was accepted and that a worker has to begin."""
        self._accepted.append((thread_id, run_id))
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())

    async def no_worker(self) -> bool:
        """Return whether no worker is running, as far as the database tells."""
        return (await self._readiness()).workers == 0

    async def redis_away(self) -> bool:
        """Return whether Redis does not answer, so that workers are not told of runs."""
        return not (await self._readiness()).redis

    async def aclose(self) -> None:
        """Give up a look that is under way."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait({self._looking})

    async def _look(self) -> None:
        while self._accepted:
            missing = await self.no_worker()
            accepted, self._accepted = self._accepted, []
            if missing:
                for thread_id, run_id in accepted:
                    log.warning(
                        "run_waits_for_worker",
                        thread_id=thread_id,
                        run_id=run_id,
                        hint="No worker is running. Start `agentroute worker`.",
                    )
