"""Answers by the links of a notification: whoever has the link may answer its question, once.

Rules:

1. A link counts for one question and one answer (``core/webhooks/approval_token.py``). Its user need not be here.
2. The first link of a question counts. All links of a question that is answered, however that happened, are used up.
3. A thread goes on when all of its open questions have an answer. Until then, answers by link are kept with their
   questions; an answer by ``POST /resume`` wins over them.
4. The run that brings the answers is accepted like that of ``POST /resume``. Its id is made of the questions, so any
   number of taps make one run, and a tap after a crash makes the one that is missing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

import orjson
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.agentscope.events.interrupt_status import CANCELLED, OPEN, RESOLVED
from core.agentscope.events.status_sql import status_text
from core.agentscope.events.thread_row import lock_thread
from core.agentscope.schemas.accepted import AcceptedRun
from core.agentscope.schemas.agent_runtime import CLAIMS, ResumeCommand, ResumeEntry, RunCommand
from core.errors import InterruptExpired, InterruptResolved, NotFound
from core.identity import LOCAL, Principal
from core.webhooks.approval_token import ApprovalTokens, LinkedQuestion, UncheckedToken, read_token

_FIND = text("""
SELECT i.id, i.session_id, i.run_pk, i.interrupt_id, i.status, i.message, i.tool_name, i.arguments, i.expires_at,
    i.link_answer, i.answer::text AS answer, i.expires_at <= clock_timestamp() AS is_over,
    r.run_id, r.tenant_id, r.user_id, r.input, s.thread_id
