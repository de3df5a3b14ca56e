"""One run, diagnosed: the cause, the words for it, and the evidence. Pure."""

from __future__ import annotations

from core.agentscope.events.run_status import QUEUED, RUNNING, WAITING
from core.agentscope.events.why.causes import (
    answerable,
    cause_of,
    is_answering,
    waits_for_next_try,
    waits_for_tool,
)
from core.agentscope.events.why.facts import Limits, RunFacts
from core.agentscope.events.why.texts import text_of
from core.agentscope.schemas.run_diagnosis import (
    OperatorEvidence,
    RunEvidence,
    RunWhyResponse,
    WaitedCall,
    WaitedQuestion,
    WaitedRun,
    WaitedTool,
)


def why(facts: RunFacts, limits: Limits) -> RunWhyResponse:
    """Return what the owner of a run is told."""
    cause = cause_of(facts, limits)
    text = text_of(cause)
    return RunWhyResponse(
        thread_id=facts.thread_id,
        run_id=facts.run_id,
        status=facts.status,
        cause=cause,
        explanation=text.explain(facts, limits),
        advice=text.advice,
        changes_at=None if text.changes_at is None else text.changes_at(facts, limits),
        evidence=_evidence(facts, limits),
    )


def operator_advice(cause: str) -> str | None:
    """Return what an operator can do beside what the owner can."""
    return text_of(cause).operator or None


def operator_evidence(facts: RunFacts, limits: Limits) -> OperatorEvidence:
    """Return what operators see beside the owner's evidence."""
    around = facts.around
    return OperatorEvidence(
        worker_id=facts.worker_id,
        provider=None if facts.call is None else facts.call.provider,
        queued_runs=around.queued,
        running_runs=around.running,
        user_running_runs=facts.user_running,
        workers=around.workers,
        places=facts.places(limits),
        next_repair_at=around.next_repair_at,
        store_started_at=around.store_started_at,
        store_read_only=around.read_only,
        redis_away=around.hints_away,
        released=facts.released,
        last_seq=facts.last_seq,
    )


def _evidence(facts: RunFacts, limits: Limits) -> RunEvidence:
    queued = facts.status == QUEUED
    unended = facts.status in (WAITING, QUEUED, RUNNING)
    return RunEvidence(
        now=facts.around.now,
        created_at=facts.created_at,
        queued_at=facts.queued_at(limits) if queued else None,
        started_at=facts.started_at,
        first_token_at=facts.first_token_at,
        ended_at=facts.ended_at,
        attempt=facts.attempt,
        max_attempts=limits.max_attempts,
        queue_position=facts.place if queued or facts.status == WAITING else None,
        next_hint_at=facts.next_hint_at if queued else None,
        queue_deadline_at=facts.queue_deadline_at if queued else None,
        worker_seen_at=facts.renewed_at(limits),
        lease_until=facts.lease_until,
        deadline_at=facts.deadline_at if unended else None,
        cancel_requested_at=facts.cancel_requested_at,
        last_event_at=facts.progress.last_at,
        last_event_type=facts.progress.last_type,
        error_code=facts.error_code,
        run=_run(facts),
        model_call=_model_call(facts),
        tools=_tools(facts),
        questions=_questions(facts),
    )


def _run(facts: RunFacts) -> WaitedRun | None:
    if facts.status != WAITING or facts.live is None:
        return None
    return WaitedRun(run_id=facts.live.run_id, status=facts.live.status)


def _model_call(facts: RunFacts) -> WaitedCall | None:
    call, retry = facts.call, facts.progress.retry
    if facts.status != RUNNING or (call is None and retry is None):
        return None
    waits = waits_for_next_try(facts)
    return WaitedCall(
        model=None if call is None else call.model,
        stage=None if call is None else call.stage,
        since=None if call is None or waits else call.since,
        answering=is_answering(facts) and not waits,
        attempt=None if retry is None else retry.attempt,
        failed_code=None if retry is None else retry.code,
        failed_at=None if retry is None else retry.at,
        next_try_at=retry.next_at if retry is not None and waits else None,
    )


def _tools(facts: RunFacts) -> list[WaitedTool] | None:
    if facts.status != RUNNING or not waits_for_tool(facts):
        return None
    return [
        WaitedTool(tool_call_id=call.tool_call_id, name=call.name, since=call.since)
        for call in facts.progress.tools
    ]


def _questions(facts: RunFacts) -> list[WaitedQuestion] | None:
    return [
        WaitedQuestion(
            interrupt_id=each.interrupt_id, reason=each.reason, tool=each.tool, expires_at=each.expires_at
        )
        for each in answerable(facts)
    ] or None
