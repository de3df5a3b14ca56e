"""``recall``: lists what ``remember`` kept for the user."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from core.agentscope.tools.function_tool import tool
from core.agentscope.tools.memory_store import MemoryStore
from core.agentscope.tools.spec import Tool, ToolContext

MAX_MEMORIES_SHOWN = 50
Query = Annotated[str, Field(max_length=200)]


def recall_tool(memory: MemoryStore) -> Tool:
    """Build the tool over a store."""

    @tool(permission="allow", read_only=True)
    async def recall(context: ToolContext, query: Query = "") -> str:
        """List what the user asked to remember, newest first, at most 50 entries.

        Args:
            query: Words that an entry must contain; everything when absent.
        """
        # One more than is shown, to know whether there is more.
        found = await memory.list(context.principal, query=query, limit=MAX_MEMORIES_SHOWN + 1)
        if not found:
            return "Nothing that matches is remembered." if query.strip() else "Nothing is remembered."
        lines = [f"- {entry.created_at:%Y-%m-%d}: {entry.text}" for entry in found[:MAX_MEMORIES_SHOWN]]
        if len(found) > MAX_MEMORIES_SHOWN:
            lines.append("(there are older entries; use a query to find them)")
        return "\n".join(lines)

    return recall
