"""The row that a request becomes, and what its caller is told of it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from core.agentscope.events.promotion import BRINGS_STATE
from core.agentscope.events.run_status import QUEUED, WAITING
from core.agentscope.runtime.accept.new_messages import NewMessages
from core.agentscope.runtime.accept.run_request import RunRequest
from core.agentscope.schemas.accepted import AcceptedRun
from core.agentscope.schemas.agent_runtime import CLAIMS, MessagesSnapshotMode
from core.config import LimitSettings, WorkerSettings
from core.text import json_text
from models import AgentChatSession, AgentRun


@dataclass(frozen=True, slots=True)
class Accepted:
    """A run that is durable once the transaction is, and the live run it asks to stop."""

    run: AcceptedRun
    run_pk: int
    superseded: AgentRun | None = None
    inline_bytes: int = 0
    """Inline data that its new messages brought."""


@dataclass(frozen=True, slots=True)
class RunInput:
    """What a run is given: the messages that count, and how it begins."""

    messages: NewMessages
    snapshot: MessagesSnapshotMode
    brings_state: bool
    """For the promotion of a waiting run: its state is the thread's from its turn on."""


def input_of(request: RunRequest, given: RunInput) -> str:
    """Return the request as its run reads it, without the conversation it repeated."""
    command = request.command
    messages = (*given.messages.imported, *given.messages.again, *given.messages.fresh)
    kept = command.wire() | {
        "messages": [message.wire() for message in messages],
        "forwardedProps": command.forwarded_props | {"messagesSnapshot": given.snapshot},
        # A client's own member of this name counts for nothing.
        BRINGS_STATE: given.brings_state,
    }
    if request.principal.kept_claims:
        # Beside the command: nothing that a client sends is taken for a claim.
        kept[CLAIMS] = request.principal.kept_claims
    return json_text(kept)


def queued_run(
    request: RunRequest,
    given: RunInput,
    thread: AgentChatSession,
    segment: int,
    now: datetime,
    *,
    limits: LimitSettings,
    worker: WorkerSettings,
) -> AgentRun:
    """Return the row of a run that starts now, in the next place of its thread."""
    command = request.command
    return AgentRun(
        session_id=thread.id,
        tenant_id=request.principal.tenant_id,
        user_id=request.principal.user_id,
        run_id=command.run_id,
        segment=segment,
        parent_run_id=command.parent_run_id,
        task_id=uuid.uuid4().hex,
        idempotency_key=request.idempotency_key,
        request_hash=request.request_hash,
        input=input_of(request, given),
        protocol_version=command.protocol_version,
        trace_context=request.trace_context,
        status=QUEUED,
        ordinal=thread.last_ordinal + 1,
        next_hint_at=now + timedelta(seconds=worker.hint_after_seconds),
        queue_deadline_at=now + timedelta(seconds=limits.queue_seconds),
    )


def waiting(run: AgentRun, *, front: bool) -> AgentRun:
    """Make a run wait: it has no place in its thread before its turn comes.

    Args:
        run: Not yet in the database.
        front: Its turn comes before that of the other waiting runs.
    """
    run.status, run.ordinal = WAITING, None
    run.front = front
    return run


def accepted_run(run: AgentRun, thread_id: str, *, created: bool) -> AcceptedRun:
    """Return what the caller is told of a run; ``created`` is False for a repeat."""
    return AcceptedRun(
        task_id=run.task_id,
        thread_id=thread_id,
        run_id=run.run_id,
        status=run.status,  # pyright: ignore[reportArgumentType]  the column's check constraint
        ordinal=run.ordinal,
        created=created,
        session_id=run.session_id,
    )
