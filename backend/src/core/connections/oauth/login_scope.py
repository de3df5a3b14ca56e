"""What the next login of a user must ask for, beside what every login at the server asks for."""

from __future__ import annotations

from core.connections.oauth.server import OAuthServer
from core.connections.oauth.stored_grant import stored_grant
from core.connections.store import ConnectionStore
from core.identity import Principal

_MAX_CHARACTERS = 4096
"""Of what a server may ask for at once: a server cannot make a row grow for ever."""


async def login_scope(connections: ConnectionStore, principal: Principal, server: OAuthServer) -> str:
    """Return the scopes that a login must ask for, separated by spaces; empty if the usual ones are enough.

    A server that has refused a call for want of a scope gets what the user has granted already and what was missing.
    """
    found = await connections.find(principal, server.name, server.resource)
    if found is None or not found.wanted_scope:
        return ""
    grant = stored_grant(found)
    return union((grant and grant.scope) or "", found.wanted_scope)


def union(known: str, more: str) -> str:
    """Return the scopes of both; only the newer ones if all would be too many."""
    both = " ".join(dict.fromkeys((*known.split(), *more.split())))
    return both if len(both) <= _MAX_CHARACTERS else more[:_MAX_CHARACTERS].rpartition(" ")[0]
