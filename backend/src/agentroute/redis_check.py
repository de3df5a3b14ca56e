"""The check of Redis, for ``doctor`` and for the start of processes: which kind it is, and whether a failover is possible."""

from __future__ import annotations

import asyncio
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.sentinel import MasterNotFoundError
from redis.exceptions import AuthenticationError, ClusterDownError, RedisError, ResponseError

from agentroute.check_result import CheckResult
from agentroute.preflight import TIMEOUT_SECONDS, no_url, place_of
from core.config import RedisSettings, Settings
from core.redis_client import create_redis
from core.redis_kinds.cluster import ClusterClient
from core.redis_kinds.place import FORMS, RedisPlace
from core.redis_kinds.sentinel import PrimaryPool

_NAME = "Redis"
_OLDEST = (6, 2)
_OLDEST_CLUSTER = (7, 0)
"""Sharded pub/sub."""
_CORRECT = "Correct AGENT_REDIS__URL."
_START = "Start Redis, or correct AGENT_REDIS__URL."


async def check_redis(settings: Settings) -> CheckResult:
    """Check that Redis (or Valkey) answers, accepts the credentials, is new enough, and does not evict keys."""
    if not settings.redis.url.get_secret_value():
        return no_url(_NAME, "AGENT_REDIS__URL", "redis://:password@host:6379/0")
    try:
        place = settings.redis.place
        # A start may take longer than a command of a service that runs: only the whole check has a limit.
        client = create_redis(
            settings.redis.model_copy(update={"command_timeout_seconds": float(TIMEOUT_SECONDS)})
        )
    except ValueError as exc:
        found, _, fix = str(exc).partition("; ")
        return CheckResult(_NAME, False, found, f"{fix[:1].upper()}{fix[1:]}." if fix else _CORRECT)
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return await _look(client, place, settings.redis)
    except (OSError, RedisError, ValueError) as exc:
        return CheckResult(_NAME, False, *_problem(exc, place, settings.redis))
    except TypeError:
        # redis-py hands the options of a URL to its connections.
        return CheckResult(_NAME, False, "AGENT_REDIS__URL has an option that does not exist", _CORRECT)
    finally:
        await client.aclose(close_connection_pool=True)


async def _look(client: Redis, place: RedisPlace, settings: RedisSettings) -> CheckResult:
    if isinstance(client, ClusterClient):
        return await _look_at_cluster(client, settings)
    if isinstance(pool := client.connection_pool, PrimaryPool):
        return await _look_behind_sentinels(client, pool, place)
    info: dict[str, Any] = await client.info()
    # Valkey has its own word.
    mode = info.get("server_mode", info.get("redis_mode"))
    if mode == "cluster":
        fix = "Write redis+cluster://host:6379 in AGENT_REDIS__URL."
        return CheckResult(_NAME, False, f"{_shown(place)} belongs to a Redis Cluster", fix)
    if mode == "sentinel":
        fix = "Write redis+sentinel://host:26379,host:26379/service/0 in AGENT_REDIS__URL."
        return CheckResult(_NAME, False, f"{_shown(place)} is a Sentinel", fix)
    if info.get("role") == "slave":
        fix = "Name the primary in AGENT_REDIS__URL, or the Sentinels, which know it."
        return CheckResult(_NAME, False, f"{_shown(place)} is a replica, which takes no writes", fix)
    return judge(info)


def judge(info: dict[str, Any], oldest: tuple[int, int] = _OLDEST) -> CheckResult:
    """Judge what a server says of itself."""
    # Valkey reports the Redis version it is compatible with, and its own beside it.
    version = str(info.get("redis_version", "0.0"))
    shown = f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"version {version}"
    if tuple(int(part) for part in version.split(".")[:2]) < oldest:
        return CheckResult(_NAME, False, shown, f"Use Redis {oldest[0]}.{oldest[1]} or newer, or Valkey.")
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if policy.startswith("allkeys-"):
        fix = "Set maxmemory-policy to noeviction or volatile-ttl: hints for workers have no expiry and would go."
        return CheckResult(_NAME, False, f"{shown}, maxmemory-policy {policy}", fix)
    return CheckResult(_NAME, True, f"{shown}, maxmemory-policy {policy}")


# --- Sentinels


async def _look_behind_sentinels(client: Redis, pool: PrimaryPool, place: RedisPlace) -> CheckResult:
    try:
        info: dict[str, Any] = await client.info()
    except MasterNotFoundError:
        return await _no_primary(pool, place)
    result = judge(info)
    if not result.ok:
        return result
    states = await _states(pool)
    known = [state[place.service] for state in states if isinstance(state, dict) and place.service in state]
    replicas = len(await pool.sentinels.discover_slaves(place.service))
    if not replicas:
        failover = "no failover is possible: there is no replica"
    elif not await _have_quorum(pool, place.service):
        failover = "no failover is possible: the Sentinels have no quorum"
    else:
        failover = "a failover is possible"
    host, port = await pool.get_master_address()
    found = (
        f"{result.found}, primary {host}:{port} of {place.service}, {replicas} replica{'s' * (replicas != 1)}, "
        f"{len(known)} of {len(states)} Sentinels know it; {failover}"
    )
    return CheckResult(_NAME, True, found)


