"""The tools that a profile names: one rule for the worker that calls them and the API that lists them."""

from __future__ import annotations

from collections.abc import Iterable

from core.agentscope.runtime.profile.profile import AgentProfile, Subagent
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


def subagent_tools(
    subagent: Subagent, tools: Iterable[tuple[Tool, Permission]]
) -> list[tuple[Tool, Permission]]:
    """Return the tools of a subagent. A subagent cannot ask the user, so it has only tools with permission "allow".

    Args:
        subagent: Names its tools.
        tools: The profile's tools.

    Raises:
        ToolDefinitionError: It names a tool that the profile does not have, or one that needs approval.
    """
    by_name = {entry[0].name: entry for entry in tools}
    chosen: list[tuple[Tool, Permission]] = []
    for name in subagent.tools:
        if name not in by_name:
            known = ", ".join(by_name) or "none"
            raise ToolDefinitionError(
                f"subagent {subagent.name}: the profile has no tool {name}; its tools are: {known}"
            )
        if by_name[name][1] != "allow":
            raise ToolDefinitionError(
                f'subagent {subagent.name}: the tool {name} must have permission = "allow", '
                + "because a subagent cannot ask the user"
            )
        chosen.append(by_name[name])
    return chosen


def offered_tools(profile: AgentProfile, settings: ToolSettings) -> list[tuple[Tool, Permission]]:
    """Return the tools that the agent may call, each with its permission, to be listed; they are not called from here.

    Raises:
        ToolDefinitionError: As :func:`profile_tools` and :func:`subagent_tools`.
    """
    tools = profile_tools(profile, settings, InMemoryMemoryStore())
    for subagent in profile.subagents:
        subagent_tools(subagent, tools)
    return [entry for entry in tools if entry[1] != "deny"]
