"""How long the service needs to get over a fault, and what its readers cost, as figures.

    uv run --project backend python bench/recovery.py

Starts services of its own with the settings that ship, the lease too. Rounds of
a fault that concerns one service run side by side. Prints a Markdown table, and
exits with 1 when a promise was missed.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import statistics
import sys
import tempfile
from pathlib import Path

_BACKEND = Path(__file__).resolve().parents[1] / "backend"
sys.path.insert(0, str(_BACKEND))

from reader_memory import MEASURES as MEMORY_MEASURES  # noqa: E402
from tests.faults.launcher import Ground, open_ground  # noqa: E402
from tests.faults.recoveries import RECOVERIES, Recovery, measure  # noqa: E402

_AS_SHIPPED = {
    "AGENT_WORKER__LEASE_SECONDS": "30",
    "AGENT_WORKER__REAP_SECONDS": "5",
    "AGENT_WORKER__DRAIN_SECONDS": "25",
    "AGENT_SERVER__DRAIN_SECONDS": "10",
}
_PACE_SECONDS = 0.05
_WORDS = 100


async def _rounds(ground: Ground, recovery: Recovery, rounds: int) -> list[float]:
    async def one() -> float:
        return await measure(ground, recovery, words=_WORDS, pace=_PACE_SECONDS, **_AS_SHIPPED)

    if recovery.alone:
        return [await one() for _ in range(rounds)]
    return await asyncio.gather(*(one() for _ in range(rounds)))


async def _main(rounds: int, only: str, directory: Path) -> int:
    missed = 0
    async with open_ground(directory) as ground:
        print("| fault | promised | median | worst | rounds |\n| --- | --- | --- | --- | --- |")
        for recovery in RECOVERIES:
            if only not in recovery.measure.__name__:
                continue
            times = await _rounds(ground, recovery, rounds)
            missed += max(times) > recovery.promised_seconds
            print(
                f"| {recovery.title} | {recovery.promised_seconds:g} s | {statistics.median(times):.2f} s "
                f"| {max(times):.2f} s | {rounds} |",
                flush=True,
            )
        print(
            "\n| readers of one API process | MiB before | MiB, most | a reader "
            "| cores: API | Postgres | Valkey | all |\n| --- | --- | --- | --- | --- | --- | --- | --- |"
        )
        for title, readers, memory in MEMORY_MEASURES:
            if only not in getattr(memory, "func", memory).__name__:
                continue
            growth = await memory(ground, readers)
            missed += not growth.bounded
            print(f"| {title} | {growth.row(readers)} |", flush=True)
    return int(missed > 0)


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description="Measures how long the service needs to get over a fault.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="part of a measure's name, such as redis or readers")
    options = parser.parse_args()
    # The model's callers are killed in the middle of its answers.
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    os.chdir(_BACKEND)
    with tempfile.TemporaryDirectory(prefix="recovery-") as directory:
        sys.exit(asyncio.run(_main(options.rounds, options.only, Path(directory))))


if __name__ == "__main__":
    main()
