"""What is known of a run and its surroundings at one instant, and the limits that hold. Plain data, no I/O.

``queries/run_facts.py`` reads the facts; ``causes.py`` says what they mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from core.agentscope.schemas.agent_runtime import RunStatus
from core.config import Settings
from core.fair_share import has_room, weight_of


@dataclass(frozen=True, slots=True)
class Limits:
    """The settings that decide what a run waits for, and how long. Those of the process that asks: give all the same."""

    lease: timedelta
    reap: timedelta
    """How often lost runs and passed deadlines are looked for."""
    queue: timedelta
    max_attempts: int
    places: int
    """Runs that one worker executes at once."""
    user_share: float
    tool: timedelta
    """The usual time limit of a tool call."""
    first_token: timedelta
    idle: timedelta
    """The longest pause in a model's answer."""

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        worker, model = settings.worker, settings.model
        return cls(
            lease=timedelta(seconds=worker.lease_seconds),
            reap=timedelta(seconds=worker.reap_seconds),
            queue=timedelta(seconds=settings.limits.queue_seconds),
            max_attempts=worker.max_attempts,
            places=worker.concurrency,
            # Local mode has one user, who gets every place.
            user_share=1.0 if settings.identity.mode == "local" else worker.user_share,
            tool=timedelta(seconds=settings.tools.timeout_seconds),
            first_token=timedelta(seconds=model.first_token_timeout_seconds),
            idle=timedelta(seconds=model.idle_timeout_seconds),
        )


@dataclass(frozen=True, slots=True)
class LiveRun:
    """The live run of the thread."""

    run_id: str
    status: RunStatus


@dataclass(frozen=True, slots=True)
class Question:
    """What a user is asked."""

    interrupt_id: str
    reason: str
    expires_at: datetime
    tool: str | None = None
    """The tool whose call waits; None if the question is about the run itself."""


@dataclass(frozen=True, slots=True)
class Questions:
    """The questions of a run, or of the thread of a run that waits."""

    open: tuple[Question, ...] = ()
    expired: int = 0
    resolved: int = 0


@dataclass(frozen=True, slots=True)
class ModelCall:
    """A model call that has begun and has not ended."""

    stage: str
    provider: str
    model: str
    since: datetime


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call without a result."""

    tool_call_id: str
    name: str | None
    """None if the log shows it too far back."""
    since: datetime


@dataclass(frozen=True, slots=True)
class Retry:
    """The newest failed try of a model call."""

    attempt: int
    """Number of the try that follows."""
    code: str
    at: datetime
    delay: timedelta

    @property
    def next_at(self) -> datetime:
        return self.at + self.delay


@dataclass(frozen=True, slots=True)
class Progress:
    """The end of a run's log."""

    last_at: datetime | None = None
    last_type: str | None = None
    tools: tuple[ToolCall, ...] = ()
    """Without a result, oldest first."""
    retry: Retry | None = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is the same for all runs of a deployment at an instant."""

    now: datetime
    """Of Postgres, like every other time."""
    queued: int = 0
    running: int = 0
    workers: int | None = 1
    """Workers that are connected; None if the server does not tell."""
    next_repair_at: datetime | None = None
    """When the next turn of the repairs is due; None: there has been none."""
    store_started_at: datetime | None = None
    read_only: bool = False
    """Whether Postgres takes no writes."""
    hints_away: bool | None = None
    """Whether Redis does not answer; None: nobody looked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """A run at an instant."""

    around: Surroundings
    run_pk: int = 0
    tenant_id: str = ""
    user_id: str = ""
    agent_id: str | None = None
    thread_id: str
    run_id: str
    status: RunStatus
    attempt: int = 0
    released: int = 0
    worker_id: str | None = None
    lease_until: datetime | None = None
    last_seq: int = 0
    next_hint_at: datetime
    queue_deadline_at: datetime
    deadline_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    error_code: str | None = None
    created_at: datetime
    started_at: datetime | None = None
    first_token_at: datetime | None = None
    ended_at: datetime | None = None
    live: LiveRun | None = None
    place: int | None = None
    """In its queue, from 1: that of all queued runs, or that of its thread. None if it is in none."""
    user_running: int = 0
    questions: Questions = Questions()
    client_tools: int = 0
    """Calls that the client has to answer, if the run is the newest of its thread."""
    call: ModelCall | None = None
    progress: Progress = Progress()

    @property
    def tries(self) -> int:
        """Attempts that count: those that gave the run back do not."""
        return self.attempt - self.released

    def queued_at(self, limits: Limits) -> datetime:
        """Return since when the run is in the queue: later than its acceptance, if it waited behind another run."""
        entered = self.queue_deadline_at - limits.queue
        return min(max(entered, self.created_at), self.around.now)

    def renewed_at(self, limits: Limits) -> datetime | None:
        """Return when the worker has last shown that it lives."""
        return None if self.lease_until is None else self.lease_until - limits.lease

    def places(self, limits: Limits) -> int | None:
        """Return how many runs all workers execute at once; None if nobody knows how many workers there are."""
        workers = self.around.workers
        return None if workers is None else workers * limits.places

    def is_full(self, limits: Limits) -> bool:
        """Tell whether every place of every worker is taken."""
        places = self.places(limits)
        return places is not None and self.around.running >= places

    def share_is_used_up(self, limits: Limits) -> bool:
        """Tell whether the user has all the places that one user gets. Exact for one worker."""
        places = self.places(limits)
        if places is None:
            return False
        free = max(places - self.around.running, 0)
        return not has_room(self.user_running, free, weight_of(limits.user_share))
