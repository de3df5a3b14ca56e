"""Ten thousand fires of schedules, over a night in which clocks are changed, while the workers that fire them die.

    uv run --project backend python bench/schedules.py

Starts a Postgres of its own whose clock goes faster than the real one. Prints a Markdown table, and exits with 1 when a
fire was doubled, or missed beyond the policy of its schedule.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

_BACKEND = Path(__file__).resolve().parents[1] / "backend"
sys.path.insert(0, str(_BACKEND))

from tests.faults.schedule_drill import Night, play  # noqa: E402
from tests.support.ports import reserved_port  # noqa: E402

from agentroute import migrations  # noqa: E402
from agentroute.embedded.local_postgres import LocalPostgres  # noqa: E402

_PER_SCHEDULE = 18
"""Instants of a schedule in the night, about."""


async def _main(fires: int, firers: int, seed: int, pace: float, folder: Path) -> int:
    schedules = fires // _PER_SCHEDULE + 1
    with LocalPostgres(
        folder / "postgres", port=reserved_port(), settings={"max_connections": "200"}
    ) as server:
        await migrations.upgrade(server.url)
        night = await play(
            server.url, schedules=schedules, firers=firers, seed=seed, pace=pace, seconds=3600.0
        )
    _show(night, schedules, firers)
    return 1 if night.faults or night.accepted + night.missed < fires else 0


def _show(night: Night, schedules: int, firers: int) -> None:
    deaths = ", ".join(f"{count} {kind}" for kind, count in sorted(night.deaths.items()))
    print("| schedules | firers | instants | fired | missed by policy | tries | deaths | faults | time |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    print(
        f"| {schedules} | {firers} | {night.expected} | {night.accepted} | {night.missed} | {night.tries} | {deaths} "
        f"| {len(night.faults)} | {night.seconds:.0f} s |"
    )
    for fault in night.faults[:20]:
        print(f"\n- {fault}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fires", type=int, default=10_000)
    parser.add_argument("--firers", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pace", type=float, default=400.0, help="how many times as fast as the real clock")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        sys.exit(
            asyncio.run(
                _main(arguments.fires, arguments.firers, arguments.seed, arguments.pace, Path(directory))
            )
        )
