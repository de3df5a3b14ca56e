"""The service gets over each fault and loses nothing but time.

How long it takes is no matter of a test: ``bench/recovery.py`` holds the times to what is promised.
"""

from __future__ import annotations

import asyncio
import itertools

import pytest
from tests.faults.launcher import AGENTS, Ground
from tests.faults.recoveries import RECOVERIES, Recovery, measure

LEASE_SECONDS = 9.0
"""Run out for real in one of the faults. A busy worker renews it in time: it may be late by two thirds."""
DRAIN_SECONDS = 120
"""Longer than any answer here takes on a busy machine: a worker that drains ends its runs, and waits for no time."""
TOGETHER = [recovery for recovery in RECOVERIES if not recovery.alone]


async def play(ground: Ground, recovery: Recovery, agent: str) -> None:
    times = {
        "AGENT_WORKER__LEASE_SECONDS": str(LEASE_SECONDS),
        "AGENT_WORKER__DRAIN_SECONDS": str(DRAIN_SECONDS),
    }
    await measure(ground, recovery, words=60, pace=0.03, agent=agent, **times)


@pytest.mark.slow
async def test_a_fault_in_a_service_costs_time_and_nothing_else(ground: Ground) -> None:
    async with asyncio.TaskGroup() as services:
        for recovery, agent in itertools.product(TOGETHER, AGENTS):
            services.create_task(play(ground, recovery, agent))


@pytest.mark.slow
@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize(
    "recovery",
    [recovery for recovery in RECOVERIES if recovery.alone],
    ids=lambda recovery: recovery.measure.__name__,
)
async def test_a_fault_of_a_server_costs_time_and_nothing_else(
    ground: Ground, recovery: Recovery, agent: str
) -> None:
    await play(ground, recovery, agent)
