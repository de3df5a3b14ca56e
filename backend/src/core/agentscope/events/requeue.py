"""Puts a running run back into the queue: only one whose worker is lost, and that nobody has seen anything of."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from core.agentscope.events.ledger.budget_store import release_run
from core.agentscope.events.status_sql import status_text
from models import AgentRun

_REQUEUE = status_text("""
UPDATE agent_run SET status = {queued}, lease_until = NULL, worker_id = NULL, next_hint_at = clock_timestamp()
WHERE id = :run_pk AND status = {running}
""")


def is_pristine(run: AgentRun) -> bool:
    """Tell whether a run can safely be executed again.

    Readers saw nothing but ``RUN_STARTED``. No tool can have started, because a tool starts after its call is in the log.
    """
    return run.last_seq <= 1


async def requeue(connection: AsyncConnection, run: AgentRun) -> None:
    """Queue a pristine run again, inside a transaction that holds its lock; the attempt before is fenced."""
    await connection.execute(_REQUEUE, {"run_pk": run.id})
    await release_run(connection, run.id)
