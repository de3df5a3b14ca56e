"""The client of a cluster finds the new owner of a slot, and never waits long for servers that are silent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import AskError, MovedError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from core.redis_kinds.cluster import ClusterClient
from core.redis_kinds.place import Address

KEY = "key"
A, B, C = (("127.0.0.1", port) for port in (1, 2, 3))
"""Nothing listens there: what is not answered here is refused."""


class Servers:
    """A cluster whose servers all tell the same map: one of them has every slot."""

    def __init__(self, owner: Address) -> None:
        self.owner = owner
        self.does: dict[Address, Exception | asyncio.Event] = {}
        """A server raises its error for a command, or is silent until the event."""
        self.silent_about_the_map = asyncio.Event()
        self.silent_about_the_map.set()
        self.asked: list[tuple[Address, str]] = []

    def client(self, *, connect_seconds: float = 60) -> ClusterClient:
        return ClusterClient((A, B, C), lambda address: Node(self, address), connect_seconds=connect_seconds)

    def sent_to(self, name: str) -> list[Address]:
        return [address for address, asked in self.asked if asked == name]


class Node(Redis):
    def __init__(self, servers: Servers, address: Address) -> None:
        super().__init__(host=address[0], port=address[1])
        self._servers = servers
        self._address = address

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        servers = self._servers
        servers.asked.append((self._address, args[0]))
        if args[0] == "CLUSTER SLOTS":
            await servers.silent_about_the_map.wait()
            return [[0, 16383, [servers.owner[0].encode(), servers.owner[1], b"id"]]]
        does = servers.does.get(self._address)
        if isinstance(does, Exception):
            raise does
        if does is not None:
            await does.wait()
        return self._address


async def test_a_caller_that_waits_no_longer_makes_the_client_look_for_the_new_primary() -> None:
    servers = Servers(A)
    client = servers.client()
    assert await client.execute_command("GET", KEY) == A
    servers.does[A], servers.owner = asyncio.Event(), B

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await client.execute_command("GET", KEY)

    # The read of the map needs a few rounds of the loop.
    for _ in range(20):
        await asyncio.sleep(0)
    assert client.owner_of(KEY) == B
    assert await client.execute_command("GET", KEY) == B
    await client.aclose()


@pytest.mark.parametrize("owner", [B, C])
async def test_the_server_that_is_suspected_is_the_one_that_was_lost(owner: Address) -> None:
    servers = Servers(A)
    client = servers.client()
    await client.read_map()
    servers.does = {
        A: MovedError(f"{client.slot_of(KEY)} {B[0]}:{B[1]}"),
        B: RedisConnectionError("gone"),
    }
    servers.owner = owner
    servers.asked.clear()

    if owner == C:
        assert await client.execute_command("GET", KEY) == C
        assert servers.sent_to("GET") == [A, B, C]
    else:
        with pytest.raises(RedisConnectionError, match="gone"):
            await client.execute_command("GET", KEY)
        # Nobody has taken its place.
        assert servers.sent_to("GET") == [A, B]
    assert B not in servers.sent_to("CLUSTER SLOTS")
    await client.aclose()


async def test_a_slot_that_moves_to_a_server_that_is_gone_is_not_asked_for_twice() -> None:
    servers = Servers(A)
    client = servers.client()
    servers.does[A] = AskError(f"{client.slot_of(KEY)} {B[0]}:{B[1]}")

    with pytest.raises(RedisConnectionError):
        await client.execute_command("GET", KEY)

    assert servers.sent_to("GET") == [A]
    await client.aclose()


async def test_commands_wait_for_the_map_once_and_the_read_goes_on() -> None:
    servers = Servers(A)
    servers.silent_about_the_map.clear()
    client = servers.client(connect_seconds=0.05)

    with pytest.raises(RedisTimeoutError):
        await client.execute_command("GET", KEY)
    began = asyncio.get_running_loop().time()
    found = await client.execute_many([("GET", KEY)] * 10_000)
    assert asyncio.get_running_loop().time() - began < 10_000 * 0.05
    assert {type(result) for result in found} == {RedisTimeoutError}
    assert servers.sent_to("CLUSTER SLOTS") == [A]

    servers.silent_about_the_map.set()
    await client.read_map()
    assert servers.sent_to("CLUSTER SLOTS") == [A]
    assert await client.execute_command("GET", KEY) == A
    await client.aclose()


async def test_a_loss_with_no_server_that_tells_the_map_fails_with_the_loss() -> None:
    servers = Servers(A)
    client = servers.client(connect_seconds=0.05)
    await client.read_map()
    servers.silent_about_the_map.clear()
    servers.does[A] = RedisConnectionError("gone")

    with pytest.raises(RedisConnectionError, match="gone"):
        await client.execute_command("GET", KEY)
    await client.aclose()
