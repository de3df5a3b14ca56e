"""The client of a Redis Cluster: a client of redis-py for each primary, and the way of a command to its owner.

redis-py has a client for clusters, which this service cannot use; docs/adr/0066 says why. Rules of this one:

1. A command names its key, and all keys of a command are in one slot. There are no transactions: what has to happen at
   once is a script.
2. A command fails as fast as with a single server, and only ever with errors of redis-py. It is tried again only where a
   server says that another one has the slot, and once if the server was lost and another has already taken its place.
3. A loss at one shard does not delay the commands of another. The map is read anew in the background.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import structlog
from redis.asyncio import ConnectionPool, Redis
from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError, RedisError, TryAgainError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from core.metrics.catalogue import REDIS_FAILOVERS
from core.redis_kinds.place import Address
from core.redis_kinds.slot_map import Shard, SlotMap, read_slots

log = structlog.get_logger(__name__)

Command = Sequence[Any]
"""The name of a command and its arguments."""

MAX_REDIRECTS = 5
"""How often a command follows a slot that moves."""
_TRY_AGAIN_SECONDS = 0.05
_LOST = (RedisConnectionError, RedisTimeoutError, ClusterDownError, OSError)
"""What says that the map may be old."""


class ClusterClient(Redis):
    """Sends each command to the server that has its key.

    Args:
        seeds: Servers of the cluster; one that answers is enough.
        open_node: Builds the client of one server.
        connect_seconds: How long a command waits for the map; the read itself goes on.
        counted: Whether replicas that become primaries are counted.
    """

    def __init__(
        self,
        seeds: Sequence[Address],
        open_node: Callable[[Address], Redis],
        *,
        connect_seconds: float,
        counted: bool = False,
    ) -> None:
        self._connect_seconds = connect_seconds
        self._counted = counted
        self._seeds = tuple(seeds)
        self._open_node = open_node
        self._nodes: dict[Address, Redis] = {}
        self._map: SlotMap | None = None
        self._reading: asyncio.Task[None] | None = None
        self._doubted: Address | None = None
        """The server that failed last: it is asked for the map after all others."""
        self.version = 0
        """Grows when a slot has another owner."""
        # For its encoder: nothing is sent on it but what is meant for this server.
        super().__init__(connection_pool=self.node(seeds[0]).connection_pool)

    # --- commands

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send a command to the owner of its key.

        Raises:
            RedisError: As a client of one server raises it.
        """
        if args[0] == "SCRIPT LOAD":
            return await self._load(args, options)
        slot = self.slot_of(_key(args))
        owner = await self._owner(slot)
        asked: set[Address] = set()
        try:
            return await self._execute_at(owner, args, options, asked)
        except _LOST:
            # An idle process learns of a failover by its first command.
            if (now := await self._owner_instead_of(asked, slot)) is None:
                raise
        return await self._execute_at(now, args, options, asked)

    async def _execute_at(
        self, owner: Address, args: Command, options: dict[str, Any], asked: set[Address]
    ) -> Any:
        """Send a command to a server, and on to where it points; adds all of them to ``asked``."""
        for _ in range(MAX_REDIRECTS):
            asked.add(owner)
            try:
                with self._suspecting(owner):
                    return await self.node(owner).execute_command(*args, **options)
            except MovedError as exc:
                owner = self.learn(exc, owner)
            except AskError as exc:
                taker = _told(exc, owner)
                asked.add(taker)
                with self._suspecting(taker):
                    return await self._ask(taker, args, options)
            except TryAgainError:
                await asyncio.sleep(_TRY_AGAIN_SECONDS)
        raise RedisConnectionError("The slot of the key moves from server to server.")

    async def execute_many(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands together, those of one server in one go and in order.

        Returns:
            The result of each command, or the error with which it failed. One shard that is away makes its own commands
            fail.
        """
        results: list[Any] = [None] * len(commands)
        by_owner: dict[Address, list[int]] = {}
        unknown: Exception | None = None
        for place, command in enumerate(commands):
            slot = self.slot_of(_key(command))
            owner = self._known(slot)
            # All of them wait for the map once.
            if owner is None and unknown is None:
                try:
                    owner = await self._owner(slot)
                except (RedisError, OSError) as exc:
                    unknown = exc
            if owner is None:
                results[place] = unknown
            else:
                by_owner.setdefault(owner, []).append(place)

        async def send(owner: Address, places: list[int]) -> None:
            found = await self._pipeline(owner, [commands[place] for place in places])
            for place, result in zip(places, found, strict=True):
                results[place] = result

        async with asyncio.TaskGroup() as tasks:
            for owner, places in by_owner.items():
                tasks.create_task(send(owner, places))
        for place, result in enumerate(results):
            if isinstance(result, (AskError, TryAgainError)):
                try:
                    results[place] = await self.execute_command(*commands[place])
                except (RedisError, OSError) as exc:
                    results[place] = exc
        return results

    async def _pipeline(self, owner: Address, commands: Sequence[Command]) -> list[Any]:
        try:
            with self._suspecting(owner):
                pipe = self.node(owner).pipeline(transaction=False)
                for command in commands:
                    pipe.execute_command(*command)
                return await pipe.execute(raise_on_error=False)
        except (RedisError, OSError) as exc:
            return [exc] * len(commands)

    async def _load(self, args: Command, options: dict[str, Any]) -> Any:
        """Load a script wherever it may be called; at a server that is away, the next call fails."""
        # Also at servers that have no slot yet, but take one over.
        servers = self._nodes.keys() | {address for address, _ in await self.primaries()}
        found = await asyncio.gather(
            *(self.node(server).execute_command(*args, **options) for server in servers),
            return_exceptions=True,
        )
        failed = [result for result in found if isinstance(result, BaseException)]
        if failed and len(failed) == len(found):
            raise failed[0]
        return next(result for result in found if not isinstance(result, BaseException))

    async def _ask(self, address: Address, args: Command, options: dict[str, Any]) -> Any:
        # One write on one connection: a server that takes a slot over answers only what follows ASKING there.
        pipe = self.node(address).pipeline(transaction=False)
        pipe.execute_command("ASKING")
        pipe.execute_command(*args, **options)
        _, result = await pipe.execute(raise_on_error=False)
        if isinstance(result, Exception):
            raise result
        return result

    @contextlib.contextmanager
    def _suspecting(self, server: Address) -> Iterator[None]:
        try:
            yield
        except (*_LOST, asyncio.CancelledError):
            # A caller whose limit is shorter than that of the connection cancels: so does a silent server show there.
            self._doubted = server
            self.suspect()
            raise

    # --- the map

    def slot_of(self, key: bytes | str) -> int:
        return key_slot(key.encode() if isinstance(key, str) else key)

    def owner_of(self, key: bytes | str) -> Address | None:
        """Return who has a key, as far as is known without asking."""
        return self._known(self.slot_of(key))

    def _known(self, slot: int) -> Address | None:
        return None if self._map is None else self._map.owner(slot)

    def node(self, address: Address) -> Redis:
        """Return the client of one server."""
        if (found := self._nodes.get(address)) is None:
            found = self._nodes[address] = self._open_node(address)
        return found

    def pool_of(self, address: Address) -> ConnectionPool:
        return self.node(address).connection_pool

    async def primaries(self) -> list[tuple[Address, Redis]]:
        """Return the clients of all primaries, in the order of their slots.

        Raises:
            RedisError: No server of the cluster answers.
        """
        return [(shard.primary, self.node(shard.primary)) for shard in await self.shards()]

    async def shards(self) -> list[Shard]:
        """Return the shards, in the order of their slots; raises as :meth:`primaries`."""
        if self._map is None:
            await self.read_map()
        return [] if self._map is None else self._map.shards()

    @property
    def is_complete(self) -> bool:
        """Whether every slot has an owner, as far as is known."""
        return self._map is not None and self._map.is_complete

    def learn(self, moved: MovedError, asked: Address) -> Address:
        """Note what a server says of a slot that it has not; returns who has it."""
        owner = _told(moved, asked)
        if self._map is not None and self._map.owner(moved.slot_id) != owner:
            self._map.move(moved.slot_id, owner)
            self.version += 1
            # Slots rarely move alone.
            self.suspect()
        return owner

    def suspect(self) -> None:
        """Read the map anew in the background, unless that is done already."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read_map(), name="cluster-map")
            self._reading.add_done_callback(_heard)

    async def read_map(self) -> None:
        """Read the map anew, together with whoever does so already.

        Raises:
            RedisError: No server of the cluster answers.
        """
        self.suspect()
        if self._reading is not None:
            await asyncio.shield(self._reading)

    async def _owner(self, slot: int) -> Address:
        if (owner := self._known(slot)) is None:
            await self._wait_for_map()
            owner = self._known(slot)
        if owner is None:
            raise RedisConnectionError("No server of the cluster has the slot of the key.")
        return owner

    async def _owner_instead_of(self, asked: set[Address], slot: int) -> Address | None:
        """Return who has a slot by now, if it is none of the servers that were asked before one of them was lost."""
        with contextlib.suppress(RedisError):
            await self._wait_for_map()
        owner = self._known(slot)
        return None if owner in asked else owner

    async def _wait_for_map(self) -> None:
        """Read the map anew, and wait for it as long as for a connection: servers that are silent are asked in turn."""
        try:
            async with asyncio.timeout(self._connect_seconds):
                await self.read_map()
        except TimeoutError as exc:
            raise RedisTimeoutError("No server of the cluster has told the map in time.") from exc

    async def _read_map(self) -> None:
        problem: Exception | None = None
        for address in self._witnesses():
            try:
                reply: Any = await self.node(address).execute_command("CLUSTER SLOTS")
                found = read_slots(reply, address)
            except (RedisError, OSError, ValueError) as exc:
                problem = exc
                continue
            if found.primaries:
                await self._take(found)
                return
            problem = RedisConnectionError("No server of the cluster has slots.")
        if isinstance(problem, RedisError):
            raise problem
        raise RedisConnectionError("No server of the cluster answers.") from problem

    def _witnesses(self) -> list[Address]:
        """Return whom to ask: the primaries in any order, then the servers that the settings name."""
        known = list(self._map.primaries) if self._map is not None else []
        random.shuffle(known)
        return sorted(dict.fromkeys((*known, *self._seeds)), key=lambda server: server == self._doubted)

    async def _take(self, found: SlotMap) -> None:
        before, self._map = self._map, found
        if before is not None and before.agrees(found):
            return
        self.version += 1
        if before is None:
            return
        for host, port in found.risen(before) if self._counted else ():
            REDIS_FAILOVERS.add()
            log.info("redis_primary_changed", primary=f"{host}:{port}")
        for address in self._nodes.keys() - found.primaries - set(self._seeds):
            await self._nodes.pop(address).aclose(close_connection_pool=True)

    # --- what a client of one server has, too

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Any:
        """Refuse: the commands of a pipeline may belong to several servers."""
        raise NotImplementedError("several commands go by execute_many()")

    def pubsub(self, **kwargs: Any) -> Any:
        """Refuse: channels belong to servers."""
        raise NotImplementedError("channels are heard by core.redis_kinds.channels")

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Close the connections to all servers."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})
        for node in self._nodes.values():
            await node.aclose(close_connection_pool=True)


async def execute_many(redis: Redis, commands: Sequence[Command]) -> list[Any]:
    """Send commands together, to a Redis of any kind.

    Returns:
        The result of each command, or the error with which it failed.

    Raises:
        RedisError, OSError, TimeoutError: No command was answered. A cluster has an error for each command instead.
    """
    if isinstance(redis, ClusterClient):
        return await redis.execute_many(commands)
    pipe = redis.pipeline(transaction=False)
    for command in commands:
        pipe.execute_command(*command)
    return await pipe.execute(raise_on_error=False)


async def silent_shards(redis: Redis) -> tuple[int, int]:
    """Return how many shards do not answer, and how many there are: one, where it is no cluster.

    Raises:
        RedisError, OSError: None answers.
    """
    if not isinstance(redis, ClusterClient):
        await redis.execute_command("PING")
        return 0, 1
    nodes = await redis.primaries()
    found = await asyncio.gather(*(node.execute_command("PING") for _, node in nodes), return_exceptions=True)
    silent = sum(isinstance(result, Exception) for result in found)
    if silent:
        redis.suspect()
    return silent, len(nodes)


def _key(command: Command) -> bytes | str:
    name = str(command[0]).upper()
    if name in {"EVALSHA", "EVAL"}:
        return cast("bytes | str", command[3])
    if name == "XREADGROUP":
        words = [word.upper() if isinstance(word, str | bytes) else word for word in command]
        place = words.index(b"STREAMS") if b"STREAMS" in words else words.index("STREAMS")
        return cast("bytes | str", command[place + 1])
    if len(command) < 2 or not isinstance(command[1], bytes | str):
        raise ValueError(f"{name} names no key: ask the primaries")
    return command[1]


def _told(redirect: AskError, asked: Address) -> Address:
    """Return the server that a redirection names. One that does not know its name stands for the server asked."""
    host = str(redirect.host).strip("[]")
    return (asked[0] if host in {"", "?"} else host, int(redirect.port))


def _heard(reading: asyncio.Task[None]) -> None:
    """Note the error of a read that nobody waits for."""
    if not reading.cancelled() and (problem := reading.exception()) is not None:
        log.warning("redis_cluster_map_not_read", error=type(problem).__name__)
