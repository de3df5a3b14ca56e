"""Actions after a commit: publishing events and sending hints, only when the transaction is durable."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from core.agentscope.events.ending import Ended
from core.agentscope.events.owned_run import Publisher, StreamBatch
from core.agentscope.events.run_summary import AgentName, RunSummary, log_ended_runs
from core.agentscope.runtime.hints import Hints
from core.store_failure import is_lost_race

_ATTEMPTS = 3

Result = TypeVar("Result")


@dataclass(slots=True)
class AfterCommit:
    """Events to show, ended runs to log, runs to start and runs to stop."""

    agent: AgentName
    """Names agents for the log."""
    to_show: list[StreamBatch] = field(default_factory=list)
    to_log: list[RunSummary] = field(default_factory=list)
    to_start: dict[int, str] = field(default_factory=dict)
    to_stop: list[int] = field(default_factory=list)

    def note(self, ended: Ended) -> None:
        """Show what a run's end wrote, and start the run that waited for it."""
        self.to_show += ended.shown
        self.to_log += ended.runs
        if ended.promoted is not None:
            self.to_start[ended.promoted.run_pk] = ended.promoted.task_id

    def clear(self) -> None:
        """Forget a transaction that was rolled back."""
        self.to_show.clear()
        self.to_log.clear()
        self.to_start.clear()
        self.to_stop.clear()

    async def tell(self, publisher: Publisher, hints: Hints) -> None:
        """Tell readers and workers, best effort."""
        publisher.publish(self.to_show)
        log_ended_runs(self.to_log, agent=self.agent)
        for run_pk, task_id in self.to_start.items():
            # After the commit: a worker that is told earlier would find no run.
            await hints.send(run_pk, task_id)
        for run_pk in self.to_stop:
            await hints.cancel(run_pk)


async def in_transaction(
    sessions: async_sessionmaker[AsyncSession], unit: Callable[[AsyncSession], Awaitable[Result]]
) -> Result:
    """Run a unit of work in a transaction; once more after it lost a race that a second look decides."""
    for _ in range(_ATTEMPTS - 1):
        try:
            async with sessions() as session, session.begin():
                return await unit(session)
        except IntegrityError:
            # Another request inserted the same key or thread between our read and our insert.
            continue
        except DBAPIError as exc:
            if not is_lost_race(exc):
                raise
    async with sessions() as session, session.begin():
        return await unit(session)
