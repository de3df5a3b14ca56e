"""What goes to Redis, in which parts, and what does not; what Redis does with it is in the tests of replay."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from redis.asyncio import Redis

from core.agentscope.events import redis_bus
from core.agentscope.events.owned_run import StreamBatch
from core.agentscope.events.redis_bus import RedisBus
from core.config import RedisSettings

TAIL = RedisSettings(tail_bytes=1 << 16, tail_entries=1000)

PARTS: dict[str, tuple[list[str], list[tuple[int, int]]]] = {
    "nothing": ([], []),
    "small events together": (["aa", "bb", "cc"], [(1, 3)]),
    "a message ends when it is large enough": (["a" * 60, "b" * 60, "c", "d"], [(1, 2), (3, 2)]),
    "one that is too large is left out": (["a", "b" * 101, "c"], [(1, 1), (3, 1)]),
    "too large at the ends": (["a" * 101, "b", "c" * 101], [(2, 1)]),
    "only too large": (["a" * 101, "b" * 101], []),
    "bytes, not characters": (["\u20ac" * 33, "\u20ac" * 34], [(1, 1)]),
}


class Sent:
    """The commands of a pipeline, and how often it was executed."""

    def __init__(self) -> None:
        self.commands: list[tuple[object, ...]] = []
        self.pipelines = 0

    def pipeline(self, *, transaction: bool) -> Sent:
        assert not transaction
        return self

    def execute_command(self, *arguments: object) -> None:
        self.commands.append(arguments)

    async def execute(self, *, raise_on_error: bool) -> list[int]:
        assert not raise_on_error
        self.pipelines += 1
        return [0] * len(self.commands)


async def sent(payloads: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> Sent:
    sent = Sent()
    redis = Redis()
    bus = RedisBus(redis, TAIL)
    monkeypatch.setattr(redis, "pipeline", sent.pipeline)
    await bus._send([StreamBatch(7, 3, 1, list(payloads))])
    return sent


@pytest.mark.parametrize("case", PARTS)
async def test_a_batch_is_shown_in_messages_of_bounded_size(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_bus, "MAX_EVENT_BYTES", 100)
    monkeypatch.setattr(redis_bus, "MESSAGE_BYTES", 100)
    payloads, parts = PARTS[case]

    commands = (await sent(payloads, monkeypatch)).commands

    assert [(int(str(command[8])), len(command[9:])) for command in commands] == parts
    shown = [payload for command in commands for payload in command[9:]]
    assert shown == [payload for payload in payloads if len(payload.encode()) <= 100]


async def test_much_is_sent_in_several_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_bus, "MESSAGE_BYTES", 100)
    monkeypatch.setattr(redis_bus, "SEND_BYTES", 300)

    assert (await sent(["x" * 100] * 7, monkeypatch)).pipelines == 3


@pytest.mark.parametrize(("size", "entries"), [(10, "1000"), (65, "1000"), (1000, "65"), (200_000, "1")])
async def test_large_events_make_the_stream_shorter(
    size: int, entries: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (command,) = (await sent(["x" * size] * 1, monkeypatch)).commands

    assert command[5] == entries


def test_what_waits_for_a_slow_redis_has_a_limit_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_bus, "MAX_QUEUED_BYTES", 1000)
    bus = RedisBus(Redis(), TAIL)
    for seq in range(50):
        bus.publish([StreamBatch(7, 3, seq, ["x" * 90])])

    assert [batch.first_seq for batch in bus._queue] == list(range(39, 50))
