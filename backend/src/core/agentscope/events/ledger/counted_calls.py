"""Counts and traces model calls when they come into the ledger: what it has is what is shown."""

from __future__ import annotations

from core.agentscope.events.run_spans import trace_call
from core.agentscope.schemas.internal_events import ModelUsage
from core.metrics.catalogue import MODEL_CALLS, MODEL_COST, MODEL_TOKENS


def note_call(usage: ModelUsage) -> None:
    """Count a call that has ended, and record its span, once."""
    trace_call(usage)
    MODEL_CALLS.add(usage.outcome)
    MODEL_TOKENS.add("input", amount=usage.input_tokens)
    MODEL_TOKENS.add("output", amount=usage.output_tokens)
    if usage.cost is not None:
        MODEL_COST.add(amount=float(usage.cost))
