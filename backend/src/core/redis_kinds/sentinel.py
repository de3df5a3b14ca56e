"""The client of a primary that Sentinels name: a new connection asks them first, so it finds the new primary.

redis-py's own pool of this kind refuses a caller when all connections are in use; ours lets it wait.
"""

from __future__ import annotations

import weakref
from typing import Any

import structlog
from redis.asyncio import BlockingConnectionPool, Redis, SSLConnection
from redis.asyncio.connection import parse_url
from redis.asyncio.sentinel import Sentinel, SentinelManagedConnection, SentinelManagedSSLConnection

from core.metrics.catalogue import REDIS_FAILOVERS
from core.redis_kinds.connections import fail_fast, mend_connections, mended
from core.redis_kinds.place import Address, RedisPlace

log = structlog.get_logger(__name__)


class PrimaryPool(BlockingConnectionPool):
    """Connections to the primary, wherever it is. Callers wait for one.

    Args:
        sentinels: Who knows the primary.
        service: The name by which they know it.
        counted: Whether changes of the primary are counted.
        connection: As a pool of redis-py takes it; the class of connections is one that asks the Sentinels.
    """

    # Two words of redis-py's connections: of the primary, and without a PING first.
    is_master = True
    check_connection = False

    def __init__(self, sentinels: Sentinel, service: str, *, counted: bool, **connection: Any) -> None:
        super().__init__(**connection)
        self._counted = counted
        self.sentinels = sentinels
        self.service = service
        self.primary: Address | None = None
        """Where the primary was when a connection was last made."""
        self.connection_kwargs["connection_pool"] = weakref.proxy(self)

    async def get_master_address(self) -> Address:
        """Ask the Sentinels where the primary is.

        Raises:
            MasterNotFoundError: None of them knows; this is a ``ConnectionError`` of redis-py.
        """
        host, port = await self.sentinels.discover_master(self.service)
        found = (str(host), int(port))
        if found != self.primary:
            before, self.primary = self.primary, found
            if before is not None:
                if self._counted:
                    REDIS_FAILOVERS.add()
                    log.info("redis_primary_changed", primary=f"{found[0]}:{found[1]}")
                # Those in use, too: whoever still listens to the old primary would hear nothing more.
                for connection in (*self._get_free_connections(), *self._get_in_use_connections()):
                    await connection.disconnect(nowait=True)
        return found

    async def aclose(self) -> None:
        """Close the connections, those to the Sentinels too."""
        await super().aclose()
        await self.sentinels.aclose()


def create_sentinel_client(
    place: RedisPlace,
    *,
    username: str,
    password: str,
    pool_size: int,
    connect_seconds: float,
    answer_seconds: float,
    counted: bool,
) -> Redis:
    """Build a client of the primary.

    Args:
        place: Of kind ``sentinel``.
        username: Of the Sentinels; empty for none.
        password: Of the Sentinels; empty for none.
        pool_size: Callers wait for one of so many connections.
        connect_seconds: For all that a new connection needs: each Sentinel that does not answer takes a part of it.
        answer_seconds: Limit of the wait for an answer.
        counted: Whether changes of the primary are counted.
    """
    options: dict[str, Any] = dict(parse_url(place.url))
    del options["host"]
    encrypted = options.pop("connection_class", None) is SSLConnection
    ssl_options = {name: value for name, value in options.items() if name.startswith("ssl_")}
    # A caller gives up after about `connect_seconds`: by then the last Sentinel must have had its turn.
    patience = connect_seconds / (len(place.nodes) + 1)
    sentinels = Sentinel(
        list(place.nodes),
        sentinel_kwargs={
            "username": username or None,
            "password": password or None,
            "ssl": encrypted,
            **ssl_options,
            **fail_fast(patience, patience),
        },
    )
    for client in sentinels.sentinels:
        mend_connections(client.connection_pool)
    ours = {
        "max_connections": pool_size,
        "timeout": connect_seconds,
        **fail_fast(connect_seconds, answer_seconds),
    }
    pool = PrimaryPool(
        sentinels,
        place.service,
        counted=counted,
        connection_class=mended(SentinelManagedSSLConnection if encrypted else SentinelManagedConnection),
        # As with a single server, what the URL says counts.
        **(ours | options),
    )
    return Redis(connection_pool=pool)
