"""What a run costs in long threads, and in tables that have grown: CPU of the service's processes.

    uv run --project backend python bench/growth.py --grow-runs 50000

Measures runs in new threads, in threads of 10, 100, 1,000 and 5,000 messages, then fills the tables (``grow.sql``) and
measures the first two again, with what a client waits for: an acceptance, a first event, a page of history, a list and a
search. The service's idle work counts, too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
import urllib.parse
import urllib.request
import uuid
from collections.abc import Sequence
from pathlib import Path

import asyncpg
import cpu
import first_event
import uvloop
from runs import BASE_PATH, BenchRun, Load
from sse_client import Target
from stack import Stack, StackOptions, running_stack

_LOAD = Load(deltas=50, rate=0)
_THREADS = 4
_WAITS = 40
_GROW = Path(__file__).with_name("grow.sql")


async def threads_of(target: Target, messages: int) -> list[str]:
    """Make threads with so many messages: a client brings them with the first run."""
    found: list[str] = []
    for _ in range(_THREADS):
        roles = ("user", "assistant")
        earlier = [
            {"id": f"e-{place}", "role": roles[place % 2], "content": f"Message {place} of a long thread."}
            for place in range(max(messages - 2, 0))
        ]
        run = BenchRun(_LOAD, earlier=earlier)
        await run.run(target)
        if run.trace.problems:
            raise RuntimeError(run.trace.problems[0])
        found.append(run.thread_id)
    return found


async def cost(
    stack: Stack, target: Target, rounds: int, threads: Sequence[str] = (), *, snapshot: str = "never"
) -> dict[str, float]:
    """Return milliseconds of CPU a run, by process; without threads, each run begins one.

    The client sends its new message only. It keeps a view of its own, or (``auto``) is shown the whole conversation.
    """
    before = cpu.read(stack.roots)
    for _ in range(rounds):
        runs = [
            BenchRun(_LOAD, thread_id=thread, snapshot=snapshot) if thread else BenchRun(_LOAD)
            for thread in threads or [""] * _THREADS
        ]
        await asyncio.gather(*(run.run(target) for run in runs))
        for run in runs:
            if run.trace.problems:
                raise RuntimeError(run.trace.problems[0])
    await asyncio.sleep(0.5)
    used = cpu.used(before, cpu.read(stack.roots))
    return {
        group: used.get(group, 0.0) * 1000 / rounds / _THREADS
        for group in (cpu.API, cpu.WORKER, cpu.POSTGRES, cpu.REDIS)
    }


async def grow(stack: Stack, runs: int) -> None:
    """Fill the tables beside the rows that are there."""
    socket = stack.directory / "data" / "postgres" / "socket"
    connection = await asyncpg.connect(
        f"postgresql://postgres@/agentroute?host={socket}&port=5432", command_timeout=None
    )
    try:
        await connection.execute(f"SET statement_timeout = 0; SET grow.runs = {runs}")
        await connection.execute(_GROW.read_text())
        # A service that has grown to this size has done it on the way.
        await connection.execute("VACUUM")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


def answer_ms(stack: Stack, path: str, **query: str) -> float:
    """Return the shortest of five answers to a request."""
    url = f"{stack.base_url}{BASE_PATH}{path}?{urllib.parse.urlencode(query)}"
    return min(_milliseconds(url) for _ in range(5))


def accept_ms(stack: Stack) -> float:
    """Return the median wait for the acceptance of a run."""
    times: list[float] = []
    for _ in range(_WAITS):
        run = uuid.uuid4().hex
        body = {
            "threadId": run,
            "runId": run,
            "messages": [{"id": run, "role": "user", "content": Load(deltas=5, rate=0).text}],
        }
        url = f"{stack.base_url}{BASE_PATH}/runs"
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)  # noqa: S310 - our own URL
        times.append(_milliseconds(request))
        # The run before is not to be waited for, but not to be measured either.
        time.sleep(0.05)
    return statistics.median(times)


async def first_event_ms(target: Target) -> float:
    """Return the median wait for the first event of a run."""
    figures = await first_event.bench(target, _WAITS, warm_up=2, pause_seconds=0.05)
    if figures["problems"]:
        raise RuntimeError(figures["problems"][0])
    return figures["first_event_ms"]["p50"]


async def waits(stack: Stack, target: Target, thread_id: str) -> dict[str, float]:
    """Return the milliseconds that a client waits for each kind of answer."""
    reads = {
        "a page of history": ("/history", {"threadId": thread_id, "limit": "50"}),
        "a list of threads": ("/threads", {"limit": "30"}),
        "a search": ("/threads", {"q": "message", "limit": "30"}),
    }
    return {
        "an acceptance": accept_ms(stack),
        "a first event": await first_event_ms(target),
        **{name: answer_ms(stack, path, **query) for name, (path, query) in reads.items()},
    }


def _milliseconds(request: str | urllib.request.Request) -> float:
    began = time.perf_counter()
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310 - our own URL
        response.read()
    return 1000 * (time.perf_counter() - began)


def _row(name: str, figures: dict[str, float]) -> str:
    cells = [f"{value:.1f}" for value in (*figures.values(), sum(figures.values()))]
    return f"| {name} | {' | '.join(cells)} |"


async def bench(stack: Stack, rounds: int, grow_runs: int, lengths: Sequence[int]) -> list[str]:
    """Return the rows of the table."""
    target = Target.of(stack.base_url)
    await cost(stack, target, rounds)  # imports, connections, the first pages of Postgres
    lines = ["| | API | worker | Postgres | Valkey | all |", "| --- | --- | --- | --- | --- | --- |"]
    lines.append(_row("a new thread", await cost(stack, target, rounds)))
    for length in lengths:
        threads = await threads_of(target, length)
        name = f"a thread of {length:,} messages"
        lines.append(_row(name, await cost(stack, target, rounds, threads)))
        shown = await cost(stack, target, rounds, threads, snapshot="auto")
        lines.append(_row(f"{name}, shown whole", shown))
    threads = await threads_of(target, lengths[0])
    small = await waits(stack, target, threads[0])
    print("\n".join(lines), flush=True)
    began = time.monotonic()
    await grow(stack, grow_runs)
    grown = f"after {grow_runs:,} runs more"
    print(f"grown in {time.monotonic() - began:.0f} s", flush=True)
    await cost(stack, target, 1)  # the pages that this service had read are no longer in memory
    lines.append(_row(f"a new thread, {grown}", await cost(stack, target, rounds)))
    lines.append(
        _row(f"a thread of {lengths[0]:,} messages, {grown}", await cost(stack, target, rounds, threads))
    )
    large = await waits(stack, target, threads[0])
    lines += ["", f"| ms until | before | {grown} |", "| --- | --- | --- |"]
    return [*lines, *(f"| {name} | {small[name]:.1f} | {large[name]:.1f} |" for name in small)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=10, help=f"of {_THREADS} runs at once, for each row")
    parser.add_argument(
        "--grow-runs", type=int, default=1_000_000, help="50 events each; a million needs 20 GB"
    )
    parser.add_argument(
        "--lengths", type=json.loads, default=[10, 100, 1000, 5000], help="of threads: a JSON list"
    )
    parser.add_argument("--keep", type=Path, help="keep the database in this directory, to measure it again")
    options = parser.parse_args()
    with running_stack(StackOptions(keep=options.keep)) as stack:
        print("\n".join(uvloop.run(bench(stack, options.rounds, options.grow_runs, options.lengths))))


if __name__ == "__main__":
    main()
