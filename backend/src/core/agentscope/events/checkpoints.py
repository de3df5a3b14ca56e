"""Checkpoints: the agent's state at the safe points of a run, written under the run's fence.

``runtime/agent/thread_memory.py`` reads them for the next run. What a state consists of: ``state_parts.py``. The
database function ``agent_save_state`` (migration 0019) writes a state, here and at the end of a usual run.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import TextClause
from sqlalchemy.ext.asyncio import AsyncConnection

from core.agentscope.events.owned_run import OwnedRun
from core.agentscope.events.state_parts import StoredState
from core.agentscope.events.status_sql import status_text


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The agent's state at a safe point."""

    agentscope_version: str
    state: StoredState
    client_calls: tuple[str, ...] = ()
    """Tool calls that wait for the client in this state."""
    message_ids: tuple[str, ...] | None = None
    """The run's messages that this state knows; ``None`` at the run's end: all of them."""
    stored: Collection[bytes] = ()
    """Parts of the state that the thread has already."""
    superseded: tuple[bytes, ...] = ()
    """Parts that an earlier checkpoint of the run brought, and that this one does not name."""


def state_arguments(checkpoint: Checkpoint) -> tuple[object, ...]:
    """Return the arguments of ``agent_save_state`` after the run, its thread and its ordinal."""
    new = [(key, part) for key, part in checkpoint.state.parts.items() if key not in checkpoint.stored]
    return (
        checkpoint.agentscope_version,
        checkpoint.state.form,
        checkpoint.state.head,
        checkpoint.state.roots or b"",
        list(checkpoint.client_calls),
        None if checkpoint.message_ids is None else list(checkpoint.message_ids),
        [key for key, _ in new],
        [part.body for _, part in new],
        [part.children for _, part in new],
        list(checkpoint.superseded),
    )


async def save_checkpoint(connection: AsyncConnection, run: OwnedRun, checkpoint: Checkpoint) -> None:
    """Keep the agent's state for a run that is executed; nothing is written when the run is no longer ours.

    The run's row is locked until the commit: a run that has ended, or that ends now, keeps the state that its end
    left. The next run builds on the parts of that state, and a late checkpoint would delete some of them.
    """
    await _execute(connection, _SAVE, run, checkpoint)


async def save_last_checkpoint(connection: AsyncConnection, run: OwnedRun, checkpoint: Checkpoint) -> None:
    """Keep the state that a run ends with, in the transaction that ends the run and holds its row."""
    await _execute(connection, _SAVE_LAST, run, checkpoint)


async def _execute(
    connection: AsyncConnection, statement: TextClause, run: OwnedRun, checkpoint: Checkpoint
) -> None:
    key = {
        "run_pk": run.run_pk,
        "session_id": run.session_id,
        "ordinal": run.ordinal,
        "attempt": run.attempt,
    }
    await connection.execute(statement, key | dict(zip(_NAMES, state_arguments(checkpoint), strict=True)))


_NAMES = (
    "version",
    "form",
    "head",
    "roots",
    "client_calls",
    "message_ids",
    "digests",
    "bodies",
    "children",
    "superseded",
)


def _save(owned: str) -> TextClause:
    # The lock comes before the function: in one SELECT the function would be called first.
    return status_text(f"""
WITH owned AS MATERIALIZED (SELECT id FROM agent_run WHERE id = :run_pk AND attempt = :attempt {owned})
SELECT agent_save_state(owned.id, :session_id, :ordinal, :version, CAST(:form AS smallint), :head, :roots,
    CAST(:client_calls AS text[]), CAST(:message_ids AS text[]), CAST(:digests AS bytea[]), CAST(:bodies AS text[]),
    CAST(:children AS bytea[]), CAST(:superseded AS bytea[]))
FROM owned
""")  # noqa: S608  the condition is one of the constants below


_SAVE = _save("AND status = {running} FOR SHARE")
_SAVE_LAST = _save("")
