"""Measures what one box spends on runs, words and reads, for the simulation of capacity.py.

    uv run --project backend python bench/capacity_figures.py --rounds 4 --on "2 shared cores, 24 GiB, Python 3.11"

Runs of two lengths are paced as models write; the difference is the cost of a word, the rest that of a run. Writes
capacity.json. Measure on a quiet machine: the figures are not ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime

import cpu
import uvloop
from capacity import FIGURES, PARTS, Figures
from runs import BASE_PATH, BenchRun, Load
from sse_client import Target, fetch
from stack import Stack, StackOptions, running_stack

_SHORT, _LONG = 50, 400
"""Words."""
_WORDS_A_SECOND = 50.0
_RUNS = 40
"""At once."""
_READS = 400
_SETTLE_SECONDS = 0.5

Costs = dict[str, float]
"""Milliseconds of CPU, by part."""


async def measure(stack: Stack, rounds: int, measured: str) -> Figures:
    """Measure a running service.

    Args:
        stack: Where nothing else happens.
        rounds: Of each kind of work; their medians count.
        measured: When, and on what.
    """
    target = Target.of(stack.base_url)
    thread_id = await _runs(target, words=5)

    async def read() -> None:
        for number in range(_READS):
            path = "/threads?limit=30" if number % 2 else f"/history?threadId={thread_id}&limit=50"
            await fetch(target, target.request("GET", f"{BASE_PATH}{path}"))

    works: Mapping[str, tuple[Callable[[], Awaitable[object]], int]] = {
        "short": (lambda: _runs(target, _SHORT), _RUNS),
        "long": (lambda: _runs(target, _LONG), _RUNS),
        "read": (read, _READS),
    }
    costs: dict[str, list[Costs]] = {name: [] for name in works}
    memory: list[Mapping[str, int]] = []
    for _ in range(rounds):
        for name, (work, times) in works.items():
            before = cpu.read(stack.roots)
            await work()
            await asyncio.sleep(_SETTLE_SECONDS)
            after = cpu.read(stack.roots)
            used = cpu.used(before, after)
            costs[name].append({part: 1000 * used.get(part, 0.0) / times for part in PARTS})
            memory.append(after.resident_bytes)
    short, long, reads = (_medians(costs[name]) for name in works)
    word = {part: max(0.0, (long[part] - short[part]) / (_LONG - _SHORT)) for part in PARTS}
    return Figures(
        measured=measured,
        run_ms=_rounded({part: max(0.0, short[part] - _SHORT * word[part]) for part in PARTS}),
        word_ms=_rounded(word),
        read_ms=_rounded(reads),
        api_mib=round(max(each[cpu.API] for each in memory) / 2**20),
        worker_mib=round(max(each[cpu.WORKER] for each in memory) / 2**20),
    )


async def _runs(target: Target, words: int) -> str:
    """Execute runs at once; returns the id of one of their threads."""
    batch = [BenchRun(Load(words, _WORDS_A_SECOND)) for _ in range(_RUNS)]
    await asyncio.gather(*(run.run(target) for run in batch))
    if problems := [problem for run in batch for problem in run.trace.problems]:
        raise RuntimeError(problems[0])
    return batch[0].thread_id


def _medians(rows: list[Costs]) -> Costs:
    return {part: statistics.median(row[part] for row in rows) for part in PARTS}


def _rounded(costs: Costs) -> Costs:
    return {part: round(ms, 4) for part, ms in costs.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--on", default="", help="what the machine is")
    options = parser.parse_args()
    measured = ", ".join(filter(None, (datetime.now(UTC).date().isoformat(), options.on)))
    with running_stack(StackOptions()) as stack:
        figures = uvloop.run(measure(stack, options.rounds, measured))
    FIGURES.write_text(json.dumps(asdict(figures), indent=2) + "\n")
    print(FIGURES.read_text())


if __name__ == "__main__":
    main()
