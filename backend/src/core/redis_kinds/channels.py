"""The channels that a process listens to: one connection to each server that has any of them.

A single server, and the primary behind Sentinels, have all channels. In a cluster, a channel belongs to the server of
its slot (sharded pub/sub), and moves with it. What a server says, in the order of a channel's life:

- ``ssubscribe``: the channel stands.
- ``sunsubscribe`` that nobody asked for: the slot has left this server. ``moved``: it never had it.
- The connection breaks: all channels of the server have to be asked for anew, where their slots are then.

Messages are lost meanwhile. Whoever listens learns that a channel does not stand, and has another way to know.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import structlog
from redis.asyncio import ConnectionPool, Redis

from core.metrics.catalogue import REDIS_SUBSCRIPTIONS_LOST
from core.redis_kinds.cluster import ClusterClient
from core.redis_kinds.place import Address
from core.redis_kinds.subscription import Subscription, subscription_rounds

log = structlog.get_logger(__name__)

RECONNECT_SECONDS = 0.5
_LOOK_SECONDS = 1.0
"""How often a cluster's map is compared with where the channels are."""
_PAUSE_SECONDS = 0.05
"""Before channels are asked for elsewhere: servers that have just learnt of a move may still disagree."""

_EVERYTHING: Address = ("", 0)
"""The server that has all channels, where there is only one."""


async def publish(redis: Redis, channel: str, message: str) -> None:
    """Tell a message to all who listen to a channel by :class:`Channels`, in a Redis of any kind."""
    verb = "SPUBLISH" if isinstance(redis, ClusterClient) else "PUBLISH"
    await redis.execute_command(verb, channel, message)


class _Line:
    """The connection to one server."""

    def __init__(self, server: Address, pool: ConnectionPool, *, sharded: bool) -> None:
        self.server = server
        self.pubsub = Subscription(pool)
        self.standing = False
        self.leaving: Counter[bytes] = Counter()
        """How many answers to our own leaving of a channel of a cluster are still to come."""
        self._sharded = sharded

    @property
    def is_usable(self) -> bool:
        connection = self.pubsub.connection
        return self.standing and connection is not None and connection.is_connected

    async def ask(self, channel: bytes) -> None:
        await (self.pubsub.ssubscribe(channel) if self._sharded else self.pubsub.subscribe(channel))

    async def leave(self, channels: list[bytes]) -> None:
        if not self._sharded:
            await self.pubsub.unsubscribe(*channels)
            return
        for channel in channels:
            # One a command: channels of several slots in one would be refused.
            self.leaving[channel] += 1
            await self.pubsub.sunsubscribe(channel)

    def has_left(self, channel: bytes) -> bool:
        """Take an answer to our own leaving; False if nobody asked for it."""
        if channel not in self.leaving:
            return False
        self.leaving[channel] -= 1
        if not self.leaving[channel]:
            del self.leaving[channel]
        return True


