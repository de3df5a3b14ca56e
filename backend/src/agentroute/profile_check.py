"""The preflight check of the agent: its profile and the tools the profile names."""

from __future__ import annotations

from agentroute.preflight import CheckResult
from core.agentscope.runtime.model.prices import PricesInvalid, load_prices
from core.agentscope.runtime.profile.fallbacks import fallback_settings
from core.agentscope.runtime.profile.profile import AgentProfile, load_profile
from core.agentscope.runtime.profile.profile_errors import ProfileInvalid
from core.agentscope.tools.errors import ToolDefinitionError
from core.agentscope.tools.memory_store import InMemoryMemoryStore
from core.agentscope.tools.registry import builtin_tools, load_tool
from core.agentscope.tools.spec import Tool
from core.config import Settings

_NAME = "Agent profile"


def profile_tools(profile: AgentProfile, settings: Settings) -> list[Tool]:
    """Return the tools a profile offers, to be listed; they are not called from here.

    Raises:
        ToolDefinitionError: A tool cannot be imported, or there is none of that name.
    """
    builtin = builtin_tools(settings.tools, InMemoryMemoryStore())
    tools: list[Tool] = []
    for entry in profile.tools:
        if entry.permission == "deny":
            continue
        if entry.reference is not None:
            tools.append(load_tool(entry.reference, settings.tools))
        elif entry.name in builtin:
            tools.append(builtin[entry.name])
        else:
            raise ToolDefinitionError(
                f"{entry.name}: no built-in tool has this name; the built-in tools are {', '.join(builtin)}"
            )
    return tools


async def check_profile(settings: Settings) -> CheckResult:
    """The profile, its tools and the price table can be used."""
    try:
        profile = load_profile(settings.profile_path)
        tools = profile_tools(profile, settings)
        load_prices(settings.model.prices_path)
        fallback_settings(profile, settings.model)
    except (ProfileInvalid, ToolDefinitionError, PricesInvalid) as exc:
        return CheckResult(
            _NAME, False, str(exc), "Correct it, or unset AGENT_PROFILE_PATH for the bundled one."
        )
    return CheckResult(_NAME, True, f"{profile.name}, {len(tools)} tools")
