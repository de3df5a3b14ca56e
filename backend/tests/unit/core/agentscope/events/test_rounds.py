"""Streams that rest are served by one timer, a few at a time. The clock jumps."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from core.agentscope.events import rounds as rounds_module
from core.agentscope.events.rounds import Rounds

HEARTBEAT_SECONDS = 16.0


class Resting:
    """A stream that notes when it is served."""

    def __init__(self, *, fails: bool = False) -> None:
        self.served: list[float] = []
        self.fails = fails

    def serve(self, now: float) -> None:
        self.served.append(now)
        if self.fails:
            raise ValueError("broken")


async def test_an_alarm_comes_at_its_time_or_up_to_a_slot_before() -> None:
    rounds, loop = Rounds(HEARTBEAT_SECONDS), asyncio.get_running_loop()
    began = loop.time()
    streams = {seconds: Resting() for seconds in (30.0, 0.1, 7.3, 7.9, 16.0)}
    alarms = {seconds: rounds.set_alarm(stream, began + seconds) for seconds, stream in streams.items()}
    await asyncio.sleep(60)

    for seconds, stream in streams.items():
        (served,) = stream.served
        assert served == pytest.approx(alarms[seconds])
        # Never in the slot that is served already.
        assert began + seconds - rounds.slot_seconds < served <= began + max(seconds, 2 * rounds.slot_seconds)


async def test_a_crowd_is_served_a_few_at_a_time_and_each_stream_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rounds_module, "_ROUND", 3)
    rounds, streams = Rounds(HEARTBEAT_SECONDS), [Resting() for _ in range(8)]
    for _ in range(2):
        rounds.serve(streams)

    counts: list[int] = []
    for _ in range(4):
        await asyncio.sleep(0)
        counts.append(sum(len(stream.served) for stream in streams))
    assert counts == [3, 6, 8, 8]


async def test_a_stream_that_fails_does_not_hold_up_the_others() -> None:
    rounds, streams = Rounds(HEARTBEAT_SECONDS), [Resting(fails=True), Resting()]
    with capture_logs() as lines:
        rounds.serve(streams)
        await asyncio.sleep(1)

    assert [len(stream.served) for stream in streams] == [1, 1]
    assert [line["event"] for line in lines] == ["stream_not_served"]
