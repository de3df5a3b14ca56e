"""The window of a followed thread: it may know little, and never leaves a gap."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import thread_log
from tests.support.thread_log import SESSION, QuietHub, event, run

from core.agentscope.events import hub as hub_module
from core.agentscope.events.envelope import Envelope
from core.agentscope.events.hub import Tail
from core.agentscope.events.redis_bus import parse_bell
from core.agentscope.schemas.cursor import Cursor
from core.config import StreamSettings

FIRST, SECOND = run(1, 3), run(2, 2)


def tail_of(*bells: list[Envelope]) -> Tail:
    tail = Tail()
    for bell in bells:
        tail.add(list(bell))
    return tail


def test_what_follows_a_place_is_returned_whole() -> None:
    tail = tail_of(FIRST)

    assert tail.after(Cursor(1, 0), at_end_of_run=False) == FIRST
    assert tail.after(Cursor(1, 1), at_end_of_run=False) == FIRST[1:]
    assert tail.after(Cursor(1, 3), at_end_of_run=True) == []


def test_a_reader_behind_the_window_gets_nothing() -> None:
    tail = tail_of(FIRST[1:])

    assert tail.after(Cursor(1, 0), at_end_of_run=False) == []
    assert tail.after(Cursor.START, at_end_of_run=False) == []


def test_the_next_run_follows_a_run_only_at_its_known_end() -> None:
    tail = tail_of(FIRST, SECOND)

    assert tail.after(Cursor(1, 2), at_end_of_run=False) == [FIRST[2], *SECOND]
    assert tail.after(Cursor(1, 3), at_end_of_run=True) == SECOND
    # The reader came with this cursor and cannot know that the run had ended there.
    assert tail_of(SECOND).after(Cursor(1, 3), at_end_of_run=False) == []


def test_a_gap_replaces_the_window() -> None:
    tail = tail_of(FIRST[:1], FIRST[2:])

    assert tail.after(Cursor(1, 0), at_end_of_run=False) == []
    assert tail.after(Cursor(1, 2), at_end_of_run=False) == FIRST[2:]


def test_a_run_that_begins_before_the_end_of_the_last_one_was_heard_is_a_gap() -> None:
    tail = tail_of(FIRST[:2], SECOND)

    assert tail.after(Cursor(1, 1), at_end_of_run=False) == []


def test_late_and_repeated_messages_change_nothing() -> None:
    tail = tail_of(FIRST, FIRST[:2], FIRST)

    assert tail.after(Cursor(1, 0), at_end_of_run=False) == FIRST


def test_a_message_that_overlaps_extends_the_window() -> None:
    tail = tail_of(FIRST[:2], FIRST[1:])

    assert tail.after(Cursor(1, 0), at_end_of_run=False) == FIRST


def test_the_window_is_trimmed_at_its_old_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "WINDOW_EVENTS", 2)
    events = run(1, 9)
    tail = tail_of(*([item] for item in events))

    kept = [place for place in range(9) if tail.after(Cursor(1, place), at_end_of_run=False)]
    assert 2 <= len(kept) <= 5
    assert kept == list(range(kept[0], 9))


def large(ordinal: int, seq: int, size: int) -> Envelope:
    return Envelope(ordinal, seq, b"x" * size)


def kept(tail: Tail, last: int) -> list[int]:
    """Return the places from which a reader is served."""
    return [place for place in range(last) if tail.after(Cursor(1, place), at_end_of_run=False)]


def test_a_window_has_a_limit_in_bytes_and_keeps_the_newest_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "WINDOW_BYTES", 1000)
    tail = tail_of(*([large(1, seq, 100)] for seq in range(1, 101)))
    assert 10 <= len(kept(tail, 100)) <= 20
    assert tail.size == 100 * len(kept(tail, 100))

    tail.add([large(1, 101, 5000), large(1, 102, 6000)])
    assert (kept(tail, 102), tail.size, tail.head) == ([101], 6000, Cursor(1, 102))

    tail.empty()
    assert (kept(tail, 102), tail.size, tail.head) == ([], 0, Cursor(1, 102))


async def test_all_windows_have_a_limit_and_the_most_silent_thread_loses_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hub_module, "HUB_BYTES", 2300)
    hub = QuietHub(StreamSettings())
    async with hub.follow(1) as one, hub.follow(2) as two, hub.follow(3) as three:
        for seq, tail in enumerate((one, two, one, three), start=1):
            hub.ring(tail, [large(1, seq, 800)])
        assert [tail.size for tail in (one, two, three)] == [800, 0, 800]
        assert two.head == Cursor(1, 2)
        hub.ring(two, [large(1, 5, 9000)])
        assert [tail.size for tail in (one, two, three)] == [0, 9000, 0]
    async with hub.follow(4) as four, hub.follow(5) as five:
        hub.ring(four, [large(1, 1, 1100)])
        hub.ring(five, [large(1, 1, 1100)])
        assert [tail.size for tail in (four, five)] == [1100, 1100], (
            "threads that nobody follows count no more"
        )


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_whatever_the_doorbell_loses_repeats_or_reorders_no_reader_gets_a_gap(data: st.DataObject) -> None:
    log = data.draw(thread_log.logs())
    tail = Tail()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hub_module, "WINDOW_EVENTS", 2)
        for bell in data.draw(thread_log.bells(log)):
            tail.add(list(bell))
            for place, seen in enumerate(log):
                suffix = log[place + 1 :]
                for knows_the_end in {False, seen.is_terminal}:
                    live = tail.after(seen.cursor, at_end_of_run=knows_the_end)
                    assert live == suffix[: len(live)]
            assert tail.head == max(tail.head, bell[-1].cursor)


@settings(max_examples=60, deadline=None)
@given(thread_log.logs())
def test_a_doorbell_that_says_everything_serves_a_reader_from_the_first_event(log: list[Envelope]) -> None:
    tail = tail_of(*([item] for item in log))

    assert tail.after(Cursor(1, 0), at_end_of_run=False) == log


@settings(max_examples=60, deadline=None)
@given(thread_log.logs())
def test_a_doorbell_message_is_read_as_it_was_written(log: list[Envelope]) -> None:
    first_run = [item for item in log if item.ordinal == 1]
    # As the publishing script of redis_bus.py joins it.
    message = b"1 1\n" + b"\n".join(item.payload for item in first_run)

    assert parse_bell(message) == first_run


# --- waiting ----------------------------------------------------------------------------


async def test_a_reader_wakes_when_an_event_after_its_place_exists() -> None:
    tail = Tail()
    waiting = asyncio.create_task(tail.wait(Cursor(1, 1), 60))
    await asyncio.sleep(1)
    tail.see(Cursor(1, 2))

    assert await waiting
    assert asyncio.get_running_loop().time() == pytest.approx(1001)


async def test_a_reader_that_is_behind_does_not_wait() -> None:
    assert await tail_of(FIRST).wait(Cursor(1, 1), 60)


async def test_waiting_ends_after_its_time() -> None:
    assert not await tail_of(FIRST).wait(Cursor(1, 3), 60)


async def test_a_head_never_goes_back() -> None:
    tail = tail_of(FIRST)
    tail.see(Cursor(1, 1))

    assert tail.head == Cursor(1, 3)


async def test_readers_of_one_thread_share_a_tail_and_the_last_one_drops_it() -> None:
    hub = QuietHub(StreamSettings())
    async with hub.follow(SESSION) as one:
        async with hub.follow(SESSION) as other, hub.follow(SESSION + 1) as foreign:
            assert one is other
            assert foreign is not one
        one.add([event(1, 1)])
    async with hub.follow(SESSION) as later:
        assert later is not one
        assert later.head == Cursor.START


async def test_the_patrol_asks_about_still_threads_in_turn_and_about_all_without_a_subscription() -> None:
    hub = QuietHub(StreamSettings())
    async with AsyncExitStack() as readers:
        tails = [await readers.enter_async_context(hub.follow(number)) for number in range(10)]
        first = [hub.begin_round() for _ in range(hub_module.STILL_ROUNDS)]
        assert all(len(asked) == 10 for asked in first)

        rounds = [hub.begin_round() for _ in range(hub_module.STILL_EVERY)]
        assert [len(asked) for asked in rounds] == [2] * hub_module.STILL_EVERY
        assert sorted(number for asked in rounds for number in asked) == list(range(10)), "each has its turn"

        tails[3].add([event(1, 1)])
        tails[7].subscribed.clear()
        assert all({3, 7} <= hub.begin_round().keys() for _ in range(hub_module.STILL_EVERY))


async def test_a_drain_wakes_readers_and_ends_a_rest() -> None:
    hub = QuietHub(StreamSettings())
    async with hub.follow(SESSION) as tail:
        waiting = asyncio.create_task(tail.wait(Cursor(1, 1), 3600))
        resting = asyncio.create_task(hub.rest(3600))
        await asyncio.sleep(1)
        hub.drain()

        assert await waiting
        assert await resting


async def test_a_rest_without_a_drain_lasts_as_long_as_it_was_meant_to() -> None:
    hub = QuietHub(StreamSettings())
    loop = asyncio.get_running_loop()
    began = loop.time()

    assert not await hub.rest(5)
    assert loop.time() - began == pytest.approx(5)
