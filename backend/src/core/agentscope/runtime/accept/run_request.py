"""One caller's request to run, as the rules of acceptance look at it."""

from __future__ import annotations

from dataclasses import dataclass

from core.agentscope.runtime.accept.agent_choice import UsableAgents
from core.agentscope.schemas.agent_runtime import RunCommand
from core.identity import Principal
from core.webhooks.run_webhook import RunWebhook


@dataclass(frozen=True, slots=True)
class RunRequest:
    """Who asks for which run; the key and the hash of the body tell a repeat from a second request."""

    principal: Principal
    command: RunCommand
    idempotency_key: str
    request_hash: bytes
    agents: UsableAgents
    trace_context: str | None = None
    """The span that accepts it, or that its caller named; the worker goes on with it."""
    webhook: RunWebhook | None = None
    """Where its end is told."""
