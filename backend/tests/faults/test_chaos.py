"""One seed of chaos; ``python -m tests.faults.chaos`` runs more, and longer."""

from __future__ import annotations

import os

import pytest
from tests.faults.chaos import run_seed, table
from tests.faults.launcher import Ground

SECONDS = float(os.environ.get("FAULTS_CHAOS_SECONDS", "20"))
"""CI takes 30. A whole figure is ``python -m tests.faults.chaos --seeds 3 --seconds 60``."""


@pytest.mark.slow
async def test_chaos_breaks_no_promise(ground: Ground) -> None:
    report = await run_seed(ground, seed=1, seconds=SECONDS)
    print(table([report]))
    assert [str(violation) for violation in report.violations] == []
    assert len(report.evidence.runs) >= 10, "there was something to break"
    assert report.evidence.faults
