"""The usual run, accepted in one round trip: a new message in a thread that is idle, or in a new one.

The module decides nothing. It guesses which messages of the request the server has (all but the last), and the database
function ``agent_accept_usual_run`` (migration 0018) accepts the run only if the guess is right and no rule of T-accept has
anything to decide. In every other case nothing is written, and ``acceptance.py``, the only definition of the rules,
accepts or refuses. See docs/adr/0026.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import asyncpg
import pydantic
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from core.agentscope.events.ledger.budget_store import DayLimits, used_up_for
from core.agentscope.events.message_rows import to_row
from core.agentscope.events.run_status import QUEUED
from core.agentscope.runtime.accept.message_files import has_files, inline_data_bytes
from core.agentscope.runtime.accept.new_messages import NewMessages, select_new_messages
from core.agentscope.runtime.accept.places import sure_places
from core.agentscope.runtime.accept.run_request import RunRequest
from core.agentscope.runtime.accept.run_row import Accepted, RunInput, input_of
from core.agentscope.schemas.accepted import AcceptedRun
from core.agentscope.schemas.agent_runtime import MessagesSnapshotMode, RunCommand
from core.agentscope.schemas.messages import OtherMessage, UserMessage
from core.agentscope.schemas.titles import title_of
from core.config import LimitSettings, WorkerSettings
from core.crash_points import crash_point_soon
from core.direct_sql import fetch
from core.errors import AgentBackendError
from core.rates.rate_limits import RateLimits
from core.store_failure import is_lost_race, is_store_failure
from core.stored_bytes import StorageLimits
from core.text import json_text

log = structlog.get_logger(__name__)

_EXPECTED = frozenset({"AR001", "23505"})
"""The function had written a thread before it found something to decide; another request has the id or the thread."""

_ACCEPT = """
SELECT run_pk, session_pk, run_ordinal FROM agent_accept_usual_run(
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12::text::jsonb, $13::text::jsonb, $14, $15, $16::text::jsonb,
    $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28)
"""

# Decided before the function is called: the condition names nothing of its rows.
_ACCEPT_IF_ROOM = f"""{_ACCEPT.rstrip()}
WHERE (SELECT ($29::bigint IS NULL OR agent_stored($1, $2) < $29)
    AND ($30::bigint IS NULL OR agent_stored($1, NULL) < $30))
