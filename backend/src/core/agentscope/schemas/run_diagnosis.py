"""Why a run is where it is, as it is told: to its owner, and with more to operators. Plain data, no I/O."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from core.agentscope.schemas.agent_runtime import RunStatus
from core.agentscope.schemas.messages import WireModel


class WaitedRun(WireModel):
    """The run of the same thread that is ahead."""

    run_id: str
    status: RunStatus


class WaitedCall(WireModel):
    """The model call that the run waits for."""

    model: str | None = None
    stage: str | None = None
    since: datetime | None = None
    """When the call, or its newest try, began."""
    answering: bool = False
    """Whether the model has begun to answer."""
    attempt: int | None = None
    """Number of the newest try, if it is not the first."""
    failed_code: str | None = None
    """Of the try before it."""
    failed_at: datetime | None = None
    next_try_at: datetime | None = None


class WaitedTool(WireModel):
    """A tool call without a result."""

    tool_call_id: str
    name: str | None = None
    since: datetime


class WaitedQuestion(WireModel):
    """A question that can be answered now."""

    interrupt_id: str
    reason: str
    tool: str | None = None
    expires_at: datetime


class RunEvidence(WireModel):
    """What the cause was seen from. Absent: there is no such thing."""

    now: datetime
    """The database's time of the answer; all times are its."""
    created_at: datetime
    queued_at: datetime | None = None
    started_at: datetime | None = None
    first_token_at: datetime | None = None
    ended_at: datetime | None = None
    attempt: int
    """How many workers have begun the run."""
    max_attempts: int
    queue_position: int | None = Field(
        default=None, description="From 1: in the queue, or among the waiting runs of the thread."
    )
    next_hint_at: datetime | None = None
    """When workers look for the run by themselves."""
    queue_deadline_at: datetime | None = None
    worker_seen_at: datetime | None = None
    """When the worker has last shown that it lives."""
    lease_until: datetime | None = None
    deadline_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    last_event_at: datetime | None = None
    """The newest progress."""
    last_event_type: str | None = None
    error_code: str | None = None
    run: WaitedRun | None = None
    model_call: WaitedCall | None = None
    tools: list[WaitedTool] | None = None
    questions: list[WaitedQuestion] | None = None


class RunWhyResponse(WireModel):
    """Why a run is where it is."""

    thread_id: str
    run_id: str
    status: RunStatus
    cause: str = Field(
        description="A code of `docs/how-to/stuck-runs.md`, or of a failure. It never changes its meaning."
    )
    explanation: str
    advice: str = Field(description="What to do.")
    changes_at: datetime | None = Field(
        default=None, description="When the service does something by itself, if nothing happens before."
    )
    evidence: RunEvidence


class OperatorEvidence(WireModel):
    """What operators see beside it."""

    worker_id: str | None = None
    """The worker that has the run, or had it last: host, process and a random part."""
    provider: str | None = None
    """Of the open model call."""
    queued_runs: int
    running_runs: int
    user_running_runs: int
    workers: int | None = None
    places: int | None = None
    """Runs that all workers execute at once."""
    next_repair_at: datetime | None = None
    store_started_at: datetime | None = None
    store_read_only: bool = False
    redis_away: bool | None = None
    released: int = 0
    """Attempts that gave the run back; they do not count."""
    last_seq: int = 0


class OperatorRunItem(WireModel):
    """A run in the list of operators."""

    id: int
    """Names the run in the routes and commands of operators, and in the logs of workers (``run``)."""
    tenant_id: str
    user_id: str
    thread_id: str
    run_id: str
    agent_id: str | None = None
    status: RunStatus
    cause: str
    age_seconds: float
    """Since the run was accepted."""
    attempt: int
    worker_id: str | None = None
    queue_position: int | None = None
    last_event_at: datetime | None = None
    error_code: str | None = None
    created_at: datetime


class OperatorRunListResponse(WireModel):
    """A page of runs, newest first."""

    runs: list[OperatorRunItem]
    next_before: str | None = None

    def wire(self) -> dict[str, Any]:
        """Return the JSON form; ``nextBefore`` is null when there is no next page."""
        return {"runs": [run.wire() for run in self.runs], "nextBefore": self.next_before}


class OperatorRunResponse(OperatorRunItem):
    """A run with everything that operators are told."""

    why: RunWhyResponse
    operator_advice: str | None = None
    operator_evidence: OperatorEvidence


class RequeuedResponse(WireModel):
    """A run that workers were told of again."""

    id: int
    thread_id: str
    run_id: str
    status: RunStatus
    was: RunStatus
    """The status before."""
