"""The webhook that a run has named itself: stored with its run, and passed on to the run that goes on with it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from core.agentscope.runtime.accept.interrupts import Answer
from core.agentscope.runtime.accept.run_request import RunRequest
from core.connections.vault import Vault
from models import AgentRun, AgentRunWebhook

# Sealed for the user and the host, which are the same.
_PASS_ON = text("""
INSERT INTO agent_run_webhook (run_pk, tenant_id, user_id, host, sealed)
SELECT :run_pk, w.tenant_id, w.user_id, w.host, w.sealed FROM agent_run_webhook AS w WHERE w.run_pk = :asking
""")


async def keep_webhook(
    session: AsyncSession, request: RunRequest, run: AgentRun, answers: Sequence[Answer], vault: Vault | None
) -> None:
    """Store the webhook of a new run. One that brings answers goes on with that of the run that asked, or names its own.

    Args:
        session: The transaction that accepts the run.
        request: May name an endpoint.
        run: Its row is in the database.
        answers: What it brings.
        vault: Seals address and secret.
    """
    if request.webhook is not None and vault is not None:
        session.add(
            AgentRunWebhook(
                run_pk=run.id,
                tenant_id=run.tenant_id,
                user_id=run.user_id,
                host=request.webhook.host,
                sealed=request.webhook.sealed(vault, request.principal),
            )
        )
        await session.flush()
    elif answers:
        await session.execute(_PASS_ON, {"run_pk": run.id, "asking": answers[0].interrupt.run_pk})
