"""Which tools are built in. Those of users are in ``imported_tools``."""

from __future__ import annotations

from core.agentscope.tools.calculate import calculate_tool
from core.agentscope.tools.current_time import current_time_tool
from core.agentscope.tools.fetch_url import fetch_url_tool
from core.agentscope.tools.memory_store import MemoryStore
from core.agentscope.tools.recall import recall_tool
from core.agentscope.tools.remember import remember_tool
from core.agentscope.tools.spec import Tool
from core.agentscope.tools.update_state import update_state_tool
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
