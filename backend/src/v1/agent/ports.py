"""What the agent routes need from behind them. ``core.agentscope`` implements both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from core.agentscope.schemas.accepted import AcceptedRun
from core.agentscope.schemas.agent_runtime import (
    HistorySnapshotResponse,
    RunCommand,
    RunStatus,
    RunStatusResponse,
)
from core.agentscope.schemas.cursor import Cursor
from core.agentscope.schemas.threads import ThreadItem, ThreadListResponse
from core.agentscope.schemas.usage import Grouping, UsagePeriod, UsageResponse
from core.identity import Principal


class RunGateway(Protocol):
    """Makes runs durable and stops them."""

    async def accept(
        self, principal: Principal, command: RunCommand, *, idempotency_key: str, request_hash: bytes
    ) -> AcceptedRun:
        """Make a run durable, or find the one that already has this key.

        ``command`` has a thread id and a run id. A key that is found with another
        hash is refused; one that is found with the same hash gives the first
        run's ids, whatever ids ``command`` has.

        Raises:
            NotFound: The thread or an interrupt is not the principal's.
            IdempotencyMismatch: The key belongs to another body.
            RunActive, InterruptOpen, InterruptUncovered, InterruptResolved, InterruptExpired:
                The thread's state excludes the run.
            QueueFull, Overloaded, BudgetExhausted: Not now.
            StoreUnavailable: Nobody knows; repeat with the same key.
        """
        ...

    async def cancel(
        self, principal: Principal, thread_id: str, run_id: str, *, withdraw: bool = True
    ) -> RunStatus:
        """Ask a run to stop; repeating it changes nothing.

        Args:
            principal: Who asks.
            thread_id: The thread.
            run_id: The run.
            withdraw: A run that waits for an answer has ended already: also take
                its questions back. Otherwise it counts as finished.

        Raises:
            NotFound: No such run of the principal's.
            RunAlreadyFinished: It ended before it could be asked.
        """
        ...


class EventsFacade(Protocol):
    """Follows what runs say."""

    async def follow(
        self, principal: Principal, thread_id: str, *, run_id: str | None, cursor: Cursor | None
    ) -> AsyncIterator[bytes] | None:
        """Open a stream of ready SSE frames, with the retry line and heartbeats.

        Everything that can be refused is refused here, before the iterator exists.
        The iterator ends after the terminal event of ``run_id``, at the stream's
        greatest age, or when the process drains.

        Args:
            principal: Who reads.
            thread_id: The thread.
            run_id: Only this run; every run of the thread when absent.
            cursor: The last event seen; from the first event when absent.

        Returns:
            ``None`` when the run has ended and nothing is left after ``cursor``.

        Raises:
            NotFound: No such thread or run of the principal's.
            CursorAhead: ``cursor`` names an event that does not exist.
            CursorExpired: Retention removed what follows ``cursor``.
        """
        ...


class ThreadHistory(Protocol):
    """The messages of threads."""

    async def history(
        self, principal: Principal, thread_id: str, *, limit: int, before: str | None
    ) -> HistorySnapshotResponse:
        """Return one consistent snapshot of a thread.

        Args:
            principal: Who reads.
            thread_id: The thread.
            limit: How many of the newest messages.
            before: A message id; only older messages than this one.

        Raises:
            NotFound: No such thread of the principal's.
            InvalidRequest: ``before`` is not a message of the thread.
        """
        ...


class RunDirectory(Protocol):
    """The runs of threads."""

    async def get_run(self, principal: Principal, thread_id: str, run_id: str) -> RunStatusResponse:
        """Return one run's status, timings, usage and cost.

        Raises:
            NotFound: No such run of the principal's.
        """
        ...


class ThreadDirectory(Protocol):
    """The threads of their owner. Every method but the first raises ``NotFound`` for anybody else's."""

    async def list_threads(
        self, principal: Principal, *, limit: int, before: str | None, query: str | None
    ) -> ThreadListResponse:
        """Return a page of threads, newest activity first.

        Args:
            principal: Whose threads.
            limit: How many at most.
            before: ``nextBefore`` of the page before this one.
            query: Only threads with these words; the last may be the beginning of one.

        Raises:
            InvalidRequest: ``before`` comes from no page.
        """
        ...

    async def get_thread(self, principal: Principal, thread_id: str) -> ThreadItem:
        """Return one thread."""
        ...

    async def rename_thread(self, principal: Principal, thread_id: str, title: str) -> ThreadItem:
        """Give a thread another title and return it."""
        ...

    async def delete_thread(self, principal: Principal, thread_id: str) -> None:
        """End a thread's runs as cancelled, then delete everything that belongs to it."""
        ...


class UsageLedger(Protocol):
    """What users have used."""

    async def usage(self, principal: Principal, period: UsagePeriod, group_by: Grouping) -> UsageResponse:
        """Return the principal's usage of a period: totals, and a row for each day, model or thread."""
        ...
