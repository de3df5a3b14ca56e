"""A worker learns the database's time with each claim."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.support.stack import OpenStack

from core.agentscope.runtime.work.leases import Leases
from core.database import create_engine
from core.store_clock import StoreClock


async def test_a_worker_with_a_wrong_clock_learns_the_time_with_its_claim(open_stack: OpenStack) -> None:
    clock = StoreClock(lambda: datetime.now(UTC) - timedelta(days=3))
    async with open_stack(workers=0) as stack:
        thread = stack.new_id("clock")
        await stack.post_run("hello", thread=thread)
        (row,) = await stack.runs(thread)
        engine = create_engine(stack.settings.database, application_name="agentroute-test")
        try:
            run = await Leases(engine, stack.settings, "worker-1", clock).claim(row["id"])
        finally:
            await engine.dispose()

    assert run is not None
    # Room for a slow machine: the difference to find is three days.
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(hours=1)
