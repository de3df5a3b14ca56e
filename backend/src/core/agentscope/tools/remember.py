"""``remember``: keeps a short text for the user, across threads, after the user's approval."""

from __future__ import annotations

from core.agentscope.tools.errors import ToolError
from core.agentscope.tools.function_tool import tool
from core.agentscope.tools.memory_store import MAX_MEMORIES, MemoryFull, MemoryStore
from core.agentscope.tools.spec import Tool, ToolContext

MAX_TEXT_BYTES = 4 << 10


def remember_tool(memory: MemoryStore) -> Tool:
    """Build the tool over a store. A repeated call stores nothing twice."""

    # Needs approval: later threads trust the stored text, so a web page must not be able to write it.
    @tool(permission="ask", editable=True)
    async def remember(text: str, context: ToolContext) -> str:
        """Remember a fact or preference of the user for later conversations.

        Args:
            text: One short, self-contained statement, at most 4096 bytes.
        """
        text = text.strip()
        if not text:
            raise ToolError("There is nothing to remember: the text is empty.")
        # Lone surrogates are counted as the three bytes of what replaces them.
        size = len(text.encode("utf-8", "surrogatepass"))
        if size > MAX_TEXT_BYTES:
            raise ToolError(f"The text has {size} bytes; at most {MAX_TEXT_BYTES} can be remembered.")
        try:
            await memory.add(context.principal, text, idempotency_key=context.idempotency_key)
        except MemoryFull as exc:
            raise ToolError(f"The memory is full: it holds {MAX_MEMORIES} texts for this user.") from exc
        return "Remembered."

    return remember
