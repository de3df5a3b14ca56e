"""One toolkit for one run: the user's tools, skills and groups, and the tools of the profile and the client.

A toolkit cannot be shared between runs: AgentScope adds tools to it and takes them out while an agent works. So a run
always works with a copy.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Sequence

import structlog
from agentscope.mcp import MCPClient
from agentscope.tool import ToolBase, ToolGroup, Toolkit

from core.agentscope.runtime.agent.factory.run_marks import is_of, is_of_another, marked
from core.agentscope.runtime.agent.toolkit import RunToolkit

log = structlog.get_logger(__name__)

_BASIC = "basic"
LIST_SECONDS = 10.0
"""Of an MCP client's list of tools. The user waits for it at the beginning of a run."""


def merged_toolkit(
    theirs: Toolkit | None, ours: Sequence[ToolBase], run: str, unlisted: Sequence[ToolBase] = ()
) -> Toolkit:
    """Return a copy of the user's toolkit with our tools added; one that is merged for this run already as it is.

    Our tools of another run act on behalf of its user, so they are left out wherever they are.
    """
    if theirs is not None and is_of(theirs, run):
        return theirs
    same = RunToolkit() if theirs is None else copied_toolkit(theirs)
    for group in same.tool_groups:
        group.tools = [tool for tool in group.tools if not is_of_another(tool, run)]
    if type(same) is Toolkit:
        # The same, with a better answer to a model that calls a tool which is not there.
        same.__class__ = RunToolkit
    if isinstance(same, RunToolkit):
        same.hide(unlisted)
    if all(group.name != _BASIC for group in same.tool_groups):
        same.tool_groups.insert(0, ToolGroup(name=_BASIC))
    taken = {tool.name for group in same.tool_groups for tool in group.tools}
    basic = next(group for group in same.tool_groups if group.name == _BASIC)
    basic.tools += [marked(tool, run) for tool in ours if tool.name not in taken]
    return marked(same, run)


def copied_toolkit(toolkit: Toolkit) -> Toolkit:
    """Return a toolkit with groups of its own, and the same tools and skills in them."""
    same = copy.copy(toolkit)
    same.tool_groups = [_copied(group) for group in same.tool_groups]
    return same


async def settle_tools(toolkit: Toolkit, guard: Callable[[ToolBase], ToolBase]) -> None:
    """List the tools of the toolkit's MCP clients once, and put the guard around all tools.

    AgentScope asks an MCP server for its list at every look-up: seven times for one call. A server that does not answer
    in time has no tools in this run. All servers are asked at once.
    """
    groups = toolkit.tool_groups
    found = iter(await asyncio.gather(*(_listed(client) for group in groups for client in group.mcps)))
    for group in groups:
        for _client in group.mcps:
            group.tools += next(found)
        group.mcps = []
        group.tools = [guard(tool) for tool in group.tools]


async def _listed(client: MCPClient) -> Sequence[ToolBase]:
    try:
        async with asyncio.timeout(LIST_SECONDS):
            return await client.list_tools()
    except Exception:  # one server that is down must not end the run
        log.exception("mcp_tools_not_listed", server=client.name)
        return []


def _copied(group: ToolGroup) -> ToolGroup:
    same = copy.copy(group)
    same.tools, same.mcps = list(group.tools), list(group.mcps)
    same.skills_or_loaders = list(group.skills_or_loaders)
    return same
