"""The tools that a profile names: one rule for the worker that calls them and the API that lists them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from core.agentscope.runtime.profile.profile import AgentProfile, Subagent
from core.agentscope.tools.errors import ToolDefinitionError
from core.agentscope.tools.foreign_tools import ForeignTool
from core.agentscope.tools.imported_tools import load_tools
from core.agentscope.tools.memory_store import InMemoryMemoryStore, MemoryStore
from core.agentscope.tools.registry import builtin_tools
from core.agentscope.tools.search_knowledge import search_knowledge_tool
from core.agentscope.tools.spec import Permission, Tool
from core.agentscope.tools.tool_listing import lister
from core.config import ToolSettings

_STRICTNESS: tuple[Permission, ...] = ("allow", "ask", "deny")

Load = Callable[[str, ToolSettings], list[Tool]]
"""Returns the tools behind a reference; raises ``ToolDefinitionError``."""


def profile_tools(
    profile: AgentProfile, settings: ToolSettings, memory: MemoryStore, load: Load = load_tools
) -> list[tuple[Tool, Permission]]:
    """Return the profile's tools, denied ones too, each with its permission.

    The permission is the stricter of what the profile and an AgentScope tool say. ``@tool`` only proposes one.

    Args:
        profile: Names the tools.
        settings: Of the tools.
        memory: What the memory tools read and write.
        load: Finds the tools of users.

    Raises:
        ToolDefinitionError: A tool cannot be imported, there is none of that name, or two have the same name.
    """
    builtin = builtin_tools(settings, memory)
    tools: list[tuple[Tool, Permission]] = []
    places = {subagent.name: "a subagent" for subagent in profile.subagents}
    for entry in profile.tools:
        if entry.reference is not None:
            found = load(entry.reference, settings)
        elif entry.name in builtin:
            found = [builtin[entry.name]]
        else:
            raise ToolDefinitionError(
                f"{entry.name}: no built-in tool has this name; the built-in tools are {', '.join(builtin)}"
            )
        place = entry.reference or "a built-in tool"
        for tool in found:
            if tool.name in places:
                raise ToolDefinitionError(
                    f"{place}: the name {tool.name} is taken by {places[tool.name]}; rename or remove one of them"
                )
            places[tool.name] = place
            tools.append((tool, _stricter(entry.permission, tool)))
    if (knowledge := profile.knowledge) is not None and knowledge.when == "tool":
        if knowledge.name in places:
            raise ToolDefinitionError(
                f"knowledge.name: the name {knowledge.name} is taken by {places[knowledge.name]}; choose another"
            )
        search = search_knowledge_tool(
            knowledge.name, knowledge.description, timeout_seconds=knowledge.timeout_seconds
        )
        tools.append((search.within(settings), "allow"))
    return tools


def _stricter(permission: Permission, tool: Tool) -> Permission:
    stated = tool.stated if isinstance(tool, ForeignTool) else None
    both: tuple[Permission, Permission] = (permission, stated or permission)
    return max(both, key=_STRICTNESS.index)


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
            tool = by_name[name][0]
            # The profile may say "allow": then the tool itself says more.
            own = (
                f"; the tool itself says {tool.stated}"
                if isinstance(tool, ForeignTool) and tool.stated
                else ""
            )
            raise ToolDefinitionError(
                f'subagent {subagent.name}: the tool {name} must have permission = "allow", '
                + f"because a subagent cannot ask the user{own}"
            )
        chosen.append(by_name[name])
    return chosen


def listed_by_child(profiles: Iterable[AgentProfile]) -> Load:
    """Return what finds the tools of these profiles without the import of their modules here, to be listed."""
    return lister(
        entry.reference for profile in profiles for entry in profile.tools if entry.reference is not None
    )


def offered_tools(profile: AgentProfile, settings: ToolSettings, load: Load) -> list[tuple[Tool, Permission]]:
    """Return the tools that the agent may call, each with its permission, to be listed; they are not called from here.

    Raises:
        ToolDefinitionError: As :func:`profile_tools` and :func:`subagent_tools`.
    """
    tools = profile_tools(profile, settings, InMemoryMemoryStore(), load)
    for subagent in profile.subagents:
        subagent_tools(subagent, tools)
    return [entry for entry in tools if entry[1] != "deny"]
