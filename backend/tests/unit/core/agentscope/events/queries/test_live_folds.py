"""The folds that an API process keeps: how many bytes, and for how long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from core.agentscope.events.log_fold import PAGE_EVENTS, LoggedEvent
from core.agentscope.events.queries import live_folds
from core.agentscope.events.queries.live_folds import IDLE_SECONDS, LiveFolds


class Logs:
    """The logs of runs, by thread, and how often they were read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.events: dict[int, list[str]] = {}
        self.reads: list[tuple[int, int]] = []
        """Thread, and the sequence after which was read."""
        self.now = 1000.0
        monkeypatch.setattr(live_folds, "log_page", self._page)

    def folds(self, max_bytes: int = 10_000) -> LiveFolds:
        engine: Any = self
        return LiveFolds(engine, max_bytes=max_bytes, clock=lambda: self.now)

    def say(self, thread: int, *words: str) -> None:
        log = self.events.setdefault(thread, [_event("TEXT_MESSAGE_START", role="assistant")])
        log += [_event("TEXT_MESSAGE_CONTENT", delta=word) for word in words]

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[None]:
        yield

    async def _page(
        self, _connection: object, session_id: int, _ordinal: int, *, after: int
    ) -> list[LoggedEvent]:
        self.reads.append((session_id, after))
        await asyncio.sleep(0)
        following = self.events[session_id][after : after + PAGE_EVENTS]
        return [LoggedEvent(after + place, payload) for place, payload in enumerate(following, start=1)]


def _event(kind: str, **members: Any) -> str:
    return orjson.dumps({"type": kind, "messageId": "m", **members}).decode()


async def text(folds: LiveFolds, thread: int, ordinal: int = 1) -> str:
    async with folds.held(thread, ordinal) as log:
        return log.fold.snapshot()[0]["content"]


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> Logs:
    return Logs(monkeypatch)


async def test_only_what_is_new_is_read(logs: Logs) -> None:
    folds = logs.folds(max_bytes=1 << 20)
    logs.say(1, *("a" for _ in range(PAGE_EVENTS + 9)))

    assert await text(folds, 1) == "a" * (PAGE_EVENTS + 9)
    logs.say(1, "b")
    assert [await text(folds, 1), await text(folds, 1)] == ["a" * (PAGE_EVENTS + 9) + "b"] * 2
    first, second = PAGE_EVENTS + 10, PAGE_EVENTS + 11
    assert logs.reads == [(1, 0), (1, PAGE_EVENTS), (1, first), (1, second)]


async def test_callers_at_the_same_time_share_one_fold(logs: Logs) -> None:
    folds = logs.folds()
    logs.say(1, "a", "b")

    assert await asyncio.gather(*(text(folds, 1) for _ in range(5))) == ["ab"] * 5
    assert logs.reads == [(1, 0)] + [(1, 3)] * 4


async def test_the_folds_together_have_a_limit_and_the_ones_used_last_stay(logs: Logs) -> None:
    folds = logs.folds(max_bytes=3000)
    for thread in (1, 2, 3):
        logs.say(thread, "x" * 1200)
    for thread in (1, 2, 1, 3):
        await text(folds, thread)
        assert folds.size <= 3000
    logs.reads.clear()
    for thread in (1, 3, 2):
        await text(folds, thread)

    assert logs.reads == [(1, 2), (3, 2), (2, 0)]


async def test_a_fold_larger_than_all_may_be_is_not_kept(logs: Logs) -> None:
    folds = logs.folds()
    logs.say(1, "x" * 20_000)

    assert await text(folds, 1) == "x" * 20_000
    assert folds.size == 0


async def test_a_fold_that_nobody_asks_for_is_dropped(logs: Logs) -> None:
    folds = logs.folds()
    logs.say(1, "a")
    logs.say(2, "b")
    await text(folds, 1)
    logs.now += IDLE_SECONDS + 1
    await text(folds, 2)
    logs.reads.clear()
    await text(folds, 1)

    assert logs.reads == [(1, 0)]


async def test_another_run_and_an_idle_thread_drop_the_fold(logs: Logs) -> None:
    folds = logs.folds()
    logs.say(1, "a")
    await text(folds, 1)
    await text(folds, 1, ordinal=2)
    folds.forget(1)
    await text(folds, 1, ordinal=2)

    assert logs.reads == [(1, 0)] * 3


async def test_a_fold_that_failed_is_not_used_again(logs: Logs) -> None:
    folds = logs.folds()
    logs.say(1, "a")
    logs.events[1].append("no JSON")
    with pytest.raises(ValueError, match="literal"):
        await text(folds, 1)
    logs.events[1].pop()

    assert await text(folds, 1) == "a"
    assert logs.reads == [(1, 0), (1, 0)]
