"""A Redis Cluster: every command finds its server, and an answer goes on while slots move and a primary dies."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ResponseError
from tests.support.doc_blocks import blocks
from tests.support.redis_in_use import counting_stack, ends_exact, reads_until, uses_redis_in_every_way
from tests.support.redis_servers import PASSWORD, Cluster, Server, cluster_servers
from tests.support.stack import DemoModel, OpenStack, Stack, eventually

from agentroute.redis_check import check_redis
from agentroute.restored import _forget
from core.agentscope.events.redis_bus import channel_name, stream_key
from core.config import RateSettings, RedisSettings, Settings
from core.identity import Principal
from core.metrics.catalogue import REDIS_FAILOVERS
from core.rates.rate_limits import RateLimits
from core.rates.shared_buckets import SharedBuckets
from core.redis_client import create_redis
from core.redis_kinds.channels import Channels, publish
from core.redis_kinds.cluster import ClusterClient

PAGE = "docs/how-to/hardening.md"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder: Path = tmp_path_factory.mktemp("cluster")
    with cluster_servers(folder) as cluster:
        yield cluster


async def found(**redis: Any) -> str:
    return (await check_redis(Settings.model_validate({"redis": redis}))).line


def words_of_the_page() -> list[str]:
    """Return the rule of docs/how-to/hardening.md, with what it adds for a cluster."""
    (rule,) = (block.text for block in blocks(PAGE) if block.language == "text" and "-@all" in block.text)
    (more,) = (block.text for block in blocks(PAGE) if block.language == "text" and "+asking" in block.text)
    return [word for word in (*rule.split(), *more.split()) if word not in {"ACL", "SETUSER"}]


async def test_everything_works_with_the_rights_of_the_page_and_no_command_has_keys_of_two_slots(
    cluster: Cluster, open_stack: OpenStack
) -> None:
    user, *rights = words_of_the_page()
    for server in cluster.servers:
        server.says("ACL", "SETUSER", user, *(word.replace("…", PASSWORD) for word in rights))
        server.says("CONFIG", "RESETSTAT")
    url = cluster.url.replace(f":{PASSWORD}@", f"{user}:{PASSWORD}@")
    async with open_stack(redis={"url": url, "key_prefix": "agentroute"}) as stack:
        await uses_redis_in_every_way(stack)
        assert "cluster of 3 shards; a failover is possible" in await found(url=url)
        redis = create_redis(stack.settings.redis)
        try:
            # More hints than one shard has, and scripts that no server knows yet.
            assert isinstance(redis, ClusterClient)
            sent = await redis.execute_many([("SET", f"agentroute:{n}", n, "EX", 60) for n in range(50)])
            assert sent == [True] * 50
        finally:
            await redis.aclose()
    for server in cluster.servers:
        assert server.says("ACL", "LOG") == [], server.says("ACL", "LOG")
        refused = server.client.info("errorstats")
        assert "errorstat_CROSSSLOT" not in refused, refused
        assert "errorstat_NOPERM" not in refused, refused
    # As an operator, after a restore.
    await _forget(
        stack.settings.model_copy(
            update={
                "redis": stack.settings.redis.model_copy(
                    update={"url": Settings.model_validate({"redis": {"url": cluster.url}}).redis.url}
                )
            }
        )
    )
    left = [key for server in cluster.servers for key in server.client.scan_iter("agentroute:*")]
    assert left == []


async def test_the_check_says_what_is_wrong(cluster: Cluster) -> None:
    server = cluster.servers[0]
    assert "belongs to a Redis Cluster" in await found(url=f"redis://:{PASSWORD}@127.0.0.1:{server.port}/0")
    assert "refuses the password" in await found(url=cluster.url.replace(PASSWORD, "hush"))
    assert "asks for a password" in await found(url=cluster.url.replace(f":{PASSWORD}@", ""))
    assert "127.0.0.1:1, 127.0.0.1:2 does not answer" in await found(
        url="redis+cluster://127.0.0.1:1,127.0.0.1:2"
    )


async def test_an_answer_goes_on_while_its_slot_moves_and_its_primary_dies(
    cluster: Cluster, open_stack: OpenStack, demo: DemoModel
) -> None:
    failovers = REDIS_FAILOVERS.read()[()]
    async with counting_stack(open_stack, demo, {"url": cluster.url}) as (stack, model):
        thread = stack.new_id("thread")
        async with stack.open_run("count", thread=thread) as stream:
            await stream.until("TEXT_MESSAGE_CONTENT")
            key, bell = await names(stack, thread)

            async def rings_at(server: Server) -> bool:
                return bell in await says(server, "PUBSUB", "SHARDCHANNELS", bell)

            async def grows_at(server: Server) -> bool:
                """The tail goes on at the server that takes the slot over, before it has it."""
                before = await asked_for(server, key)
                await asyncio.sleep(0)
                return before > 1

            old, empty = cluster.owner(key), cluster.servers[6]
            await reads_until(stream, lambda: rings_at(old))
            # A server that no client has heard of. The slot is open: the key has gone, its slot not yet.
            slot = old.says("CLUSTER KEYSLOT", key)
            await says(empty, "CLUSTER", "SETSLOT", slot, "IMPORTING", cluster.node_id(old))
            await says(old, "CLUSTER", "SETSLOT", slot, "MIGRATING", cluster.node_id(empty))
            await says(old, "MIGRATE", "127.0.0.1", empty.port, key, 0, 5000, "AUTH", PASSWORD)
            await reads_until(stream, lambda: grows_at(empty))
            for server in (empty, old, *cluster.servers[:3]):
                await says(server, "CLUSTER", "SETSLOT", slot, "NODE", cluster.node_id(empty))
            await reads_until(stream, lambda: rings_at(empty))
            # And on, to a primary that has a replica.
            other = next(server for server in cluster.servers[:3] if server is not old)
            await moved(cluster, slot, key, empty, other)
            await reads_until(stream, lambda: rings_at(other))

            other.kill()

            async def rings_elsewhere() -> bool:
                new = await asyncio.to_thread(cluster.owner, key)
                return new is not other and await rings_at(new)

            await reads_until(stream, rings_elsewhere)
            model.stop.set()
            await ends_exact(stack, thread, stream)
        assert REDIS_FAILOVERS.read()[()] > failovers
        assert (await stack.stream_run("again")).end["type"] == "RUN_FINISHED"
        ready = (await stack.apis[0].client("ada").get(f"{stack.apis[0].url}/readyz")).json()
        assert ready["checks"]["redis"] == "ok"
        model.stop.clear()
        await uses_redis_in_every_way(stack)


async def test_a_channel_that_was_left_and_is_wanted_again_is_not_taken_for_lost(cluster: Cluster) -> None:
    redis = create_redis(RedisSettings.model_validate({"url": cluster.url}))
    states: list[bool] = []
    heard: list[bytes] = []
    channels = Channels(
        redis,
        "anchor",
        heard=lambda _channel, message: heard.append(message),
        stands=lambda _channel, stands: states.append(stands),
    )

    async def stands() -> bool:
        return states[-1:] == [True]

    async def was_lost_and_stands() -> bool:
        return False in states and await stands()

    async def rings() -> bool:
        await publish(redis, "bell", "ding")
        return bool(heard)

    listening = asyncio.create_task(channels.run())
    try:
        await channels.listen_to(b"bell")
        await eventually(stands)
        for _ in range(20):
            await channels.leave(b"bell")
            await channels.listen_to(b"bell")
        await eventually(rings)
        assert False not in states
        # A loss is still one.
        owner = await asyncio.to_thread(cluster.owner, "bell")
        await says(owner, "CLIENT", "KILL", "TYPE", "pubsub")
        await eventually(was_lost_and_stands)
    finally:
        listening.cancel()
        await asyncio.wait({listening})
        await redis.aclose()


async def test_rates_are_shared_though_each_is_in_a_slot_of_its_own(cluster: Cluster) -> None:
    settings = RedisSettings.model_validate({"url": cluster.url, "key_prefix": "rates"})
    limits = RateSettings(user_requests_per_minute=60)
    redis = create_redis(settings)
    users = [Principal("t", f"user-{number}") for number in range(30)]
    try:
        first, second = RateLimits(limits), RateLimits(limits)
        for rates, amount in ((first, 50), (second, 5)):
            shared = SharedBuckets(redis, settings, rates.buckets)
            rates.tell(shared)
            for user in users:
                rates.take(user, "requests", amount)
            await shared.round()
    finally:
        await redis.aclose()
    for user in users:
        (level,) = second.levels(user, ["requests"])
        assert level.missing_seconds > 6


async def test_the_check_says_when_no_replica_is_left(cluster: Cluster) -> None:
    for server in cluster.servers:
        if server.is_running and server.client.info("replication")["role"] == "slave":
            server.kill()

    async def none_is_left() -> bool:
        line = await found(url=cluster.url)
        return "cluster of 3 shards; no failover is possible in 3 of them: there is no replica" in line

    await eventually(none_is_left)


async def says(server: Server, *command: Any) -> Any:
    return await asyncio.to_thread(server.says, *command)


async def names(stack: Stack, thread: str) -> tuple[str, bytes]:
    """Return the tail and the doorbell of a thread."""
    row = await stack.fetch("SELECT id FROM agent_chat_session WHERE thread_id = $1", thread)
    redis = stack.settings.redis
    return stream_key(redis, row[0]["id"]), channel_name(redis, row[0]["id"]).encode()


async def asked_for(server: Server, key: str) -> int:
    """Return how often a server was told that what comes next is for a slot that it takes over."""
    used: dict[str, Any] = await asyncio.to_thread(server.client.info, "commandstats")
    return int(used.get("cmdstat_asking", {}).get("calls", 0))


async def moved(cluster: Cluster, slot: int, key: str, source: Server, target: Server) -> None:
    """Move a slot as a whole, or as older servers do it."""
    try:
        await says(
            source, "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", cluster.node_id(target)
        )
    except ResponseError:
        await says(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", cluster.node_id(source))
        await says(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", cluster.node_id(target))
        await says(source, "MIGRATE", "127.0.0.1", target.port, key, 0, 5000, "AUTH", PASSWORD)
        for server in (target, source, *cluster.servers):
            await says(server, "CLUSTER", "SETSLOT", slot, "NODE", cluster.node_id(target))
