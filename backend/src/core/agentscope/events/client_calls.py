"""The open client tool calls of a thread, as the newest checkpoint records them.

A call belongs to the thread until it is answered or the conversation continues without it, over any number of runs.
Only calls that were sent to the client are recorded: a result for any other call was fabricated by the client.
"""

from __future__ import annotations

from sqlalchemy import text

from core.agentscope.events.newest_state import newest_state


def _open_calls(session: str) -> str:
    """Return a query for the ids of the open calls of a thread; ``session`` is SQL of its row id."""
    return f"""
SELECT call.id FROM (
    {newest_state(session, ["c.client_calls"])}
) AS newest, unnest(newest.client_calls) WITH ORDINALITY AS call(id, place)
WHERE NOT EXISTS (
    SELECT 1 FROM agent_chat_message AS m
    WHERE m.session_id = {session} AND m.tool_call_id = call.id AND m.replaced_by_ordinal IS NULL)
ORDER BY call.place
"""  # noqa: S608  the parts are constants


OPEN_CLIENT_CALLS = text(_open_calls(":session_id"))
"""Ids of the calls of client tools that have no answer yet, in the order of the calls."""

OPEN_CLIENT_CALL_COUNTS = f"""
SELECT s.id AS session_id, (SELECT count(*) FROM ({_open_calls("s.id")}) AS open_calls) AS calls
FROM unnest($1::bigint[]) AS s(id)
"""  # noqa: S608  the part is a constant
"""How many of them each of several threads has, for the driver."""

KNOWN_CALLS = text("""
SELECT DISTINCT call ->> 'id' FROM agent_chat_message AS m, jsonb_array_elements(m.tool_calls) AS call
WHERE m.session_id = :session_id AND call ->> 'id' = ANY(CAST(:call_ids AS text[]))
""")
"""Those of ``call_ids`` that are calls of this thread: of any tool, answered or not, shown or replaced."""
