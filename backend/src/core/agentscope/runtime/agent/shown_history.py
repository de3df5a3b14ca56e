"""The thread's messages as clients hold them, for a run that begins with a snapshot of them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Text, cast, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.agentscope.events.message_rows import to_message
from core.agentscope.events.owned_run import OwnedRun
from models import AgentChatMessage


async def shown_history(
    engine: AsyncEngine, run: OwnedRun, max_bytes: int
) -> tuple[tuple[dict[str, Any], ...], int]:
    """Return the thread's messages, if they were asked for and are not too large; else how large they are.

    Args:
        engine: The process' engine.
        run: The run that begins with them.
        max_bytes: How large they may be as JSON, roughly; 0 if they were not asked for.
    """
    if not max_bytes:
        return (), 0
    async with engine.connect() as connection:
        size = await _size(connection, run)
        return (await _messages(connection, run), 0) if 0 < size <= max_bytes else ((), size)


async def _size(connection: AsyncConnection, run: OwnedRun) -> int:
    columns = (AgentChatMessage.content, AgentChatMessage.tool_calls, AgentChatMessage.extra)
    size = sum((func.coalesce(func.octet_length(cast(column, Text)), 0) for column in columns), literal(64))
    return int(await connection.scalar(select(func.sum(size)).where(*_shown(run))) or 0)


async def _messages(connection: AsyncConnection, run: OwnedRun) -> tuple[dict[str, Any], ...]:
    message = AgentChatMessage
    # Columns, not objects: a thread may have thousands of messages.
    columns = (message.message_id, message.role, message.content, message.tool_calls)
    rows = await connection.execute(
        select(*columns, message.tool_call_id, message.extra).where(*_shown(run)).order_by(message.position)
    )
    return tuple(map(to_message, rows))


def _shown(run: OwnedRun) -> tuple[Any, Any]:
    return (
        AgentChatMessage.session_id == run.session_id,
        AgentChatMessage.replaced_by_ordinal.is_(None),
    )
