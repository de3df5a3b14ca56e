"""What the routes say and do about users' connections: the servers of the caller's agents, and the rows of the caller."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from core.agentscope.runtime.profile.user_servers import NamedServer
from core.agentscope.schemas.connections import ConnectionItem, TokenCommand
from core.agentscope.tools.mcp.user_access import UserAuth
from core.connection_errors import LoginNotWanted, TokenNotWanted
from core.connections.store import ConnectionStore, KnownConnection
from core.errors import NotFound
from core.identity import Principal


@dataclass(frozen=True, slots=True)
class UserServer:
    """A server as one caller sees it."""

    name: str
    resource: str
    auth: UserAuth
    agents: list[str] = field(default_factory=list)


class ConnectionDirectory:
    """The connections of users, as each of them may see and change them.

    Args:
        store: The rows.
        servers: Every MCP server of every agent.
        usable: Returns the ids of the agents that a caller may use.
    """

    def __init__(
        self,
        store: ConnectionStore,
        servers: Sequence[NamedServer],
        usable: Callable[[Principal], Collection[str]],
    ) -> None:
        self.store = store
        self._servers = servers
        self._usable = usable

    def find_server(self, principal: Principal, name: str) -> UserServer:
        """Return a server to which the caller can connect.

        Raises:
            NotFound: No agent of the caller names it. An agent that the caller may not use looks absent.
            TokenNotWanted: The caller's agents have no identity of a user there.
        """
        named = [server for server in self._named(principal) if server.name == name]
        if not named:
            raise NotFound("No agent of yours names a server like this.")
        for server in _of_users(named):
            return server
        raise TokenNotWanted(
            "The agents have an identity of the application there. There is nothing to connect."
        )

    def find_login_server(self, principal: Principal, name: str) -> UserServer:
        """Return a server at which the caller can log in.

        Raises:
            NotFound: As :meth:`find_server`.
            LoginNotWanted: Users do not log in there.
        """
        try:
            server = self.find_server(principal, name)
        except TokenNotWanted:
            server = None
        if server is None or server.auth != "oauth":
            raise LoginNotWanted("Users do not log in at this server.")
        return server

    async def list_connections(self, principal: Principal) -> list[ConnectionItem]:
        """Return the servers to which the caller can connect, by name, each with the caller's connection."""
        servers = _of_users(self._named(principal))
        known = {found.server: found for found in await self.store.list_all(principal)} if servers else {}
        return [_item(server, known.get(server.name)) for server in servers]

    async def connect(self, principal: Principal, name: str, command: TokenCommand) -> ConnectionItem:
        """Store a token of the caller.

        Raises:
            NotFound, TokenNotWanted: As :meth:`find_server`; also for a server that takes a login.
        """
        server = self.find_server(principal, name)
        if server.auth != "user-token":
            raise TokenNotWanted(f"The server takes a login. Begin it with POST /connections/{name}/login.")
        known = await self.store.save(
            principal,
            server.name,
            server.resource,
            "user-token",
            command.token.get_secret_value(),
            expires_at=command.expires_at,
        )
        return _item(server, known)

    async def forget(self, principal: Principal, name: str) -> None:
        """Delete the caller's connection, if there is one: also to a server that no agent names any more.

        A credential that is limited to agents reaches the servers of these agents only.
        """
        if principal.agents is not None and all(server.name != name for server in self._named(principal)):
            return
        await self.store.forget(principal, name)

    def _named(self, principal: Principal) -> list[NamedServer]:
        usable = self._usable(principal)
        return [server for server in self._servers if server.agent_id in usable]


def _of_users(servers: Iterable[NamedServer]) -> list[UserServer]:
    """Return the servers that see users' own identities, by name. A name means one address, see ``named_servers``."""
    found: dict[str, UserServer] = {}
    for server in sorted(servers, key=lambda server: (server.name, server.agent_id)):
        if server.auth is not None:
            known = found.setdefault(server.name, UserServer(server.name, server.resource, server.auth))
            known.agents.append(server.agent_id)
    return list(found.values())


def _item(server: UserServer, known: KnownConnection | None) -> ConnectionItem:
    # A token for another address, or from before the server took logins, is of no use here: connect anew.
    if known is None or (known.resource, known.kind) != (server.resource, server.auth):
        return ConnectionItem(server=server.name, auth=server.auth, state="absent", agents=server.agents)
    return ConnectionItem(
        server=server.name,
        auth=server.auth,
        state=known.state,
        connected_at=known.connected_at,
        updated_at=known.updated_at,
        # Of a token that is renewed without the caller, the end is no matter of the caller.
        expires_at=None if known.renewable else known.expires_at,
        agents=server.agents,
    )
