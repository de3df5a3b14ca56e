"""Puts together what an API process needs for the data of users as a whole: erasures and exports."""

from __future__ import annotations

from dataclasses import dataclass

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from core.agentscope.runtime.accept.threads import AgentThreads
from core.config import Settings
from core.connections.oauth.login import Logins
from core.connections.store import ConnectionStore
from core.files.library import FileLibrary
from core.identity import Principal
from core.rates.rate_limits import RateLimits
from core.user_data.desk import ErasureDesk
from core.user_data.eraser import Eraser
from core.user_data.erasures import Erasures
from core.user_data.redis_traces import RedisTraces


class UserGrants:
    """The logins of users, as an erasure ends them."""

    def __init__(self, store: ConnectionStore, logins: Logins | None) -> None:
        self._store = store
        self._logins = logins

    async def servers_of(self, principal: Principal) -> list[str]:
        """Return the servers at which a user has logged in."""
        return [known.server for known in await self._store.list_all(principal) if known.kind == "oauth"]

    async def withdraw(self, principal: Principal, server: str) -> bool:
        """End a grant where it was given, best effort; returns whether it was taken back."""
        return self._logins is not None and await self._logins.withdraw(principal, server)


@dataclass(frozen=True, slots=True)
class UserStores:
    """What has data of users, as the process has it open."""

    threads: AgentThreads
    files: FileLibrary | None
    connections: ConnectionStore
    logins: Logins | None
    rates: RateLimits


def open_erasures(settings: Settings, engine: AsyncEngine, redis: Redis, stores: UserStores) -> ErasureDesk:
    """Return the erasures of a process."""
    traces = RedisTraces(redis, settings.redis, stores.rates)
    grants = UserGrants(stores.connections, stores.logins)
    return ErasureDesk(Eraser(Erasures(engine), stores.threads, stores.files, grants, traces))
