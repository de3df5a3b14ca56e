"""The preflight check of the agent: its profile and the tools the profile names."""

from __future__ import annotations

from agentroute.check_result import CheckResult
from core.agentscope.runtime.model.prices import PricesInvalid, load_prices
from core.agentscope.runtime.profile.fallbacks import fallback_settings
from core.agentscope.runtime.profile.mcp_servers import resolve_mcp
from core.agentscope.runtime.profile.profile import load_profile
from core.agentscope.runtime.profile.profile_errors import ProfileInvalid
from core.agentscope.runtime.profile.profile_tools import offered_tools
from core.agentscope.tools.errors import ToolDefinitionError
from core.config import Settings

_NAME = "Agent profile"


async def check_profile(settings: Settings) -> CheckResult:
    """Check that the profile, its tools and the price table can be used."""
    try:
        profile = load_profile(settings.profile_path)
        tools = offered_tools(profile, settings.tools)
        load_prices(settings.model.prices_path)
        fallback_settings(profile, settings.model)
        resolve_mcp(profile.mcp)
    except (ProfileInvalid, ToolDefinitionError, PricesInvalid) as exc:
        return CheckResult(
            _NAME, False, str(exc), "Correct it, or unset AGENT_PROFILE_PATH for the bundled one."
        )
    return CheckResult(_NAME, True, f"{profile.name}, {len(tools)} tools")
