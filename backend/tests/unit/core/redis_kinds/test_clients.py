"""Connections of each kind are encrypted, authenticated and limited as the settings say."""

from __future__ import annotations

from typing import Any

from redis.asyncio import SSLConnection
from redis.asyncio.sentinel import SentinelManagedConnection, SentinelManagedSSLConnection

from core.config import RedisSettings
from core.redis_client import create_redis
from core.redis_kinds.cluster import ClusterClient
from core.redis_kinds.sentinel import PrimaryPool


def created(**members: Any) -> Any:
    return create_redis(
        RedisSettings.model_validate({"pool_size": 7, "command_timeout_seconds": 0.6, **members})
    )


async def test_a_pool_behind_sentinels_has_two_passwords_and_one_authority() -> None:
    redis = created(
        url="rediss+sentinel://u:servers@a:1,b:2/main/3?ssl_ca_certs=/ca.pem",
        sentinel_username="watcher",
        sentinel_password="sentinels",
    )
    pool = redis.connection_pool
    assert isinstance(pool, PrimaryPool)
    assert issubclass(pool.connection_class, SentinelManagedSSLConnection)
    assert (pool.max_connections, pool.timeout, pool.service) == (7, 0.6, "main")
    own = pool.connection_kwargs
    assert [own[name] for name in ("username", "password", "db", "ssl_ca_certs")] == [
        "u",
        "servers",
        3,
        "/ca.pem",
    ]
    asked = [sentinel.connection_pool for sentinel in pool.sentinels.sentinels]
    assert all(issubclass(pool.connection_class, SSLConnection) for pool in asked)
    theirs: list[dict[str, Any]] = [pool.connection_kwargs for pool in asked]
    assert [(each["host"], each["port"]) for each in theirs] == [("a", 1), ("b", 2)]
    for each in theirs:
        assert (each["username"], each["password"], each["ssl_ca_certs"]) == (
            "watcher",
            "sentinels",
            "/ca.pem",
        )
        # Both have their turn before a caller gives up.
        assert len(theirs) * each["socket_timeout"] < 0.6
        assert each["retry"].get_retries() == 0
    await redis.aclose(close_connection_pool=True)


async def test_sentinels_without_a_password_are_asked_without_one() -> None:
    redis = created(url="redis+sentinel://:servers@a/main")
    pool = redis.connection_pool
    (sentinel,) = pool.sentinels.sentinels
    assert sentinel.connection_pool.connection_kwargs["password"] is None
    assert issubclass(pool.connection_class, SentinelManagedConnection)
    assert not issubclass(pool.connection_class, SSLConnection)
    await redis.aclose(close_connection_pool=True)


async def test_every_server_of_a_cluster_is_reached_alike() -> None:
    redis = created(url="rediss+cluster://:servers@a:1,b:2?ssl_ca_certs=/ca.pem")
    assert isinstance(redis, ClusterClient)
    for address in (("a", 1), ("10.0.0.9", 7)):
        pool: Any = redis.pool_of(address)
        own = pool.connection_kwargs
        assert (own["host"], own["port"], own["password"], own["ssl_ca_certs"]) == (
            *address,
            "servers",
            "/ca.pem",
        )
        assert issubclass(pool.connection_class, SSLConnection)
        assert (pool.max_connections, own["socket_timeout"]) == (7, 0.6)
    await redis.aclose()
