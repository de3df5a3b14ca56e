"""The tools that a profile names: one rule for the worker that calls them and the API that lists them."""

from __future__ import annotations

from core.agentscope.runtime.profile.profile import AgentProfile
from core.agentscope.tools.errors import ToolDefinitionError
from core.agentscope.tools.memory_store import InMemoryMemoryStore, MemoryStore
from core.agentscope.tools.registry import builtin_tools, load_tool
from core.agentscope.tools.spec import Permission, Tool
from core.config import ToolSettings


def profile_tools(
    profile: AgentProfile, settings: ToolSettings, memory: MemoryStore
) -> list[tuple[Tool, Permission]]:
    """Return the profile's tools, denied ones too, each with its permission.

    Args:
        profile: Names the tools.
        settings: Of the tools.
        memory: What the memory tools read and write.

    Raises:
        ToolDefinitionError: A tool cannot be imported, or there is none of that name.
    """
    builtin = builtin_tools(settings, memory)
    tools: list[tuple[Tool, Permission]] = []
    for entry in profile.tools:
        if entry.reference is not None:
            tool = load_tool(entry.reference, settings)
        elif entry.name in builtin:
            tool = builtin[entry.name]
        else:
            raise ToolDefinitionError(
                f"{entry.name}: no built-in tool has this name; the built-in tools are {', '.join(builtin)}"
            )
        tools.append((tool, entry.permission))
    return tools


def offered_tools(profile: AgentProfile, settings: ToolSettings) -> list[Tool]:
    """Return the tools that the agent may call, to be listed; they are not called from here.

    Raises:
        ToolDefinitionError: As :func:`profile_tools`.
    """
    tools = profile_tools(profile, settings, InMemoryMemoryStore())
    return [tool for tool, permission in tools if permission != "deny"]
