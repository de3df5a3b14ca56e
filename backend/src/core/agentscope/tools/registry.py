"""Which tools there are: the built-in ones, and those that users name as ``package.module:attribute``."""

from __future__ import annotations

from core.agentscope.tools.calculate import calculate_tool
from core.agentscope.tools.current_time import current_time_tool
from core.agentscope.tools.errors import ToolDefinitionError
from core.agentscope.tools.fetch_url import fetch_url_tool
from core.agentscope.tools.memory_store import MemoryStore
from core.agentscope.tools.recall import recall_tool
from core.agentscope.tools.remember import remember_tool
from core.agentscope.tools.spec import Tool
from core.agentscope.tools.update_state import update_state_tool
from core.agentscope.tools.user_module import import_attribute
from core.config import ToolSettings


def builtin_tools(settings: ToolSettings, memory: MemoryStore) -> dict[str, Tool]:
    """Build the built-in tools by name. Share them in a process: they hold no state of a run."""
    tools = (
        current_time_tool(),
        calculate_tool(),
        fetch_url_tool(settings),
        remember_tool(memory),
        recall_tool(memory),
        update_state_tool(),
    )
    return {tool.name: tool.within(settings) for tool in tools}


def load_tool(reference: str, settings: ToolSettings | None = None) -> Tool:
    """Import a user's tool, an attribute that ``@tool`` made.

    Runs the module's code: references come from the operator's configuration, never from a request.

    Args:
        reference: ``package.module:attribute``.
        settings: Fill in the timeout and the result size where the tool states none.

    Raises:
        ToolDefinitionError: There is no such module or attribute, it is not a tool, or the module has a bug.
    """
    _, found = import_attribute(reference)
    if not isinstance(found, Tool):
        raise ToolDefinitionError(f"{reference}: not a tool; put @tool(permission=...) on the function")
    return found.within(settings) if settings else found
