"""Puts together what the logins of users at MCP servers need in an API process."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy.ext.asyncio import AsyncEngine

from core.agentscope.runtime.profile.user_servers import NamedServer
from core.config import Settings
from core.connections.oauth.client_store import ClientStore
from core.connections.oauth.http_edge import OAuthHttp
from core.connections.oauth.login import Logins
from core.connections.oauth.login_links import LoginLinks
from core.connections.oauth.login_store import LoginStore
from core.connections.store import ConnectionStore
from core.connections.vault import Vault


def open_logins(
    settings: Settings,
    engine: AsyncEngine,
    vault: Vault,
    connections: ConnectionStore,
    servers: Iterable[NamedServer],
) -> Logins | None:
    """Return the logins of the deployment; ``None`` if users log in at no server.

    Raises:
        ConfigurationError: Users log in, and there is no public address.
    """
    places = {server.name: server.oauth for server in servers if server.oauth is not None}
    if not places:
        return None
    links = LoginLinks.of(settings)
    return Logins(
        places, links, LoginStore(engine, vault), ClientStore(engine, vault), connections, OAuthHttp()
    )