"""


# The variable first, for this transaction, which is this statement: the column takes it from there (migration 0026).
# The argument that depends on it makes the database call the function after it.
_TRACED = """FROM (SELECT set_config('agentroute.trace_context', ${last}, true) AS trace OFFSET 0) AS traced
CROSS JOIN LATERAL agent_accept_usual_run(
    CASE WHEN traced.trace IS NULL THEN NULL ELSE $1 END,"""


def _traced(statement: str, last: int) -> str:
    return statement.replace("FROM agent_accept_usual_run(\n    $1,", _TRACED.format(last=last), 1)


_ACCEPT_TRACED = _traced(_ACCEPT, 29)
_ACCEPT_IF_ROOM_TRACED = _traced(_ACCEPT_IF_ROOM, 31)


@dataclass(frozen=True, slots=True)
class Guess:
    """What a request means if its last message is new and the thread has its other messages."""

    message: UserMessage
    """The new message, as history gets it."""
    known_ids: tuple[str, ...]
    """Ids of the messages that history has."""
    sent_ids: tuple[str, ...]
    """Ids of all messages of the request; history has none but ``known_ids`` of them."""
    snapshot: MessagesSnapshotMode
    not_behind: bool
    """The guess holds only if history shows no other messages than ``known_ids``."""
    agent_id: str | None = None
    """The agent that the request names."""


def guess(command: RunCommand, inline_bytes: int | None = None) -> Guess | None:
    """Return the guess for a request; ``None`` for a request that is never usual.

    Pure. The guess does not depend on whether the thread is new.

    Args:
        command: The request.
        inline_bytes: Inline data above this size becomes a file; ``None``: none does.
    """
    try:
        options = command.options()
    except pydantic.ValidationError:
        return None
    if command.resume or options.regenerate_from or options.messages_snapshot == "always":
        return None
    last = command.messages[-1] if command.messages else None
    # Before the messages are selected, which decodes their data: what becomes a file is never usual.
    if not isinstance(last, UserMessage) or has_files(last, inline_bytes):
        return None
    # Stock clients may send instructions first, which are never in history.
    history = [message for message in command.messages[:-1] if not _is_instruction(message)]
    known = tuple(dict.fromkeys(message.id for message in history))
    selected = _selected(command, known)
    if selected is None or selected.imported or len(selected.fresh) != 1:
        return None
    message = selected.fresh[0]
    if not isinstance(message, UserMessage):
        return None
    automatic = options.messages_snapshot == "auto"
    return Guess(
        message=message,
        known_ids=known,
        sent_ids=tuple({sent.id for sent in command.messages}),
        snapshot="anew" if options.messages_snapshot == "anew" else "never",
        # As ``ClientCopy``: who sends new messages only, and names no version, keeps a view of its own.
        not_behind=automatic and (bool(known) or command.protocol_version is not None),
        agent_id=options.agent_id,
    )


def _is_instruction(message: object) -> bool:
    return isinstance(message, OtherMessage) and message.role in {"system", "developer"}


def _selected(command: RunCommand, known: tuple[str, ...]) -> NewMessages | None:
    try:
        return select_new_messages(
            command.messages,
            known_ids=known,
            open_tool_calls=(),
            thread_is_new=False,
            run_id=command.run_id,
        )
    except AgentBackendError:
        return None


class UsualAcceptance:
    """Accepts usual runs of one process.

    Args:
        engine: Of the process.
        limits: Of this deployment.
        worker: When a run that no worker has begun is hinted again.
        inline_bytes: As in :func:`guess`.
        rates: Who has uploaded too much lately brings no inline data.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        limits: LimitSettings,
        worker: WorkerSettings,
        inline_bytes: int | None = None,
        rates: RateLimits | None = None,
    ) -> None:
        self._rates = rates
        self._inline_bytes = inline_bytes
        self._engine = engine
        self._limits = limits
        self._worker = worker
        self._day = DayLimits(limits.user_tokens_per_day, limits.user_cost_per_day)

    async def accept(self, request: RunRequest) -> Accepted | None:
        """Accept a run if it is a usual one, in a transaction of its own; otherwise write nothing.

        Raises:
            asyncpg.PostgresError, OSError, sqlalchemy.exc.TimeoutError: Postgres is unavailable (``core.store_failure``).
        """
        found = guess(request.command, self._inline_bytes)
        places = sure_places(request.principal, self._limits)
        # Near the end of the queue or of a tenant's part of it, places are given one by one.
        if found is None or places <= 0 or await self._is_day_spent(request):
            return None
        inline_bytes = inline_data_bytes(NewMessages((), (found.message,)))
        if inline_bytes and self._rates and self._rates.refusal(request.principal, "upload-bytes"):
            # The careful way refuses it, or finds that it is a repeat.
            return None
        task_id = uuid.uuid4().hex
        statement, arguments = self._statement(request, found, task_id, places)
        crash_point_soon("accept-inserted")
        try:
            rows = await fetch(self._engine, statement, *arguments)
        except asyncpg.PostgresError as exc:
            if is_store_failure(exc) and not is_lost_race(exc):
                raise
            if getattr(exc, "sqlstate", None) not in _EXPECTED and not is_lost_race(exc):
                log.warning("usual_acceptance_failed", error=type(exc).__name__)
            return None
        if not rows:
            return None
        command = request.command
        run = AcceptedRun(
            task_id=task_id,
            thread_id=command.thread_id or "",
            run_id=command.run_id or "",
            status=QUEUED,
            ordinal=rows[0]["run_ordinal"],
            created=True,
            session_id=rows[0]["session_pk"],
        )
        return Accepted(run, rows[0]["run_pk"], inline_bytes=inline_bytes)

    async def _is_day_spent(self, request: RunRequest) -> bool:
        if not self._day.any:
            return False
        async with self._engine.connect() as connection:
            return await used_up_for(connection, request.principal, self._day) is not None

    def _statement(
        self, request: RunRequest, found: Guess, task_id: str, places: int
    ) -> tuple[str, tuple[object, ...]]:
        traced = request.trace_context is not None
        statement = _ACCEPT_TRACED if traced else _ACCEPT
        arguments = self._arguments(request, found, task_id, places)
        if (storage := StorageLimits.of(request.principal, self._limits)).any:
            statement = _ACCEPT_IF_ROOM_TRACED if traced else _ACCEPT_IF_ROOM
            arguments = (*arguments, storage.user_bytes, storage.tenant_bytes)
        return statement, (*arguments, request.trace_context) if traced else arguments

    def _arguments(self, request: RunRequest, found: Guess, task_id: str, places: int) -> tuple[object, ...]:
        command, principal = request.command, request.principal
        given = RunInput(NewMessages((), (found.message,)), found.snapshot, brings_state=False)
        row = to_row(found.message.wire(), session_id=0, position=0, ordinal=0)
        return (
            principal.tenant_id,
            principal.user_id,
            command.thread_id,
            command.run_id,
            command.parent_run_id,
            task_id,
            request.idempotency_key,
            request.request_hash,
            input_of(request, given),
            command.protocol_version,
            row["message_id"],
            _json(row["content"]),
            _json(row["extra"]),
            row["incomplete"],
            title_of(found.message),
            _json(command.state),
            found.sent_ids,
            found.known_ids,
            found.not_behind,
            self._worker.hint_after_seconds,
            self._limits.queue_seconds,
            self._limits.max_queue_age_seconds,
            places,
            self._limits.max_runs_per_user,
            found.agent_id,
            request.agents.default_id,
            request.agents.ids,
            request.agents.keeps_ids,
        )


def _json(value: Any) -> str | None:
    return None if value is None else json_text(value)
