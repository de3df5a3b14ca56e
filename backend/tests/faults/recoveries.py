"""One fault each, and how long the service needs to get over it.

Timed by ``bench/recovery.py``, played by ``test_recovery.py``. Each raises ``BrokenPromiseError`` when more than time was lost.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.faults.chaos import lose_redis, restart_postgres
from tests.faults.launcher import Ground, Plot, http_client
from tests.faults.recorder import Following, Owner, Recorder
from tests.support.limits import HUNG_SECONDS

_FIRST_WORDS = 10
"""Words that are shown before the fault."""


class BrokenPromiseError(Exception):
    """The service lost something else than time."""


@dataclass(frozen=True)
class Stage:
    """A service with one API process, its client, and how long an answer is."""

    plot: Plot
    recorder: Recorder
    words: int
    pace: float
    """Seconds before each word."""
    agent: str = ""

    async def streaming(self, **members: Any) -> tuple[Following, asyncio.Task[Following]]:
        """Start a run and return once its text comes; ``members`` of the wish are added."""
        wish = self.recorder.wish(words=self.words, pace=self.pace, **members)
        seen = self.recorder.following(wish.run_id, f"thread-{wish.run_id}", Owner())
        task = asyncio.create_task(
            self.recorder.run(wish, following=seen, stream=False, seconds=2 * HUNG_SECONDS, agent=self.agent)
        )
        await seen.until(lambda seen: f"w{_FIRST_WORDS}-" in seen.text)
        return seen, task

    def require_whole(self, seen: Following) -> None:
        """Check that a client saw the whole answer, once and in order, and its end."""
        require((seen.end or {}).get("type") == "RUN_FINISHED", seen.end)
        words = [word.split("-")[0] for word in seen.text.split()]
        require(words == [f"w{number}" for number in range(1, self.words + 1)], words)


def require(kept: object, found: object) -> None:
    """Raise unless a promise was kept."""
    if not kept:
        raise BrokenPromiseError(f"a promise was broken: {found}")


async def worker_killed(at: Stage) -> float:
    """Return the time from SIGKILL until the client sees the end."""
    worker = await at.plot.start("worker")
    # The answer waits for the start of the other worker, however long that takes.
    seen, task = await at.streaming(hold=_FIRST_WORDS, gate=at.plot.name)
    # Later than the first: the one that is killed is the one that has the run.
    await at.plot.start("worker")
    killed = time.monotonic()
    await worker.kill()
    await task
    seconds = time.monotonic() - killed
    require((seen.end or {}).get("code") == "worker-lost", seen.end)
    at.plot.ground.gates.open(at.plot.name)
    return seconds


async def hint_lost(at: Stage) -> float:
    """Return the time from the request until ``RUN_STARTED``, when the hint never left."""
    await at.plot.start("worker")
    for api in at.plot.apis:
        await api.redis.refuse()
    wish = at.recorder.wish(words=3)
    seen = at.recorder.following(wish.run_id, f"thread-{wish.run_id}", Owner())
    posted = asyncio.get_running_loop().time()
    await at.recorder.run(wish, following=seen, stream=False, agent=at.agent)
    require((seen.end or {}).get("type") == "RUN_FINISHED", seen.end)
    return seen.times[0] - posted


async def redis_lost(at: Stage) -> float:
    """Return the longest pause of a stream whose Redis is killed and comes back empty."""
    await at.plot.start("worker")
    seen, task = await at.streaming()
    since = asyncio.get_running_loop().time()
    await lose_redis(at.plot.ground, away_seconds=1.0)
    await task
    at.require_whole(seen)
    return _longest_pause(seen, since)


async def postgres_restarted(at: Stage) -> float:
    """Return the longest pause of a stream from the moment at which a restarted Postgres answers again."""
    await at.plot.start("worker")
    seen, task = await at.streaming()
    await restart_postgres(at.plot.ground)
    since = asyncio.get_running_loop().time()
    await task
    at.require_whole(seen)
    return _longest_pause(seen, since)


async def postgres_away(at: Stage) -> float:
    """Return how long a POST waits for its 503 while Postgres is away; the stream beside it stays open."""

    async def refuse() -> None:
        for node in at.plot.nodes:
            await node.postgres.refuse()

    return await _without_postgres(at, refuse)


async def postgres_silent(at: Stage) -> float:
    """Return the same when Postgres refuses nothing, and every packet to it is dropped."""

    async def swallow() -> None:
        for node in at.plot.nodes:
            node.postgres.swallow()

    return await _without_postgres(at, swallow)


async def _without_postgres(at: Stage, lose: Callable[[], Awaitable[None]]) -> float:
    await at.plot.start("worker")
    seen, task = await at.streaming()
    await lose()
    reconnects, heartbeats = seen.reconnects, seen.heartbeats
    wish = at.recorder.wish()
    started = time.monotonic()
    status = await at.recorder.post(Owner(), at.recorder.body(wish, "thread-away"), kind="post")
    waited = time.monotonic() - started
    line = next(line for line in reversed(at.recorder.evidence.http) if line["kind"] == "post")
    require(status == 503 and line["retry_after"], line)
    await seen.until(lambda seen: seen.heartbeats >= heartbeats + 3)
    require(seen.reconnects == reconnects, "the stream was closed")
    for node in at.plot.nodes:
        await node.postgres.heal()
    await task
    at.require_whole(seen)
    return waited


async def cancelled(at: Stage) -> float:
    """Return the time from a cancel until the client sees the end, of a run whose model is silent; any process may be asked."""
    for role in ("worker", "api"):
        await at.plot.start(role)
    seen, task = await at.streaming(hold=_FIRST_WORDS, gate=at.plot.name)
    return await _cancel(at, seen, task)


async def cancelled_without_redis(at: Stage) -> float:
    """Return the same when the worker and the API cannot reach Redis."""
    await at.plot.start("worker")
    for node in at.plot.nodes:
        await node.redis.refuse()
    seen, task = await at.streaming(hold=_FIRST_WORDS, gate=at.plot.name)
    return await _cancel(at, seen, task)


async def _cancel(at: Stage, seen: Following, task: asyncio.Task[Following]) -> float:
    asked = time.monotonic()
    require(await at.recorder.cancel(seen) == 202, "the cancel was refused")
    await task
    seconds = time.monotonic() - asked
    require(await at.recorder.cancel(seen) == 202, "a cancel of what is cancelled was refused")
    require((seen.end or {}).get("outcome") == {"type": "cancelled"}, seen.end)
    at.plot.ground.gates.open(at.plot.name)
    return seconds


async def worker_drained(at: Stage) -> float:
    """Return the time from SIGTERM until a worker whose run still streams has ended it and is gone."""
    worker = await at.plot.start("worker")
    seen, task = await at.streaming()
    seconds = await worker.terminate()
    require(worker.exit_code == 0, worker.exit_code)
    await task
    at.require_whole(seen)
    return seconds


async def api_drained(at: Stage) -> float:
    """Return the time from SIGTERM until an API process with an open stream is gone; its client goes on elsewhere."""
    await at.plot.start("worker")
    [api] = at.plot.apis
    # The answer waits for the start of the other process, however long that takes.
    seen, task = await at.streaming(hold=_FIRST_WORDS, gate=at.plot.name)
    other = await at.plot.start("api")
    seconds = await api.terminate()
    at.plot.ground.gates.open(at.plot.name)
    require(api.exit_code == 0 and other.running, api.exit_code)
    await task
    at.require_whole(seen)
    require(seen.reconnects, "the stream never moved")
    return seconds


def _longest_pause(seen: Following, since: float) -> float:
    times = [time for time in seen.times if time >= since]
    return max((later - earlier for earlier, later in itertools.pairwise([since, *times])), default=0.0)


@dataclass(frozen=True)
class Recovery:
    """A fault, what it is called, and how long the service may need."""

    title: str
    measure: Callable[[Stage], Awaitable[float]]
    promised_seconds: float
    alone: bool = False
    """Whether it breaks what services on the same ground share."""
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    """Settings of this service alone."""


RECOVERIES: tuple[Recovery, ...] = (
    Recovery("worker killed in a run: the client sees the end", worker_killed, 36.0),
    Recovery("hint lost: the run starts", hint_lost, 7.0),
    Recovery("Redis killed, back empty after 1 s: longest pause of a stream", redis_lost, 2.0, alone=True),
    Recovery(
        "Postgres restarted at once: longest pause of a stream once it is back",
        postgres_restarted,
        5.0,
        alone=True,
    ),
    Recovery("Postgres away: POST is refused with 503", postgres_away, 6.0),
    Recovery(
        "Postgres silent, all packets dropped: POST is refused with 503",
        postgres_silent,
        6.0,
        # The kit's client waits for 6 s, a little less than a statement with the limits that ship.
        env={
            "AGENT_DATABASE__POOL_TIMEOUT_SECONDS": "2",
            "AGENT_DATABASE__STATEMENT_TIMEOUT_SECONDS": "2",
            "AGENT_DATABASE__SILENCE_SECONDS": "1",
        },
    ),
    Recovery(
        "cancel at another API process while the model is silent: the client sees the end", cancelled, 1.0
    ),
    Recovery("the same without Redis", cancelled_without_redis, 10.0),
    Recovery("worker told to stop in a run: gone, the run ended", worker_drained, 30.0),
    Recovery("API process told to stop with an open stream: gone", api_drained, 30.0),
)


async def measure(
    ground: Ground, recovery: Recovery, *, words: int, pace: float, agent: str = "", **env: str
) -> float:
    """Play one fault on a service of its own and return the seconds it cost; the default agent's without another.

    Raises:
        BrokenPromiseError: It cost more than time.
    """
    async with ground.plot({**env, **recovery.env}) as plot, http_client() as client:
        await plot.start("api")
        return await recovery.measure(Stage(plot, Recorder(plot, client), words, pace, agent))
