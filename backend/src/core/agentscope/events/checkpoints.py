"""Checkpoints: the agent's state at the safe points of a run, written under the run's fence.

``runtime/agent/thread_memory.py`` reads them for the next run.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from core.agentscope.events.owned_run import OwnedRun


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The agent's state at a safe point, as JSON text."""

    agentscope_version: str
    state: str
    client_calls: tuple[str, ...] = ()
    """Tool calls that wait for the client in this state."""
    message_ids: tuple[str, ...] | None = None
    """The run's messages that this state knows; ``None`` at the run's end: all of them."""


async def save_checkpoint(connection: AsyncConnection, run: OwnedRun, checkpoint: Checkpoint) -> None:
    """Keep the agent's state for this run; 0 rows when the run is no longer ours.

    The row is written only under the run's fence, so a lost worker cannot
    replace the state of its successor.
    """
    await connection.execute(
        _SAVE_CHECKPOINT,
        {
            "run_pk": run.run_pk,
            "session_id": run.session_id,
            "ordinal": run.ordinal,
            "attempt": run.attempt,
            "version": checkpoint.agentscope_version,
            "state": checkpoint.state,
            "client_calls": list(checkpoint.client_calls),
            "message_ids": None if checkpoint.message_ids is None else list(checkpoint.message_ids),
        },
    )


_SAVE_CHECKPOINT = text("""
INSERT INTO agent_checkpoint (run_pk, session_id, ordinal, agentscope_version, state, client_calls, message_ids)
SELECT r.id, :session_id, :ordinal, :version, :state, CAST(:client_calls AS text[]),
       CAST(:message_ids AS text[]) FROM agent_run AS r
WHERE r.id = :run_pk AND r.attempt = :attempt
ON CONFLICT (run_pk) DO UPDATE SET
    state = excluded.state, client_calls = excluded.client_calls, message_ids = excluded.message_ids,
    agentscope_version = excluded.agentscope_version, updated_at = clock_timestamp()
""")
