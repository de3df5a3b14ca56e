"""What spans say of runs, model calls and commits. Nothing is computed where nothing is recorded. See docs/adr/0059."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from core.agentscope.events.run_summary import hash_user
from core.agentscope.schemas.agent_runtime import RunCommand
from core.agentscope.schemas.internal_events import ModelUsage
from core.identity import Principal
from core.tracing import conventions as name
from core.tracing.trace_context import TraceContext
from core.tracing.tracer import Attributes, Value, inside, past_span, tracer


def run_attributes(principal: Principal, command: RunCommand) -> Attributes:
    """Return whose run it is and of which thread; nothing where nothing is recorded."""
    if (used := tracer()) is None:
        return {}
    user = {name.USER: principal.user_id} if used.user_ids else {name.USER_HASH: hash_user(principal)}
    return {
        name.SESSION: command.thread_id,
        name.CONVERSATION: command.thread_id,
        name.RUN: command.run_id,
        **user,
    }


def trace_lost_run(trace_context: str | None, lines: Iterable[Mapping[str, Any]]) -> None:
    """Record the model calls of a run whose worker is lost: what the ledger has of them.

    The worker may have told of some. Their spans have the same ids, so nobody counts them twice.

    Args:
        trace_context: Of the run.
        lines: Of the ledger, as column values.
    """
    if tracer() is None:
        return
    with inside(TraceContext.read(trace_context)):
        for line in lines:
            known = {field: line[field] for field in ModelUsage.model_fields if field in line}
            trace_call(ModelUsage(**known), settled=True)


def trace_call(usage: ModelUsage, *, settled: bool = False) -> None:
    """Record a model call that has ended: its span has what its line in the ledger has."""
    if tracer() is None:
        return
    values: dict[str, Value | None] = {
        name.OPERATION: name.CHAT,
        name.PROVIDER: usage.provider,
        name.REQUEST_MODEL: usage.model,
        name.RESPONSE_MODEL: usage.model,
        name.INPUT_TOKENS: usage.input_tokens,
        name.OUTPUT_TOKENS: usage.output_tokens,
        name.CACHE_READ_TOKENS: usage.cached_input_tokens,
        name.CACHE_WRITE_TOKENS: usage.cache_write_tokens,
        name.REASONING_TOKENS: usage.reasoning_tokens,
        name.FINISH_REASONS: None if usage.finish_reason is None else [usage.finish_reason],
        name.FIRST_CHUNK: None if usage.ttft_ms is None else usage.ttft_ms / 1000,
        name.COST: None if usage.cost is None else format(usage.cost, "f"),
        name.CALL: usage.call_id,
        name.STAGE: usage.stage,
        name.OUTCOME: usage.outcome,
        name.ESTIMATED: usage.estimated,
        name.SETTLED: True if settled else None,
        **usage.take_contents(),
    }
    past_span(
        f"{name.CHAT} {usage.model}",
        values,
        seconds=usage.latency_ms / 1000,
        kind="client",
        failed=usage.outcome if usage.outcome in ("failed", "lost") else "",
        key=usage.call_id,
    )


class AppendTrace:
    """The commits of one run, which become one span: a span for each of a hundred in a second would say no more."""

    def __init__(self) -> None:
        self._commits = 0
        self._events = 0
        self._seconds = 0.0
        self._slowest = 0.0
        self._began_at: float | None = None
        self._ended_at = 0.0

    def add(self, events: int, began_at: float, ended_at: float) -> None:
        """Note one commit.

        Args:
            events: Of the run.
            began_at: On a clock of seconds.
            ended_at: On the same clock.
        """
        self._began_at = began_at if self._began_at is None else self._began_at
        self._ended_at = ended_at
        self._commits += 1
        self._events += events
        self._seconds += ended_at - began_at
        self._slowest = max(self._slowest, ended_at - began_at)

    def record(self, now: float) -> None:
        """Record the commits so far as a part of the current span. What the end of the run wrote is not among them.

        Args:
            now: On the clock of ``add``.
        """
        if self._began_at is None or tracer() is None:
            return
        values: dict[str, Value | None] = {
            name.COMMITS: self._commits,
            name.EVENTS: self._events,
            name.WAITED: round(self._seconds, 6),
            name.SLOWEST: round(self._slowest, 6),
        }
        past_span(name.APPEND, values, seconds=self._ended_at - self._began_at, ago=now - self._ended_at)
