"""Puts together what a worker needs to call MCP servers in the name of users."""

from __future__ import annotations

import functools
from contextlib import AsyncExitStack

from sqlalchemy.ext.asyncio import AsyncEngine

from core.agentscope.tools.mcp.oauth_access import OAuthLogins
from core.agentscope.tools.mcp.user_sessions import AccessTo
from core.agentscope.tools.mcp.user_token import user_access
from core.config import Settings
from core.connections.oauth.login_links import LoginLinks
from core.connections.store import ConnectionStore
from core.connections.vault import Vault


def open_user_access(settings: Settings, engine: AsyncEngine, resources: AsyncExitStack) -> AccessTo:
    """Return how the worker finds the users' identities; a refresh under way is waited for at the end.

    Raises:
        ConfigurationError: From what is returned: users log in at a server, and there is no public address.
    """
    vault = Vault.of(settings.secrets)
    store = ConnectionStore(engine, vault)

    @functools.cache
    def logins() -> OAuthLogins:
        opened = OAuthLogins(engine, vault, store, LoginLinks.of(settings))
        resources.push_async_callback(opened.close)
        return opened

    return user_access(store, logins)
