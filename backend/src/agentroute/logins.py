"""Puts together what users' connections to MCP servers need in an API process."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from agentroute.agent_items import DeployedAgents
from core.agentscope.runtime.profile.user_servers import named_servers
from core.config import Settings
from core.connections.oauth.client_store import ClientStore
from core.connections.oauth.http_edge import OAuthHttp
from core.connections.oauth.login import Logins
from core.connections.oauth.login_links import LoginLinks
from core.connections.oauth.login_store import LoginStore
from core.connections.store import ConnectionStore
from core.connections.vault import Vault
from v1.agent.connection_directory import ConnectionDirectory


def open_connections(
    settings: Settings, engine: AsyncEngine, deployed: DeployedAgents
) -> tuple[Logins | None, ConnectionDirectory]:
    """Return the logins of the deployment (``None`` if users log in at no server) and the directory of connections.

    Raises:
        ConfigurationError: Users log in, and there is no public address.
        ProfileInvalid: A name means two servers that users connect to.
    """
    vault = Vault.of(settings.secrets)
    store = ConnectionStore(engine, vault)
    servers = named_servers(deployed.agents)
    directory = ConnectionDirectory(store, servers, lambda principal: deployed.usable(principal).ids)
    places = {server.name: server.oauth for server in servers if server.oauth is not None}
    if not places:
        return None, directory
    links = LoginLinks.of(settings)
    logins = Logins(places, links, LoginStore(engine, vault), ClientStore(engine, vault), store, OAuthHttp())
    return logins, directory
