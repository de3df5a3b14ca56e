"""How long the service needs to get over a fault, as figures: medians of a few rounds each.

    uv run --project backend python bench/recovery.py

Starts services of its own with the settings that ship (the lease too, so the
worker rows take half a minute a round). Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

_BACKEND = Path(__file__).resolve().parents[1] / "backend"
sys.path.insert(0, str(_BACKEND))

from tests.faults.chaos import lose_redis, restart_postgres  # noqa: E402
from tests.faults.launcher import Ground, Plot, http_client, open_ground  # noqa: E402
from tests.faults.recorder import Following, Owner, Recorder  # noqa: E402

_AS_SHIPPED = {
    "AGENT_WORKER__LEASE_SECONDS": "30",
    "AGENT_WORKER__REAP_SECONDS": "5",
    "AGENT_WORKER__DRAIN_SECONDS": "25",
    "AGENT_SERVER__DRAIN_SECONDS": "10",
}
_PACE = 0.05
_WORDS = 100


class Round:
    """A service, a client, and one run that streams."""

    def __init__(self, plot: Plot, recorder: Recorder) -> None:
        self.plot = plot
        self.recorder = recorder

    async def streaming(self, words: int = _WORDS) -> tuple[Following, asyncio.Task[Following]]:
        """Start a run and return once its text comes."""
        wish = self.recorder.wish(words=words, pace=_PACE)
        seen = self.recorder.following(wish.run_id, f"thread-{wish.run_id}", Owner())
        task = asyncio.create_task(self.recorder.run(wish, following=seen, stream=False, seconds=90))
        await seen.until(lambda seen: "w10-" in seen.text)
        return seen, task


async def worker_killed(at: Round) -> float:
    """Return the time from SIGKILL until the client sees the end."""
    worker = await at.plot.start("worker")
    # Another worker is there: the one that is killed is the one that has the run.
    seen, task = await at.streaming()
    await at.plot.start("worker")
    killed = time.monotonic()
    await worker.kill()
    await task
    _require((seen.end or {}).get("code") == "worker-lost", seen.end)
    return time.monotonic() - killed


async def hint_lost(at: Round) -> float:
    """Return the time from the acceptance until ``RUN_STARTED``, when the hint never left."""
    await at.plot.start("worker")
    for api in at.plot.apis:
        await api.redis.refuse()
    wish = at.recorder.wish(words=3)
    seen = at.recorder.following(wish.run_id, f"thread-{wish.run_id}", Owner())
    posted = time.monotonic()
    await at.recorder.run(wish, following=seen, stream=False)
    return seen.times[0] - asyncio.get_running_loop().time() + time.monotonic() - posted


def _longest_pause(seen: Following, since: float) -> float:
    times = [time for time in seen.times if time >= since]
    return max((later - earlier for earlier, later in itertools.pairwise([since, *times])), default=0.0)


async def redis_lost(at: Round) -> float:
    """Return the longest pause of a stream whose Redis is killed and comes back empty."""
    await at.plot.start("worker")
    seen, task = await at.streaming()
    since = asyncio.get_running_loop().time()
    await lose_redis(at.plot.ground, away_seconds=1.0)
    await task
    _require_whole(seen)
    return _longest_pause(seen, since)


async def postgres_restarted(at: Round) -> float:
    """Return the longest pause of a stream whose Postgres is restarted at once."""
    await at.plot.start("worker")
    seen, task = await at.streaming()
    since = asyncio.get_running_loop().time()
    await restart_postgres(at.plot.ground)
    await task
    _require_whole(seen)
    return _longest_pause(seen, since)


async def postgres_away(at: Round) -> float:
    """Return how long a POST waits for its 503 while Postgres is away; the stream beside it stays open."""
    await at.plot.start("worker")
    seen, task = await at.streaming()
    for node in at.plot.nodes:
        await node.postgres.refuse()
    reconnects, heartbeats = seen.reconnects, seen.heartbeats
    wish = at.recorder.wish()
    started = time.monotonic()
    status = await at.recorder.post(Owner(), at.recorder.body(wish, "thread-away"), kind="post")
    waited = time.monotonic() - started
    line = at.recorder.evidence.http[-1]
    _require(status == 503, line)
    _require(line["retry_after"], line)
    await seen.until(lambda seen: seen.heartbeats >= heartbeats + 3)
    _require(seen.reconnects == reconnects, "the stream was closed")
    for node in at.plot.nodes:
        await node.postgres.heal()
    await task
    _require_whole(seen)
    return waited


async def worker_drained(at: Round) -> float:
    """Return the time from SIGTERM until a worker whose run still streams has ended it and is gone."""
    worker = await at.plot.start("worker")
    seen, task = await at.streaming()
    seconds = await worker.terminate(40)
    _require(worker.exit_code == 0, worker.exit_code)
    await task
    _require_whole(seen)
    return seconds


async def api_drained(at: Round) -> float:
    """Return the time from SIGTERM until an API process with an open stream is gone; the client goes on elsewhere."""
    await at.plot.start("worker")
    [api] = at.plot.apis
    seen, task = await at.streaming()
    other = await at.plot.start("api")
    seconds = await api.terminate(20)
    _require(api.exit_code == 0 and other.running, api.exit_code)
    await task
    _require_whole(seen)
    return seconds


def _require(kept: object, found: object) -> None:
    if not kept:
        raise RuntimeError(f"a promise was broken: {found}")


def _require_whole(seen: Following) -> None:
    _require((seen.end or {}).get("type") == "RUN_FINISHED", seen.end)
    words = [word.split("-")[0] for word in seen.text.split()]
    _require(words == [f"w{n}" for n in range(1, _WORDS + 1)], words)


Measure = Callable[[Round], Awaitable[float]]
MEASURES: tuple[tuple[str, Measure, float], ...] = (
    ("worker killed in a run: the client sees the end", worker_killed, 36.0),
    ("hint lost: the run starts", hint_lost, 7.0),
    ("Redis killed, back empty after 1 s: longest pause of a stream", redis_lost, 2.0),
    ("Postgres restarted at once: longest pause of a stream", postgres_restarted, 5.0),
    ("Postgres away: POST is refused with 503", postgres_away, 6.0),
    ("worker told to stop in a run: gone, the run ended", worker_drained, 30.0),
    ("API process told to stop with an open stream: gone", api_drained, 30.0),
)


async def measure(ground: Ground, what: Measure) -> float:
    """Run one round on a service of its own."""
    async with ground.plot(**_AS_SHIPPED) as plot, http_client() as client:
        await plot.start("api")
        return await what(Round(plot, Recorder(plot, client)))


async def _main(rounds: int, only: str, directory: Path) -> int:
    missed = 0
    print("| fault | promised | median | worst | rounds |\n| --- | --- | --- | --- | --- |")
    async with open_ground(directory) as ground:
        for title, what, promised in MEASURES:
            if only not in what.__name__:
                continue
            times = [await measure(ground, what) for _ in range(rounds)]
            missed += max(times) > promised
            print(
                f"| {title} | {promised:g} s | {statistics.median(times):.2f} s | {max(times):.2f} s | {rounds} |",
                flush=True,
            )
    return int(missed > 0)


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description="Measures how long the service needs to get over a fault.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="part of a measure's name, such as redis")
    options = parser.parse_args()
    # The model's callers are killed in the middle of its answers.
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    os.chdir(_BACKEND)
    with tempfile.TemporaryDirectory(prefix="recovery-") as directory:
        sys.exit(asyncio.run(_main(options.rounds, options.only, Path(directory))))


if __name__ == "__main__":
    main()