async def _states(pool: PrimaryPool) -> list[Any]:
    """Return what each Sentinel says of the services that it watches, or its error."""
    sentinels = pool.sentinels.sentinels
    return await asyncio.gather(
        *(sentinel.sentinel_masters() for sentinel in sentinels), return_exceptions=True
    )


async def _have_quorum(pool: PrimaryPool, service: str) -> bool:
    for sentinel in pool.sentinels.sentinels:
        try:
            await sentinel.execute_command("SENTINEL CKQUORUM", service)
        except ResponseError:
            return False
        except (RedisError, OSError):
            continue
        return True
    return False


async def _no_primary(pool: PrimaryPool, place: RedisPlace) -> CheckResult:
    """Say why the Sentinels name no primary."""
    states = await _states(pool)
    answered = [state for state in states if isinstance(state, dict)]
    if any(place.service in state for state in answered):
        found = f"the Sentinels say that the primary of {place.service} is down"
        return CheckResult(_NAME, False, found, "Start Redis, or wait for the failover.")
    if answered:
        others = ", ".join(sorted({name for state in answered for name in state})) or "none"
        found = f"the Sentinels know no service {place.service!r}"
        return CheckResult(_NAME, False, found, f"Correct AGENT_REDIS__URL. They know: {others}.")
    refused = [state for state in states if isinstance(state, (AuthenticationError, ResponseError))]
    if refused:
        fix = "Set AGENT_REDIS__SENTINEL_PASSWORD, and AGENT_REDIS__SENTINEL_USERNAME if they have users."
        return CheckResult(_NAME, False, f"the Sentinels {_shown(place)} refuse the password", fix)
    return CheckResult(_NAME, False, f"no Sentinel of {_shown(place)} answers", _START)


# --- a cluster


async def _look_at_cluster(client: ClusterClient, settings: RedisSettings) -> CheckResult:
    try:
        shards = await client.shards()
    except ResponseError as exc:
        if "cluster support disabled" not in str(exc):
            raise
        fix = "Write redis://host:6379/0 in AGENT_REDIS__URL."
        return CheckResult(_NAME, False, f"{_shown(settings.place)} is no Redis Cluster", fix)
    infos: list[Any] = await asyncio.gather(
        *(client.node(shard.primary).info() for shard in shards), return_exceptions=True
    )
    silent = [
        f"{shard.primary[0]}:{shard.primary[1]}"
        for shard, info in zip(shards, infos, strict=True)
        if isinstance(info, BaseException)
    ]
    if silent:
        found = f"{len(silent)} of {len(shards)} shards do not answer: {', '.join(silent)}"
        return CheckResult(_NAME, False, found, "Start them, or wait for the failover.")
    if not client.is_complete:
        return CheckResult(
            _NAME, False, "some slots of the cluster belong to no server", "Assign them: CLUSTER ADDSLOTS."
        )
    # A cluster that is down refuses every key.
    await client.get(f"{settings.key_prefix}:check")
    judged = [judge(info, _OLDEST_CLUSTER) for info in infos]
    result = next((result for result in judged if not result.ok), judged[0])
    if not result.ok:
        return result
    alone = sum(not shard.replicas for shard in shards)
    failover = (
        "a failover is possible"
        if not alone
        else f"no failover is possible in {alone} of them: there is no replica"
    )
    return CheckResult(
        _NAME, True, f"{result.found}, cluster of {len(shards)} shard{'s' * (len(shards) != 1)}; {failover}"
    )


# --- what is wrong


def _problem(error: Exception, place: RedisPlace, settings: RedisSettings) -> tuple[str, str]:
    shown, url = _shown(place), settings.url.get_secret_value()
    match error:
        case AuthenticationError() if "@" not in url and "password=" not in url:
            return (
                f"{shown} asks for a password",
                "Add the password to AGENT_REDIS__URL: redis://:password@host.",
            )
        case AuthenticationError():
            return f"{shown} refuses the password", _CORRECT
        case ClusterDownError():
            return "the cluster is down", "Look at CLUSTER INFO and CLUSTER NODES of its servers."
        case ResponseError():
            return f"{shown} refuses: {error}", "Fix the cause and retry."
        case ValueError():
            return "AGENT_REDIS__URL is not a URL of Redis", f"Write one of: {FORMS}."
        case _:
            return f"{shown} does not answer", _START


def _shown(place: RedisPlace) -> str:
    """Where Redis is; never the user or the password."""
    if place.nodes:
        return ", ".join(f"{host}:{port}" for host, port in place.nodes)
    return place_of(place.url)