class Channels:
    """Listens to channels until cancelled.

    Args:
        redis: Of any kind.
        anchor: A channel that is never left: redis-py cannot wait on a connection without any. Nobody rings it, or it is
            one of those listened to.
        heard: Called with a channel and a message.
        stands: Called when a channel begins or ceases to be heard.
        lost: How the log names a connection that broke.
        broken: How the log names a connection that could not be used.
    """

    def __init__(
        self,
        redis: Redis,
        anchor: str,
        *,
        heard: Callable[[bytes, bytes], None],
        stands: Callable[[bytes, bool], None] = lambda _channel, _stands: None,
        lost: str = "doorbell_lost",
        broken: str = "doorbell_broken",
    ) -> None:
        self._redis = redis
        self._cluster = redis if isinstance(redis, ClusterClient) else None
        self._anchor = anchor
        self._heard = heard
        self._stands = stands
        self._lost = lost
        self._broken = broken
        self._wanted: dict[bytes, _Line | None] = {}
        """Each channel with the connection at which it was asked for."""
        self._lines: dict[Address, _Line] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._running = False
        self._placed_at = -1
        """The version of the cluster's map by which the channels are placed; -1 when some are not."""
        self._look = asyncio.Event()

    async def run(self) -> None:
        """Keep every channel at the server that has it, until cancelled."""
        self._running = True
        try:
            while True:
                await self._place_all()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_SECONDS):
                        await self._look.wait()
                        await asyncio.sleep(_PAUSE_SECONDS)
                self._look.clear()
        finally:
            self._running = False
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)

    async def listen_to(self, channel: bytes) -> None:
        """Begin to listen to a channel, as soon as there is a connection."""
        if not await self._ask_for(channel):
            self._look_soon()

    async def leave(self, *channels: bytes) -> None:
        """Listen to these channels no more."""
        left: dict[_Line, list[bytes]] = {}
        for channel in channels:
            if (line := self._wanted.pop(channel, None)) is not None and line.is_usable:
                left.setdefault(line, []).append(channel)
        for line, at_line in left.items():
            with self._giving_up(line):
                await line.leave(at_line)

    # --- where the channels are

    def _server_of(self, channel: bytes) -> Address | None:
        return _EVERYTHING if self._cluster is None else self._cluster.owner_of(channel)

    def _line_for(self, channel: bytes) -> _Line | None:
        """Return the connection to the server of a channel, begun if necessary; ``None`` if it is not known yet."""
        server = self._server_of(channel)
        if server is None or not self._running:
            return None
        return self._lines.get(server) or self._begin(server)

    async def _ask_for(self, channel: bytes) -> bool:
        """Ask for a channel where its server is; False if that is not known."""
        line = self._wanted[channel] = self._line_for(channel)
        if line is not None and line.is_usable:
            with self._giving_up(line):
                await line.ask(channel)
        return line is not None

    def _begin(self, server: Address) -> _Line:
        cluster = self._cluster
        pool = self._redis.connection_pool if cluster is None else cluster.pool_of(server)
        line = self._lines[server] = _Line(server, pool, sharded=cluster is not None)
        task = asyncio.create_task(self._keep(line), name="channels")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return line

    def _look_soon(self) -> None:
        self._placed_at = -1
        self._look.set()

    async def _place_all(self) -> None:
        """Ask for each channel where its server is now."""
        version = 0
        if self._cluster is None:
            if _EVERYTHING not in self._lines:
                self._begin(_EVERYTHING)
        else:
            if self._cluster.version == 0:
                # The map was never read. Without it, nothing can be asked for.
                with contextlib.suppress(Exception):
                    await self._cluster.read_map()
            version = self._cluster.version
        if version == self._placed_at:
            return
        self._placed_at = version
        for channel in list(self._wanted):
            if not await self._place(channel):
                # Again in the next round, and not at once: it waits for the servers.
                self._placed_at = -1

    async def _place(self, channel: bytes) -> bool:
        """Ask for a channel anew if its server has changed; False if that is not known."""
        if channel not in self._wanted:
            return True
        at = self._wanted[channel]
        if at is not None and at.server == self._server_of(channel):
            return True
        if at is not None:
            self._wanted[channel] = None
            self._stands(channel, False)
            if at.is_usable:
                with self._giving_up(at):
                    await at.leave([channel])
        # Somebody may have left it meanwhile, or asked for it anew.
        return self._wanted.get(channel, at) is not None or await self._ask_for(channel)

    # --- one connection

    async def _keep(self, line: _Line) -> None:
        """Listen on a connection until its first fault; then the channels are asked for anew."""
        try:
            await self._listen(line)
        except Exception as exc:  # noqa: BLE001  top of a background loop: without it every channel goes silent
            log.warning(self._lost, error=type(exc).__name__)
        finally:
            line.standing = False
            self._forget(line)
            with contextlib.suppress(Exception):
                await line.pubsub.aclose()
        REDIS_SUBSCRIPTIONS_LOST.add()
        if self._cluster is not None:
            self._cluster.suspect()
        # The line stays in its place meanwhile: nobody begins another one to a server that has just failed.
        await asyncio.sleep(RECONNECT_SECONDS)
        del self._lines[line.server]
        self._forget(line)
        self._look_soon()

    def _forget(self, line: _Line) -> None:
        for channel, at in self._wanted.items():
            if at is line:
                self._wanted[channel] = None
                self._stands(channel, False)

    async def _listen(self, line: _Line) -> None:
        await line.pubsub.subscribe(self._anchor)
        line.standing = True
        for channel in [channel for channel, at in self._wanted.items() if at is line]:
            # It may have been left while another one was asked for.
            if self._wanted.get(channel) is line:
                await line.ask(channel)
        async for message in subscription_rounds(line.pubsub):
            if not line.standing:
                return
            if message is not None:
                self._take(line, message)

    def _take(self, line: _Line, message: dict[str, Any]) -> None:
        match message["type"]:
            case "message" | "smessage":
                if message["channel"] in self._wanted:
                    self._heard(message["channel"], message["data"])
            case "subscribe" | "ssubscribe":
                channel = message["channel"]
                # What was left and is wanted again stands with the last answer.
                if self._wanted.get(channel) is line and channel not in line.leaving:
                    self._stands(channel, True)
            case "sunsubscribe":
                channel = message["channel"]
                if not line.has_left(channel) and self._wanted.get(channel) is line:
                    self._lose(channel)
            case "moved" if self._cluster is not None:
                moved = message["data"]
                self._cluster.learn(moved, line.server)
                # It may be the answer to a leaving, which has no other then.
                for channel in list(line.leaving):
                    if self._cluster.slot_of(channel) == moved.slot_id:
                        del line.leaving[channel]
                for channel, at in self._wanted.items():
                    if at is line and self._cluster.slot_of(channel) == moved.slot_id:
                        self._lose(channel)
            case _:
                pass

    def _lose(self, channel: bytes) -> None:
        self._wanted[channel] = None
        self._stands(channel, False)
        if self._cluster is not None:
            self._cluster.suspect()
        self._look_soon()

    @contextlib.contextmanager
    def _giving_up(self, line: _Line) -> Iterator[None]:
        """Drop a connection after any fault; meanwhile whoever listens has another way."""
        try:
            yield
        except Exception as exc:  # noqa: BLE001  any error can come of two tasks at one connection
            log.warning(self._broken, error=type(exc).__name__)
            line.standing = False
