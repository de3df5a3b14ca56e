"""``search_knowledge``: the tool by which the model asks the user's search function for passages."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from core.agentscope.tools.errors import ToolError
from core.agentscope.tools.function_tool import tool
from core.agentscope.tools.spec import Tool, ToolContext

_GRACE_SECONDS = 30.0
"""The search has a time limit of its own, which says more when it is over."""


def search_knowledge_tool(name: str, description: str, *, timeout_seconds: float) -> Tool:
    """Build the tool; the run gives it its search through the context.

    Args:
        name: Of the tool.
        description: For the model.
        timeout_seconds: Of the search.
    """

    @tool(
        permission="allow",
        name=name,
        description=description,
        read_only=True,
        timeout_seconds=timeout_seconds + _GRACE_SECONDS,
    )
    async def search_knowledge(
        query: Annotated[str, Field(description="What to find, in words that need no context.")],
        context: ToolContext,
    ) -> str:
        if context.knowledge is None:
            raise ToolError("There is nothing to search in this conversation.")
        return await context.knowledge.search(query)

    return search_knowledge
