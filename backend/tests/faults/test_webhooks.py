"""Workers die at every point around an end and its message: each end is told at least once, with one id, and none is lost."""

from __future__ import annotations

import contextlib
import json
import os
from collections import defaultdict

import pytest
from tests.faults.chaos import run_seed
from tests.faults.launcher import Ground, Plot, eventually, http_client
from tests.faults.recorder import Owner, Recorder
from tests.support.webhook_receiver import SECRET, WebhookReceiver, endpoint, webhook_receiver

from core.crash_points import EXIT_CODE, POINTS

AROUND = (
    "end-before-commit",
    "end-committed",
    *sorted(name for name in POINTS if name.startswith("webhook-")),
)
SEEDS = int(os.environ.get("WEBHOOKS_CHAOS_SEEDS", "1"))
"""``WEBHOOKS_CHAOS_SEEDS=20 script/test tests/faults/test_webhooks.py`` plays twenty."""
SECONDS = float(os.environ.get("WEBHOOKS_CHAOS_SECONDS", "10"))

_HURRY = "UPDATE agent_webhook_message SET next_at = clock_timestamp() WHERE state = 'pending'"
_ENDED = "SELECT id, run_id, status FROM agent_run WHERE ended_at IS NOT NULL"
_MESSAGES = "SELECT run_pk, message_id, type, state FROM agent_webhook_message"


def told_to(receiver: WebhookReceiver) -> dict[str, str]:
    return {"AGENT_WEBHOOKS__ENDPOINTS": json.dumps([endpoint(receiver, "all")])}


async def all_told(plot: Plot) -> bool:
    """Whether every message was taken. Leases of workers that died end at once."""
    await plot.fetch(_HURRY)
    return bool(await plot.fetch(_ENDED)) and all(
        row["state"] == "delivered" for row in await plot.fetch(_MESSAGES)
    )


async def check(plot: Plot, receiver: WebhookReceiver) -> None:
    """Check what was told against what has ended."""
    ended = {row["id"]: row for row in await plot.fetch(_ENDED)}
    rows = await plot.fetch(_MESSAGES)
    messages = {row["run_pk"]: row for row in rows}
    assert len(rows) == len(messages), "one message for each end"
    assert messages.keys() == ended.keys(), "none is missing"
    ids: defaultdict[str, set[str]] = defaultdict(set)
    for delivery in receiver.deliveries:
        assert delivery.verified(SECRET)
        ids[delivery.id].add(delivery.type)
    assert ids == {
        f"msg_{row['message_id'].hex}": {f"run.{ended[run_pk]['status']}"} for run_pk, row in messages.items()
    }


async def test_deaths_around_an_end_lose_no_message_and_change_no_id(ground: Ground) -> None:
    async with (
        webhook_receiver() as receiver,
        ground.plot(told_to(receiver), AGENT_WORKER__LEASE_SECONDS="1") as plot,
        http_client() as client,
    ):
        await plot.start("api")
        recorder = Recorder(plot, client)
        for point in AROUND:
            # What the one before left may be due already: then it dies before it is seen to be ready.
            with contextlib.suppress(RuntimeError):
                await plot.start("worker", crash_point=point)
            worker = plot.nodes[-1]
            wish = recorder.wish(words=2)
            body = recorder.body(wish, f"thread-{wish.run_id}")
            assert await recorder.post(Owner(), body, kind="post") in {200, 202}
            assert await worker.wait() == EXIT_CODE, point
        await plot.start("worker")

        async def at_rest() -> bool:
            unended = await plot.fetch("SELECT 1 FROM agent_run WHERE ended_at IS NULL")
            return not unended and await all_told(plot)

        await eventually(at_rest)
        await check(plot, receiver)
        # The one that died after it had sent has sent twice.
        assert len(receiver.deliveries) > len({each.id for each in receiver.deliveries})


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, SEEDS + 1))
async def test_every_end_is_told_through_chaos(ground: Ground, seed: int) -> None:
    async with webhook_receiver() as receiver:

        async def told(plot: Plot) -> None:
            await eventually(lambda: all_told(plot))
            await check(plot, receiver)
            sent, ids = len(receiver.deliveries), len({each.id for each in receiver.deliveries})
            print(f"seed {seed}: {ids} messages, {sent - ids} sent more than once")

        report = await run_seed(ground, seed=seed, seconds=SECONDS, env=told_to(receiver), at_end=told)
    assert report.violations == []
