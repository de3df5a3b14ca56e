"""Checkpoints of versions before migration 0019: the agent's state as one JSON text."""

from __future__ import annotations

from agentscope.state import AgentState
from tests.support.stack import Stack

_AS_BEFORE = """
WITH newest AS (
    DELETE FROM agent_state AS c USING (
        SELECT n.run_pk FROM agent_state AS n JOIN agent_chat_session AS s ON s.id = n.session_id
        WHERE s.thread_id = $1 ORDER BY n.ordinal DESC LIMIT 1) AS found
    WHERE c.run_pk = found.run_pk RETURNING c.*
)
INSERT INTO agent_checkpoint (run_pk, session_id, ordinal, agentscope_version, state, client_calls, message_ids)
SELECT run_pk, session_id, ordinal, agentscope_version, $2, client_calls, message_ids FROM newest RETURNING ordinal
"""


async def store_whole(stack: Stack, thread: str, state: AgentState) -> None:
    """Put a state in the place of a thread's newest one, as a version before would have stored it."""
    assert await stack.fetch(_AS_BEFORE, thread, state.model_dump_json())
