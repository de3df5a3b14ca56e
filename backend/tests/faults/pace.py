"""How a process of the kit takes its time: patient where a busy machine is slow, quick where a test would only wait."""

from __future__ import annotations

import os

from tests.support.limits import HUNG_SECONDS

from agentroute import preflight
from core.agentscope.runtime.work import reaper

REAPER_VARIABLE = "FAULTS_REAPER_SECONDS"
"""How long reapers rest and pause. They rest because leases cannot be renewed while Postgres is away: only for
services whose Postgres never goes."""


def set_pace() -> None:
    """Set the pace of this process, before it starts."""
    # A start-up check that runs out of time would be a service that does not start.
    preflight.TIMEOUT_SECONDS = HUNG_SECONDS
    if REAPER_VARIABLE not in os.environ:
        return
    pace = float(os.environ[REAPER_VARIABLE])
    rest = reaper.Reaper._rest

    def rest_briefly(self: reaper.Reaper, seconds: float) -> None:
        rest(self, min(seconds, pace))

    reaper.PICKUP_SECONDS = pace
    reaper.Reaper._rest = rest_briefly
