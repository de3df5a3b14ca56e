"""The spans of a run in its worker: how long it was in the queue, and the agent's work. See docs/adr/0059."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from core.agentscope.events.run_end import RunEnd
from core.agentscope.events.run_spans import run_attributes
from core.agentscope.runtime.work.leases import ClaimedRun
from core.agentscope.schemas.agent_runtime import RunCommand
from core.tracing import conventions as name
from core.tracing.contents import messages_text
from core.tracing.trace_context import TraceContext
from core.tracing.tracer import Span, Tracer, Value, inside, tracer


class RunSpan:
    """The span of one attempt of a run; nothing where nothing is recorded."""

    def __init__(self, tracer: Tracer | None = None, span: Span | None = None) -> None:
        self._tracer = tracer
        self._span = span
        self._told = False

    def ended(self, end: RunEnd) -> None:
        """Note how the run ends."""
        if self._span is None or self._tracer is None:
            return
        self._told = True
        self._span.set({name.STATUS: end.status})
        if end.error_code is not None:
            self._span.fail(end.error_code)
        if self._tracer.contents:
            self._span.set({name.OUTPUT_MESSAGES: messages_text(end.messages)})

    def close(self) -> None:
        """End the span."""
        if self._span is None:
            return
        if not self._told:
            # Taken away, given back, or ended from its log.
            self._span.fail("not-ended-here")
        self._span.end()


@contextmanager
def run_span(
    run: ClaimedRun, command: RunCommand, find_agent_name: Callable[[], str | None]
) -> Iterator[RunSpan]:
    """Record the attempt of a run that this block is, as a part of the trace in which the run was accepted.

    Args:
        run: Has just been claimed.
        command: What it was asked.
        find_agent_name: Returns the name of its agent; None if there is no such agent.
    """
    if (used := tracer()) is None:
        yield RunSpan()
        return
    agent_name = find_agent_name()
    parent, now = TraceContext.read(run.trace_context), time.time()
    values: dict[str, Value | None] = {
        **run_attributes(run.principal, command),
        name.ATTEMPT: run.owned.attempt,
    }
    used.start(name.QUEUE, values, parent=parent, at=now - run.age_seconds).end(now)
    agent: dict[str, Value | None] = {
        name.OPERATION: name.INVOKE_AGENT,
        name.AGENT_NAME: agent_name,
        name.AGENT_ID: run.owned.agent_id,
    }
    if used.contents:
        agent[name.INPUT_MESSAGES] = messages_text([message.wire() for message in command.messages])
    title = name.INVOKE_AGENT if agent_name is None else f"{name.INVOKE_AGENT} {agent_name}"
    begun = used.start(title, values | agent, parent=parent, at=now)
    span = RunSpan(used, begun)
    with inside(begun.context):
        try:
            yield span
        finally:
            span.close()
