"""One seed of chaos; ``python -m tests.faults.chaos`` runs more, and longer."""

from __future__ import annotations

import pytest
from tests.faults.chaos import run_seed, table
from tests.faults.launcher import Ground


@pytest.mark.slow
async def test_chaos_breaks_no_promise(ground: Ground) -> None:
    report = await run_seed(ground, seed=1, seconds=20)
    print(table([report]))
    assert [str(violation) for violation in report.violations] == []
    assert len(report.evidence.runs) >= 10, "there was something to break"
    assert report.evidence.faults
