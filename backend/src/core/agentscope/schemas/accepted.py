"""The result of accepting a run: the answer of a port, not of HTTP."""

from __future__ import annotations

from dataclasses import dataclass

from core.agentscope.schemas.agent_runtime import RunStatus


@dataclass(frozen=True, slots=True)
class AcceptedRun:
    """A durable run, new or found again by its idempotency key."""

    task_id: str
    thread_id: str
    run_id: str
    status: RunStatus
    ordinal: int | None
    """The run's ordinal in its thread; ``None`` while it waits behind another run."""
    created: bool
    """False for an idempotent repeat."""
    session_id: int
    """The thread's row: where its events are, for a stream that begins at once."""
