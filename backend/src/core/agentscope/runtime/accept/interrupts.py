"""Answers to open interrupts: one request answers all of them, and each is answered at most once.

The stored tool call is the one that runs; a client's copy is ignored. See docs/adr/0004.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jsonschema.exceptions import ValidationError as JsonSchemaError
from sqlalchemy import exists, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from core.agentscope.events import interrupt_status
from core.agentscope.schemas.agent_runtime import ResumeEntry
from core.errors import (
    InterruptExpired,
    InterruptOpen,
    InterruptResolved,
    InterruptUncovered,
    InvalidRequest,
    NotFound,
)
from core.schema_validator import errors_of
from core.validation import escape
from models import AgentInterrupt, AgentRun

_MAX_ERRORS = 20


@dataclass(frozen=True, slots=True)
class Answer:
    """One checked answer, not yet written."""

    interrupt: AgentInterrupt
    status: str
    payload: Any


async def open_interrupts(session: AsyncSession, session_id: int) -> list[AgentInterrupt]:
    """Return the thread's open interrupts, locked until the transaction ends."""
    rows = await session.scalars(
        select(AgentInterrupt)
        .where(AgentInterrupt.session_id == session_id, AgentInterrupt.status == interrupt_status.OPEN)
        .order_by(AgentInterrupt.id)
        .with_for_update()
    )
    return list(rows)


async def asking_agent(session: AsyncSession, session_id: int) -> str | None:
    """Return the agent of the run whose interrupts are open, as its row has it; ``None`` when nothing is open."""
    return await session.scalar(
        select(AgentRun.agent_id)
        .join(AgentInterrupt, AgentInterrupt.run_pk == AgentRun.id)
        .where(AgentInterrupt.session_id == session_id, AgentInterrupt.status == interrupt_status.OPEN)
        .limit(1)
    )


async def check_answers(
    session: AsyncSession, session_id: int, entries: Sequence[ResumeEntry], now: datetime
) -> list[Answer]:
    """Return the answers to all open interrupts of a thread.

    Args:
        session: An open transaction that holds the thread's lock.
        session_id: The thread.
        entries: The client's answers.
        now: The database's clock.

    Raises:
        NotFound: An entry names no interrupt of this thread.
        InterruptResolved: An entry names one that was answered already.
        InterruptExpired: An entry resolves one that is past its expiry, or names one that a later run passed by.
        InterruptUncovered: An open interrupt has no entry.
        InvalidRequest: A payload does not fit its schema, or an id is answered twice.
    """
    by_id = {entry.interrupt_id: entry for entry in entries}
    if len(by_id) != len(entries):
        raise InvalidRequest("The request answers an interrupt twice.")
    rows = await session.scalars(
        select(AgentInterrupt)
        .where(AgentInterrupt.session_id == session_id, AgentInterrupt.interrupt_id.in_(by_id))
        .with_for_update()
    )
    named = {row.interrupt_id: row for row in rows}
    answers: list[Answer] = []
    for place, entry in enumerate(entries):
        row = named.get(entry.interrupt_id)
        if row is None:
            raise NotFound("No such interrupt in this thread.")
        answers.append(await _check(session, row, entry, place, now))
    missing = [
        row.interrupt_id
        for row in await open_interrupts(session, session_id)
        if row.interrupt_id not in by_id
    ]
    if missing:
        raise InterruptUncovered(
            "Answer every open interrupt in one request: each needs an entry in 'resume'.",
            interruptIds=missing,
        )
    return answers


async def _check(
    session: AsyncSession, row: AgentInterrupt, entry: ResumeEntry, place: int, now: datetime
) -> Answer:
    if row.status in (interrupt_status.RESOLVED, interrupt_status.CANCELLED):
        winner = await session.get(AgentRun, row.resolved_by_run_pk) if row.resolved_by_run_pk else None
        if winner is None:
            raise InterruptResolved(
                "This interrupt was withdrawn because its run was cancelled. Send a new message.",
                interruptId=row.interrupt_id,
            )
        raise InterruptResolved(
            "This interrupt was already answered. Read the history for the outcome.",
            interruptId=row.interrupt_id,
            resolvedBy=winner.run_id,
        )
    expired = row.status == interrupt_status.EXPIRED or row.expires_at <= now
    # Stock clients can continue after an expired interrupt only by cancelling it, so this must be possible.
    if expired and (entry.status == "resolved" or await _passed_by(session, row)):
        raise InterruptExpired(
            "This interrupt has expired. Answer it with status 'cancelled', or send a new message.",
            interruptId=row.interrupt_id,
        )
    if entry.status == "resolved":
        _check_payload(row, entry.payload, place)
    return Answer(row, entry.status, entry.payload)


async def _passed_by(session: AsyncSession, row: AgentInterrupt) -> bool:
    """Tell whether the thread went on without an answer: the tool call has its result already."""
    parked, later = aliased(AgentRun), aliased(AgentRun)
    return bool(
        await session.scalar(
            select(
                exists().where(
                    parked.id == row.run_pk,
                    later.session_id == parked.session_id,
                    later.ordinal > parked.ordinal,
                )
            )
        )
    )


def _check_payload(row: AgentInterrupt, payload: Any, place: int) -> None:
    errors = sorted(errors_of(row.response_schema, payload), key=str)
    if errors:
        raise InvalidRequest(
            "The answer does not fit the interrupt's responseSchema.",
            errors=[
                {
                    "pointer": "/".join((f"/resume/{place}/payload", *map(escape, error.absolute_path))),
                    "message": _complaint(error),
                }
                for error in errors[:_MAX_ERRORS]
            ],
        )


def _complaint(error: JsonSchemaError) -> str:
    """Say what is wrong without repeating what was sent, as jsonschema's own words do."""
    match error.validator:
        case "type":
            return f"must be of type {error.validator_value}"
        case "required":
            wanted: Any = error.validator_value
            missing = [name for name in wanted if name not in error.instance]
            return f"must have {', '.join(missing)}"
        case "additionalProperties":
            return "must not have members that the schema does not have"
        case str():
            return f"does not satisfy '{error.validator}' of the schema"
        case _:
            return error.message  # the check itself was given up


def write_answers(answers: Sequence[Answer], run: AgentRun, now: datetime) -> None:
    """Record the answers in their rows; the caller's transaction stores them, and its locks make each the only one."""
    for answer in answers:
        answer.interrupt.status = (
            interrupt_status.RESOLVED if answer.status == "resolved" else interrupt_status.CANCELLED
        )
        answer.interrupt.answer = answer.payload
        answer.interrupt.resolved_by_run_pk = run.id
        answer.interrupt.resolved_at = now


async def cancel_open(session: AsyncSession, session_id: int, run: AgentRun, now: datetime) -> None:
    """Cancel what is open because a new message takes its place."""
    await session.execute(
        update(AgentInterrupt)
        .where(AgentInterrupt.session_id == session_id, AgentInterrupt.status == interrupt_status.OPEN)
        .values(status=interrupt_status.CANCELLED, resolved_by_run_pk=run.id, resolved_at=now)
    )


async def refuse_if_open(session: AsyncSession, session_id: int) -> None:
    """Raise ``InterruptOpen`` when the thread waits for an answer."""
    if waiting := await open_interrupts(session, session_id):
        raise InterruptOpen(
            "The thread has an open interrupt. Answer it with POST /resume, or set forwardedProps.onInterrupt to 'cancel'.",
            interruptIds=[row.interrupt_id for row in waiting],
        )
