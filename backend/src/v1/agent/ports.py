"""The ports: what the agent routes need from ``core.agentscope``, which implements them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from core.agentscope.events.connect import ConnectRequest
from core.agentscope.schemas.accepted import AcceptedRun
from core.agentscope.schemas.agent_runtime import (
    HistorySnapshotResponse,
    RunCommand,
    RunStatus,
    RunStatusResponse,
)
from core.agentscope.schemas.cursor import Cursor
from core.agentscope.schemas.run_diagnosis import RunWhyResponse
from core.agentscope.schemas.runs import RunListResponse
from core.agentscope.schemas.threads import ThreadItem, ThreadListResponse
from core.agentscope.schemas.usage import Grouping, UsagePeriod, UsageResponse
from core.identity import Principal
from core.webhooks.run_webhook import RunWebhook


class RunGateway(Protocol):
    """Makes runs durable and stops them."""

    async def accept(
        self,
        principal: Principal,
        command: RunCommand,
        *,
        idempotency_key: str,
        request_hash: bytes,
        webhook: RunWebhook | None = None,
    ) -> AcceptedRun:
        """Make a run durable, or find the run that already has this key.

        ``command`` has a thread id and a run id. If the key exists with a different hash, the command is refused. If
        the key exists with the same hash, the ids of the existing run are returned, and the ids of ``command`` are
        ignored. ``webhook`` is stored with a new run.

        Raises:
            NotFound: The thread or an interrupt is not the principal's.
            IdempotencyMismatch: The key belongs to a different body.
            RunActive, InterruptOpen, InterruptUncovered, InterruptResolved, InterruptExpired:
                The state of the thread does not permit the run.
            QueueFull, Overloaded, BudgetExhausted: A limit or a budget does not permit the run now.
            StoreUnavailable: Outcome unknown: retry with the same key.
        """
        ...

    async def find_accepted(
        self, principal: Principal, command: RunCommand, *, idempotency_key: str, request_hash: bytes
    ) -> AcceptedRun | None:
        """Find the run that a request has already made; nothing is written. The arguments are those of :meth:`accept`.

        Returns:
            ``None`` if the request is a new one.

        Raises:
            IdempotencyMismatch: The key belongs to a different body.
        """
        ...

    async def cancel(
        self, principal: Principal, thread_id: str, run_id: str, *, withdraw: bool = True
    ) -> RunStatus:
        """Ask a run to stop. The call is idempotent.

        Args:
            principal: Who asks.
            thread_id: The thread.
            run_id: The run.
            withdraw: For a run that ended with an interrupt: also cancel its open interrupts. If false, such a run
                counts as finished.

        Raises:
            NotFound: No such run of the principal's.
            RunAlreadyFinished: The run ended before the request.
        """
        ...


class EventsFacade(Protocol):
    """Streams the events of runs."""

    async def follow(
        self, principal: Principal, thread_id: str, *, run_id: str | None, cursor: Cursor | None
    ) -> AsyncIterator[bytes] | None:
        """Open a stream of ready SSE frames, with the retry line and heartbeats.

        All errors are raised here, before the iterator exists. The iterator ends after the terminal event of
        ``run_id``, at the maximum age of the stream, or when the process drains.

        Args:
            principal: Who reads.
            thread_id: The thread.
            run_id: Only this run; every run of the thread when absent.
            cursor: The last event seen; from the first event when absent.

        Returns:
            ``None`` if the run has ended and has no events after ``cursor``.

        Raises:
            NotFound: No such thread or run of the principal's.
            CursorAhead: ``cursor`` names an event that does not exist.
            CursorExpired: Retention deleted events after ``cursor``.
        """
        ...

    def follow_new(
        self, principal: Principal, run: AcceptedRun, *, protocol_version: str | None
    ) -> AsyncIterator[bytes]:
        """Open the stream of a run that was created just now, as :meth:`follow` without a cursor. Refuses nothing.

        What the caller knows of the run is not asked again: nothing is read from the store before the first event.

        Args:
            principal: The owner of the run.
            run: As :meth:`RunGateway.accept` returned it.
            protocol_version: Of the client that sent it.
        """
        ...

    async def connect(self, principal: Principal, request: ConnectRequest) -> AsyncIterator[bytes] | None:
        """Open a stream for a client that holds nothing: everything so far, then the live run to its terminal event.

        A thread that the principal does not have looks like one without messages. All errors are raised here, before
        the iterator exists.

        Returns:
            ``None`` if the client has seen the terminal event.

        Raises:
            NotFound: The client was connected to a thread that the principal no longer has.
            CursorAhead: ``request.after`` names an event that does not exist.
            CursorExpired: Retention deleted events after ``request.after``.
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

    async def list_runs(
        self, principal: Principal, thread_id: str, *, limit: int, before: str | None
    ) -> RunListResponse:
        """Return a page of a thread's runs, newest first.

        Args:
            principal: Whose thread.
            thread_id: The thread.
            limit: How many at most.
            before: ``nextBefore`` of the page before this one.

        Raises:
            NotFound: No such thread of the principal's.
            InvalidRequest: ``before`` comes from no page.
        """
        ...


class RunDiagnosis(Protocol):
    """Says why runs are where they are."""

    async def why(self, principal: Principal, thread_id: str, run_id: str) -> RunWhyResponse:
        """Say why a run is where it is: the cause, what to do, and the evidence. Of a resumed run, its newest segment.

        Raises:
            NotFound: No such run of the principal's.
        """
        ...


class ThreadDirectory(Protocol):
    """The threads of a principal. Every method except the first raises ``NotFound`` for threads of other principals."""

    async def list_threads(
        self,
        principal: Principal,
        *,
        limit: int,
        before: str | None,
        query: str | None,
        agent_id: str | None = None,
    ) -> ThreadListResponse:
        """Return a page of threads, newest activity first.

        Args:
            principal: Whose threads.
            limit: How many at most.
            before: ``nextBefore`` of the page before this one.
            query: Only threads with these words; the last word may be incomplete.
            agent_id: Only threads of this agent.

        Raises:
            InvalidRequest: ``before`` is not a ``nextBefore`` value.
        """
        ...

    async def get_thread(self, principal: Principal, thread_id: str) -> ThreadItem:
        """Return one thread."""
        ...

    async def rename_thread(self, principal: Principal, thread_id: str, title: str) -> ThreadItem:
        """Change the title of a thread and return the thread."""
        ...

    async def delete_thread(self, principal: Principal, thread_id: str) -> None:
        """Cancel the runs of a thread, then delete the thread with all its data."""
        ...


class UsageLedger(Protocol):
    """The usage of users."""

    async def usage(
        self,
        principal: Principal,
        period: UsagePeriod,
        group_by: Grouping,
        agent_id: str | None = None,
    ) -> UsageResponse:
        """Return the principal's usage of a period: totals, and a row for each day, model or thread.

        Args:
            principal: Whose usage.
            period: When the calls ended.
            group_by: What a row is.
            agent_id: Only the model calls of this agent's runs.
        """
        ...
