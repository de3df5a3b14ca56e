"""The preflight check of the agents: their profiles and the tools that the profiles name."""

from __future__ import annotations

from collections.abc import Callable

from agentroute.check_result import CheckResult, refused
from core.agentscope.runtime.model.prices import PricesInvalid, load_prices
from core.agentscope.runtime.profile.agents import Agents, load_agents
from core.agentscope.runtime.profile.fallbacks import fallback_settings
from core.agentscope.runtime.profile.mcp_servers import resolve_mcp
from core.agentscope.runtime.profile.profile_errors import ProfileInvalid
from core.agentscope.runtime.profile.profile_tools import Load, listed_by_child, offered_tools
from core.agentscope.runtime.profile.skills import check_skill_folders
from core.agentscope.runtime.profile.user_servers import named_servers
from core.agentscope.tools.errors import ToolDefinitionError
from core.agentscope.tools.imported_tools import load_tools
from core.config import Settings
from core.connections.oauth.login_links import NO_PUBLIC_URL
from core.connections.vault import NO_KEY, Vault

_NAME = "Agent profile"


async def check_profile(settings: Settings) -> CheckResult:
    """Check that the profiles, their tools and the price table can be used. Modules of tools are not imported here."""
    return _checked(settings, lambda agents: listed_by_child(agents.profiles.values()))


async def check_profile_of_worker(settings: Settings) -> CheckResult:
    """Check the same where the tools are called, so their modules are imported anyway."""
    return _checked(settings, lambda _agents: load_tools)


def _checked(settings: Settings, loading: Callable[[Agents], Load]) -> CheckResult:
    try:
        agents = load_agents(settings.profile_path)
        load_prices(settings.model.prices_path)
        load = loading(agents)
        found = [_check(agents, agent_id, settings, load) for agent_id in agents.profiles]
        named_servers(agents)
    except (ProfileInvalid, ToolDefinitionError, PricesInvalid) as exc:
        return CheckResult(
            _NAME, False, str(exc), "Correct it, or unset AGENT_PROFILE_PATH for the bundled one."
        )
    return CheckResult(_NAME, True, "; ".join(found))


async def check_public_url(settings: Settings) -> CheckResult:
    """Check that browsers can come back from logins, if there are any."""
    name = "Public address"
    try:
        servers = named_servers(load_agents(settings.profile_path))
    except ProfileInvalid:
        return CheckResult(name, True, "not known: see the agent profile")
    needed = sorted({server.name for server in servers if server.auth == "oauth"})
    url = settings.server.public_url
    if needed and not url:
        return refused(name, NO_PUBLIC_URL, f", and users log in at {', '.join(needed)}")
    return CheckResult(name, True, url or "none; no server of the agents needs one")


async def check_secrets(settings: Settings) -> CheckResult:
    """Check that there is a key if tokens of users, or webhooks of runs, are to be stored."""
    name = "Secrets"
    try:
        servers = named_servers(load_agents(settings.profile_path))
    except ProfileInvalid:
        return CheckResult(name, True, "not known: see the agent profile")
    needed = sorted({server.name for server in servers if server.auth is not None})
    keys = len(Vault.of(settings.secrets).heads)
    if needed and not keys:
        return refused(name, NO_KEY, f", and users connect themselves to {', '.join(needed)}")
    if settings.webhooks.run_hosts and not keys:
        return refused(name, NO_KEY, ", and runs may name webhooks (AGENT_WEBHOOKS__RUN_HOSTS)")
    shown = {0: "no key; nothing needs one", 1: "one key"}
    return CheckResult(name, True, shown.get(keys, f"{keys} keys; the first one encrypts"))


def _check(agents: Agents, agent_id: str, settings: Settings, load: Load) -> str:
    """Return what one agent is, in a few words; the line of an error names its file."""
    profile = agents.profiles[agent_id]
    try:
        tools = offered_tools(profile, settings.tools, load)
        fallback_settings(profile, settings.model)
        resolve_mcp(profile.mcp)
        check_skill_folders(profile.skills.paths)
    except (ProfileInvalid, ToolDefinitionError) as exc:
        raise type(exc)(f"{agents.where(agent_id)}{exc}") from exc
    told = f"{profile.name}, {len(tools)} tools"
    if not agents.keeps_ids:
        return told
    return f"{agent_id}{' (default)' if agent_id == agents.default_id else ''}: {told}"
