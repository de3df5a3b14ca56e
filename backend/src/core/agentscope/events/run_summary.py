"""One log line for every run that has ended: who, what, how it ended, how long it took and what it cost."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import structlog

from core.agentscope.events.run_status import EndStatus
from core.identity import Principal
from core.metrics.catalogue import FIRST_TOKEN_SECONDS, QUEUE_SECONDS, RUN_SECONDS, RUNS_ENDED

log = structlog.get_logger(__name__)

_HASH_CHARACTERS = 12

AgentName = Callable[[str | None], str]
"""Returns the name of an agent for the log, by its id; none is the default agent."""


def nameless(_agent_id: str | None) -> str:
    """Return no name: for a process that knows no profile."""
    return ""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What T-end knows of a run. Written to the log after the commit."""

    principal: Principal
    thread_id: str
    run_id: str
    status: EndStatus
    error_code: str | None
    attempt: int
    """0 if no worker has begun the run."""
    created_at: datetime
    started_at: datetime | None
    first_token_at: datetime | None
    ended_at: datetime
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal | None = None
    """US dollars of the model calls with a known price; None if none has one."""
    agent_id: str | None = None
    """The agent of the run; None for the default agent."""


def log_ended_runs(runs: Iterable[RunSummary], *, agent: AgentName) -> None:
    """Count each run, and write one line ``run_ended`` for it. Call it after the commit.

    Args:
        runs: The runs that one transaction has ended.
        agent: Names the agents of the runs.
    """
    for run in runs:
        _count(run)
        log.info(
            "run_ended",
            user=hash_user(run.principal),
            thread_id=run.thread_id,
            run_id=run.run_id,
            agent=agent(run.agent_id),
            status=run.status,
            error_code=run.error_code,
            attempt=run.attempt,
            queue_ms=_milliseconds(run.created_at, run.started_at),
            ttft_ms=_milliseconds(run.created_at, run.first_token_at),
            total_ms=_milliseconds(run.created_at, run.ended_at),
            input_tokens=run.input_tokens,
            output_tokens=run.output_tokens,
            cost=None if run.cost is None else format(run.cost.normalize(), "f"),
        )


def _count(run: RunSummary) -> None:
    RUNS_ENDED.add(run.status, run.error_code or "")
    RUN_SECONDS.observe((run.ended_at - run.created_at).total_seconds())
    if run.started_at is not None:
        QUEUE_SECONDS.observe((run.started_at - run.created_at).total_seconds())
    if run.first_token_at is not None:
        FIRST_TOKEN_SECONDS.observe((run.first_token_at - run.created_at).total_seconds())


def hash_user(principal: Principal) -> str:
    """Return a short name for a user: the same for all runs of the user, and not the user's id, which may be an address.

    It is the beginning of SHA-256 of tenant, a line feed and user, in hexadecimal.
    """
    name = f"{principal.tenant_id}\n{principal.user_id}"
    return hashlib.sha256(name.encode()).hexdigest()[:_HASH_CHARACTERS]


def _milliseconds(start: datetime, end: datetime | None) -> int | None:
    return None if end is None else round((end - start).total_seconds() * 1000)
