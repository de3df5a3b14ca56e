"""Counts model calls for the metrics of the process, when they come into the ledger."""

from __future__ import annotations

from core.agentscope.schemas.internal_events import ModelUsage
from core.metrics.catalogue import MODEL_CALLS, MODEL_COST, MODEL_TOKENS


def count_call(usage: ModelUsage) -> None:
    """Count a call that has ended, once."""
    MODEL_CALLS.add(usage.outcome)
    MODEL_TOKENS.add("input", amount=usage.input_tokens)
    MODEL_TOKENS.add("output", amount=usage.output_tokens)
    if usage.cost is not None:
        MODEL_COST.add(amount=float(usage.cost))