FROM agent_interrupt AS i JOIN agent_run AS r ON r.id = i.run_pk JOIN agent_chat_session AS s ON s.id = i.session_id
WHERE i.id = :id
""")

_KEEP = status_text("""
UPDATE agent_interrupt SET link_answer = :approves
WHERE id = :id AND status = {open_interrupt} AND link_answer IS NULL AND expires_at > clock_timestamp() RETURNING id
""")

_OPEN = status_text("""
SELECT id, interrupt_id, link_answer FROM agent_interrupt
WHERE session_id = :session_id AND status = {open_interrupt} ORDER BY id
""")

State = Literal["open", "kept", "answered", "withdrawn", "expired"]
"""``kept``: a link has answered, and the thread waits for the answers to its other questions."""


class LinkNotGood(Exception):
    """No question has this link."""


@dataclass(frozen=True, slots=True)
class ShownQuestion:
    """What the page of a link shows."""

    approves: bool
    """What the link would answer."""
    message: str
    tool_name: str | None
    arguments: str | None
    user_id: str
    expires_at: datetime
    state: State
    approved: bool | None
    """What was answered, if that is known."""


@dataclass(frozen=True, slots=True)
class LinkOutcome:
    """What a tap has done."""

    question: ShownQuestion
    counted: bool
    """This tap has answered; otherwise another answer was there before, or it is too late."""
    remaining: int = 0
    """Open questions of the thread that still have no answer."""


class Acceptor(Protocol):
    """Accepts runs: ``AgentRunGateway``."""

    async def accept(
        self, principal: Principal, command: RunCommand, *, idempotency_key: str, request_hash: bytes
    ) -> AcceptedRun: ...


class LinkAnswers:
    """Shows questions to who has their link, and takes answers.

    Args:
        engine: Of the process.
        runs: Accepts the runs that bring answers. It lets every agent be used: the agent has asked already.
        tokens: Check links.
        local: Whether all callers are the user of local mode.
    """

    def __init__(
        self, engine: AsyncEngine, runs: Acceptor, tokens: ApprovalTokens, *, local: bool = False
    ) -> None:
        self._engine = engine
        self._runs = runs
        self._tokens = tokens
        self._local = local

    async def show(self, link: str) -> ShownQuestion:
        """Return the question of a link. Nothing is changed.

        Raises:
            LinkNotGood: There is none.
        """
        async with self._engine.connect() as connection:
            token, row = await self._find(connection, link)
        return _shown(token, row)

    async def answer(self, link: str) -> LinkOutcome:
        """Answer the question of a link.

        Raises:
            LinkNotGood: There is no such question.
            AgentBackendError: The run that brings the answers is not accepted now. The answer is kept: try again.
        """
        async with self._engine.begin() as connection:
            token, row = await self._find(connection, link)
            await lock_thread(connection, row.session_id)
            kept = {"id": row.id, "approves": token.approves}
            first = (await connection.execute(_KEEP, kept)).one_or_none() is not None
            # Behind the lock: what it is now.
            token, row = await self._find(connection, link)
            waiting = (await connection.execute(_OPEN, {"session_id": row.session_id})).all()
        question = _shown(token, row)
        remaining = sum(each.link_answer is None for each in waiting)
        if question.state != "kept":
            return LinkOutcome(question, counted=False)
        if remaining:
            return LinkOutcome(question, counted=first, remaining=remaining)
        if row.link_answer is not token.approves:
            # Not what was answered, so it does not carry out the other answer either.
            return LinkOutcome(question, counted=False)
        if not await self._resume(row, waiting):
            # Somebody else was faster, perhaps with another answer.
            return LinkOutcome(await self.show(link), counted=False)
        return LinkOutcome(question, counted=True)

    async def _resume(self, row: Row[Any], answers: Sequence[Row[Any]]) -> bool:
        """Accept the run that brings the answers; returns whether this call has made it."""
        named = "\n".join(
            (row.thread_id, row.run_id, *(f"{each.id} {each.interrupt_id}" for each in answers))
        )
        run_id = f"approval-{hashlib.sha256(named.encode()).hexdigest()[:32]}"
        command = ResumeCommand(
            thread_id=row.thread_id,
            run_id=run_id,
            parent_run_id=row.run_id,
            protocol_version="1.0",
            resume=[
                ResumeEntry(
                    interrupt_id=each.interrupt_id,
                    status="resolved",
                    payload={"approved": each.link_answer},
                )
                for each in answers
            ],
        )
        try:
            accepted = await self._runs.accept(
                self._principal(row),
                command,
                idempotency_key=run_id,
                request_hash=hashlib.sha256(named.encode()).digest(),
            )
        except (InterruptResolved, InterruptExpired, NotFound):
            # Somebody has answered in the app, or the time was up, between our look and this.
            return False
        return accepted.created

    def _principal(self, row: Row[Any]) -> Principal:
        if self._local and (row.tenant_id, row.user_id) == (LOCAL.tenant_id, LOCAL.user_id):
            return LOCAL
        given: Mapping[str, Any] = orjson.loads(row.input)
        # The run goes on with the claims of its user, for the factory of its agent.
        return Principal(row.tenant_id, row.user_id, kept_claims=given.get(CLAIMS))

    async def _find(self, connection: AsyncConnection, link: str) -> tuple[UncheckedToken, Row[Any]]:
        token = read_token(link)
        if token is None:
            raise LinkNotGood
        row = (await connection.execute(_FIND, {"id": token.interrupt_pk})).one_or_none()
        if row is None or not self._tokens.fits(
            token, LinkedQuestion(row.id, row.interrupt_id, row.run_pk, row.run_id)
        ):
            raise LinkNotGood
        return token, row


def _shown(token: UncheckedToken, row: Row[Any]) -> ShownQuestion:
    state, approved = _state(row)
    return ShownQuestion(
        token.approves,
        row.message,
        row.tool_name,
        row.arguments,
        row.user_id,
        row.expires_at,
        state,
        approved,
    )


def _state(row: Row[Any]) -> tuple[State, bool | None]:
    if row.status == RESOLVED:
        answer = None if row.answer is None else orjson.loads(row.answer)
        approved = answer.get("approved") if isinstance(answer, dict) else None
        return "answered", approved if isinstance(approved, bool) else None
    if row.status == CANCELLED:
        return "withdrawn", None
    if row.status != OPEN or row.is_over:
        return "expired", None
    return ("open", None) if row.link_answer is None else ("kept", row.link_answer)
