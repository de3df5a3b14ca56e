"""Answers to the interrupts of a thread in memory: all of them at once, each at most once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from jsonschema import Draft202012Validator
from tests.support.memory_thread import MemoryInterrupt, MemoryThread

from core.agentscope.schemas.agent_runtime import ResumeEntry
from core.errors import InterruptExpired, InterruptResolved, InterruptUncovered, InvalidRequest, NotFound


def check_answers(thread: MemoryThread, entries: Sequence[ResumeEntry]) -> list[tuple[MemoryInterrupt, str]]:
    """Return what becomes of each open interrupt.

    Raises:
        NotFound, InterruptResolved, InterruptExpired, InterruptUncovered, InvalidRequest: As the real one.
    """
    ids = [entry.interrupt_id for entry in entries]
    if len(set(ids)) != len(ids):
        raise InvalidRequest("An interrupt is answered twice in one request.")
    answers = [_check(thread, entry) for entry in entries]
    missing = [asked.asked.interrupt_id for asked in thread.open_interrupts]
    missing = [interrupt_id for interrupt_id in missing if interrupt_id not in ids]
    if missing:
        raise InterruptUncovered("Answer every open interrupt in one request.", interruptIds=missing)
    return answers


def _check(thread: MemoryThread, entry: ResumeEntry) -> tuple[MemoryInterrupt, str]:
    named = [item for item in thread.interrupts if item.asked.interrupt_id == entry.interrupt_id]
    if not named:
        raise NotFound("No such interrupt in this thread.")
    found = named[-1]
    if found.status != "open":
        refused = InterruptResolved(
            "This interrupt was answered or withdrawn.", interruptId=entry.interrupt_id
        )
        if found.resolved_by is not None:
            refused.members["resolvedBy"] = found.resolved_by.run_id
        raise refused
    if entry.status == "resolved":
        if found.asked.expires_at <= datetime.now(UTC):
            raise InterruptExpired("This interrupt is past its expiry.", interruptId=entry.interrupt_id)
        if any(Draft202012Validator(found.asked.response_schema).iter_errors(entry.payload)):
            raise InvalidRequest("The answer does not fit the interrupt's responseSchema.")
    return found, entry.status
