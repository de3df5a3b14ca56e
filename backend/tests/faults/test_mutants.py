"""The checker sees: each broken service is reported, and the sound one, under the same fault, is not."""

from __future__ import annotations

import asyncio

import pytest
from tests.faults.launcher import Ground
from tests.faults.scenarios import PROOFS, play


@pytest.mark.parametrize(
    "mutant",
    [pytest.param(name, marks=pytest.mark.slow if name == "split-end" else ()) for name in sorted(PROOFS)],
)
async def test_a_broken_promise_is_reported(ground: Ground, mutant: str) -> None:
    proof = PROOFS[mutant]
    async with asyncio.TaskGroup() as plays:
        sound = plays.create_task(play(ground, proof, ""))
        broken = plays.create_task(play(ground, proof, mutant))
    assert sound.result() == [], "the sound service keeps its promises under this fault"
    found = broken.result()
    broken_runs = {violation.about for violation in found if violation.invariant in proof.breaks}
    assert len(broken_runs) >= proof.runs, [str(item) for item in found]
