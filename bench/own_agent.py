"""What an agent of a user's own code costs beside the profile's: CPU of a run's stages, as a ratio.

    cd backend && .venv/bin/python -P ../bench/own_agent.py

The model is in memory, so nothing but this process works. The runs take turns, so that a busy machine slows both.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "backend"))

from agentscope.agent import Agent
from tests.support.stage_run import Run

RUNS = 200
WORDS = ["word "] * 100


def same_model(run: Any) -> Agent:
    """Make an agent as a script does, with the profile's model."""
    return Agent("shop", "Be brief.", run.model)


async def async_factory(run: Any) -> Agent:
    """Make the same without a thread."""
    return same_model(run)


async def _cpu_ms(make: Callable[[], Run]) -> float:
    run = make()
    before = time.process_time()
    await run.run()
    return (time.process_time() - before) * 1000


async def main() -> None:
    """Print the median CPU of each kind of agent, and the ratio to the profile's."""
    kinds: dict[str, Callable[[], Run]] = {
        "the profile's agent": lambda: Run(WORDS),
        "async factory": lambda: Run(WORDS, factory=async_factory),
        "plain factory": lambda: Run(WORDS, factory=same_model),
    }
    took: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(RUNS):
        for name, make in kinds.items():
            took[name].append(await _cpu_ms(make))
    base = statistics.median(took["the profile's agent"])
    for name, each in took.items():
        median = statistics.median(each)
        print(f"{name:20} {median:6.2f} ms  ratio {median / base:.2f}")


if __name__ == "__main__":
    asyncio.run(main())
