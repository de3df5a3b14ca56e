"""Every end of a run is told to every endpoint, signed, at least once with one id; an endpoint harms nobody but itself."""

from __future__ import annotations

import asyncio
import base64
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from standardwebhooks import WebhookVerificationError
from tests.support.manual_worker import manual_reaper
from tests.support.stack import OpenStack, Stack, Web, eventually
from tests.support.webhook_receiver import (
    NEXT_SECRET,
    SECRET,
    Delivery,
    WebhookReceiver,
    endpoint,
    webhook_receiver,
)

from agentroute.webhook_loop import open_webhooks
from core.agentscope.runtime.work.chores import Turns
from core.connections.rotation import rotate
from core.connections.vault import Vault
from core.database import create_engine
from core.metrics.catalogue import WEBHOOK_TRIES
from core.webhooks import endpoints as known_endpoints
from core.webhooks import schedule
from core.webhooks.deliverer import WebhookDeliverer

KEY = base64.b64encode(bytes(range(32))).decode()
OTHER_KEY = base64.b64encode(bytes(range(1, 33))).decode()
MISSED = """
SELECT r.run_id FROM agent_run AS r WHERE r.ended_at IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM agent_webhook_message AS m
    WHERE m.run_pk = r.id AND m.lane = 'all' AND m.type = 'run.' || r.status)
"""
DOUBLED = "SELECT run_pk, lane FROM agent_webhook_message GROUP BY run_pk, lane HAVING count(*) > 1"


FIRST_PAUSE = 600
"""Seconds. As it ships, it would be over when a busy machine looks."""


@pytest.fixture(autouse=True)
def _nothing_is_due_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "PAUSES_SECONDS", (FIRST_PAUSE, *schedule.PAUSES_SECONDS[1:]))


@pytest.fixture(scope="module")
async def receiver() -> AsyncIterator[WebhookReceiver]:
    async with webhook_receiver() as receiver:
        yield receiver


def sections(receiver: WebhookReceiver) -> dict[str, Any]:
    host = receiver.url.removeprefix("http://")
    return {
        "secrets": {"key": KEY},
        "server": {"public_url": "https://agents.example.com"},
        "webhooks": {
            "endpoints": [
                endpoint(receiver, "all", secrets=[SECRET, NEXT_SECRET]),
                endpoint(receiver, "failures", events=["run.failed"], approval_links=False),
                endpoint(receiver, "slow"),
                endpoint(receiver, "gone", events=["run.cancelled"]),
            ],
            "run_hosts": [host],
            "private_hosts": [host],
        },
    }


@pytest.fixture(scope="module")
async def stack(open_stack: OpenStack, receiver: WebhookReceiver) -> AsyncIterator[Stack]:
    async with open_stack(**sections(receiver)) as stack:
        yield stack


async def told(receiver: WebhookReceiver, run: str, path: str = "/all") -> Delivery:
    [delivery] = await receiver.got(path, runId=run)
    return delivery


# --- what is told -----------------------------------------------------------------------


async def test_a_run_that_succeeds_is_told_with_what_it_used(stack: Stack, receiver: WebhookReceiver) -> None:
    body = stack.run_body("hello")
    await stack.stream_run(body=body)

    delivery = await told(receiver, body["runId"])

    assert delivery.type == "run.succeeded"
    assert delivery.data["threadId"] == body["threadId"]
    assert delivery.data["userId"] == "ada"
    assert delivery.data["status"] == "succeeded"
    assert delivery.data["usage"]["outputTokens"] > 0
    assert delivery.json["timestamp"] == delivery.data["endedAt"]
    assert delivery.headers["content-type"] == "application/json"
    # During a rotation, a receiver may know the old secret or the new one.
    assert delivery.verified(SECRET, NEXT_SECRET)
    with pytest.raises(WebhookVerificationError):
        delivery.verified("whsec_" + base64.b64encode(bytes(24)).decode())


async def test_a_failure_is_told_with_its_code_and_only_to_who_wants_it(
    stack: Stack, receiver: WebhookReceiver
) -> None:
    body = stack.run_body("fail")
    await stack.stream_run(body=body)

    for path in ("/all", "/failures"):
        delivery = await told(receiver, body["runId"], path)
        assert delivery.type == "run.failed"
        assert delivery.data["errorCode"].startswith("model-")
    assert {each.type for each in receiver.of("/failures")} == {"run.failed"}


async def test_a_question_is_told_with_links_unless_the_endpoint_wants_none(
    stack: Stack, receiver: WebhookReceiver, web: Web
) -> None:
    body = stack.run_body(f"fetch {web.url}/told")
    parked = await stack.stream_run(body=body)

    delivery = await told(receiver, body["runId"])

    assert delivery.type == "run.interrupted"
    [asked] = delivery.data["interrupts"]
    [interrupt] = parked.interrupts
    assert asked["id"] == interrupt["id"]
    assert asked["toolName"] == "fetch_url"
    assert asked["message"] == interrupt["message"]
    for name in ("approveUrl", "denyUrl"):
        assert asked[name].startswith("https://agents.example.com/api/v1/agent/approvals/arl_")
    assert asked["approveUrl"] != asked["denyUrl"]


async def test_no_end_of_a_run_is_forgotten(stack: Stack) -> None:
    """Ends by the API, by the reaper, without a worker, of a waiting run: all of them are in the outbox."""
    # A run whose worker is lost after it has said something.
    slow = stack.run_body("count slowly to 500")
    async with stack.open_run(body=slow) as stream:
        await stream.until("TEXT_MESSAGE_CONTENT")
        behind = stack.run_body("hello", thread=slow["threadId"], forwardedProps={"onBusy": "enqueue"})
        await stack.post_run(body=behind)
        # Waiting, and cancelled before its turn.
        assert (await stack.cancel(slow["threadId"], behind["runId"])).status == 202
        assert (await stack.cancel(slow["threadId"], slow["runId"])).status in {200, 202}
        await stream.to_end()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(stack.stream_run("hello"))
    for row in await stack.runs(slow["threadId"]):
        assert row["status"] == "cancelled"
    await stack.ended(slow["threadId"])
    assert await stack.fetch(MISSED) == []
    assert await stack.fetch(DOUBLED) == []


async def test_ends_without_any_worker_are_in_the_outbox(
    open_stack: OpenStack, receiver: WebhookReceiver
) -> None:
    async with open_stack(workers=0, **sections(receiver)) as stack:
        engine = create_engine(stack.settings.database, application_name="agentroute-test")
        try:
            await known_endpoints.sync_endpoints(engine, stack.settings.webhooks.endpoints)
        finally:
            await engine.dispose()
        cancelled, late, lost = (stack.run_body("hello") for _ in range(3))
        for body in (cancelled, late, lost):
            await stack.post_run(body=body)
        await stack.cancel(cancelled["threadId"], cancelled["runId"])
        await stack.fetch("UPDATE agent_run SET queue_deadline_at = now() WHERE run_id = $1", late["runId"])
        await stack.fetch(
            """UPDATE agent_run SET status = 'running', attempt = 9, lease_until = now(), started_at = now()
            WHERE run_id = $1""",
            lost["runId"],
        )
        async with manual_reaper(stack.settings) as reaper:
            await reaper.reap()

        rows = await stack.fetch(
            "SELECT r.run_id, m.type FROM agent_webhook_message AS m JOIN agent_run AS r ON r.id = m.run_pk WHERE lane = 'all'"
        )
        assert {row["run_id"]: row["type"] for row in rows} == {
            cancelled["runId"]: "run.cancelled",
            late["runId"]: "run.failed",
            lost["runId"]: "run.failed",
        }
        # A deleted thread takes its messages with it.
        assert (await stack.request("DELETE", f"/threads/{late['threadId']}")).status == 204
        left = await stack.fetch("SELECT DISTINCT run_pk FROM agent_webhook_message WHERE lane = 'all'")
        assert len(left) == 2


# --- endpoints that fail ----------------------------------------------------------------


@asynccontextmanager
async def deliverer(stack: Stack) -> AsyncIterator[WebhookDeliverer]:
    """A worker's deliveries, step by step."""
    engine = create_engine(stack.settings.database, application_name="agentroute-test")
    try:
        yield await open_webhooks(stack.settings, engine, Turns(engine))
    finally:
        await engine.dispose()


@pytest.fixture(scope="module")
async def alone() -> AsyncIterator[WebhookReceiver]:
    """Another receiver: workers of the other stack send to the first one when they like."""
    async with webhook_receiver() as alone:
        yield alone


@pytest.fixture(scope="module")
async def idle(open_stack: OpenStack, alone: WebhookReceiver) -> AsyncIterator[Stack]:
    """A stack whose messages only the test delivers: one run that was cancelled, without a worker."""
    async with open_stack(workers=0, **sections(alone)) as stack:
        yield stack


async def cancelled_run(stack: Stack, webhook: dict[str, str] | None = None) -> str:
    """End a run; returns its id."""
    # The receiver has seen the run ids of other stacks.
    body = stack.run_body("hello", run=f"run-{uuid.uuid4().hex}")
    accepted = await stack.post_run(body=body, headers=webhook)
    assert accepted.status == 202, accepted.body
    await stack.cancel(body["threadId"], body["runId"])
    return body["runId"]


async def step(deliveries: WebhookDeliverer) -> None:
    """Deliver what is due."""
    while await deliveries.tend():
        await deliveries.idle()


async def message_of(stack: Stack, run: str, lane: str = "all") -> dict[str, Any]:
    [row] = await stack.fetch(
        """SELECT m.*, m.next_at - clock_timestamp() AS pause FROM agent_webhook_message AS m
        JOIN agent_run AS r ON r.id = m.run_pk WHERE r.run_id = $1 AND m.lane = $2""",
        run,
        lane,
    )
    return row


async def make_due(stack: Stack) -> None:
    await stack.fetch("UPDATE agent_webhook_message SET next_at = now() WHERE state = 'pending'")


async def test_a_failed_try_is_made_again_with_the_same_id_and_body(
    idle: Stack, alone: WebhookReceiver
) -> None:
    alone.will_answer("/all", 500, 302)
    async with deliverer(idle) as deliveries:
        run = await cancelled_run(idle)
        await step(deliveries)
        first = await message_of(idle, run)
        assert (first["state"], first["attempts"], first["last_error"]) == ("pending", 1, "status 500")
        assert timedelta(seconds=FIRST_PAUSE - 60) < first["pause"] <= timedelta(seconds=1.1 * FIRST_PAUSE)
        await make_due(idle)
        await step(deliveries)
        second = await message_of(idle, run)
        # A redirect is no success, and is not followed.
        assert (second["attempts"], second["last_error"]) == (2, "status 302")
        assert timedelta(minutes=4) < second["pause"] < timedelta(minutes=6)
        await make_due(idle)
        await step(deliveries)

    assert (await message_of(idle, run))["state"] == "delivered"
    tries = alone.of("/all", runId=run)
    assert len(tries) == 3
    assert len({each.id for each in tries}) == 1
    assert len({each.body for each in tries}) == 1
    assert all(each.verified(SECRET) for each in tries)


async def test_after_the_last_try_a_message_is_given_up_until_it_is_replayed(
    idle: Stack, alone: WebhookReceiver
) -> None:
    alone.will_answer("/all", 500)
    async with deliverer(idle) as deliveries:
        run = await cancelled_run(idle)
        await idle.fetch(
            "UPDATE agent_webhook_message SET attempts = 9 WHERE lane = 'all' AND state = 'pending'"
        )
        await step(deliveries)
        assert (await message_of(idle, run))["state"] == "failed"
        engine = deliveries._outbox._engine
        assert await known_endpoints.replay_failed(engine, "all", since=None) == 1
        await step(deliveries)
    assert (await message_of(idle, run))["state"] == "delivered"
    assert len({each.id for each in alone.of("/all", runId=run)}) == 1


async def test_retry_after_is_respected_and_the_lane_rests(idle: Stack, alone: WebhookReceiver) -> None:
    alone.will_answer("/all", 429, retry_after="3600")
    async with deliverer(idle) as deliveries:
        run = await cancelled_run(idle)
        await step(deliveries)
        assert timedelta(minutes=59) < (await message_of(idle, run))["pause"] < timedelta(minutes=61)
        later = await cancelled_run(idle)
        await step(deliveries)
        assert alone.of("/all", runId=later) == []
        # Others do not rest.
        assert alone.of("/slow", runId=later)
    async with deliverer(idle) as deliveries:
        await make_due(idle)
        await step(deliveries)
    assert alone.of("/all", runId=later)


async def test_an_endpoint_that_is_gone_gets_nothing_until_it_is_enabled(
    idle: Stack, alone: WebhookReceiver
) -> None:
    alone.will_answer("/gone", 410)
    gone_before = WEBHOOK_TRIES.read().get(("gone",), 0)
    async with deliverer(idle) as deliveries:
        first = await cancelled_run(idle)
        await step(deliveries)
        second = await cancelled_run(idle)
        await make_due(idle)
        await step(deliveries)
        assert alone.of("/gone", runId=second) == []
        assert WEBHOOK_TRIES.read()[("gone",)] == gone_before + 1
        engine = deliveries._outbox._engine
        [known] = [each for each in await known_endpoints.list_endpoints(engine) if each.name == "gone"]
        assert known.disabled_at is not None
        assert (known.pending, known.last_error) == (2, "status 410")

        assert await known_endpoints.enable_endpoint(engine, "gone") == 1
        assert await known_endpoints.enable_endpoint(engine, "no-such") is None
        await step(deliveries)
    for run in (first, second):
        assert (await message_of(idle, run, "gone"))["state"] == "delivered"
    assert len({each.id for each in alone.of("/gone", runId=first)}) == 1


async def test_a_worker_with_older_settings_does_not_press_who_is_gone(
    idle: Stack, alone: WebhookReceiver
) -> None:
    alone.will_answer("/gone", 410)
    async with deliverer(idle) as deliveries:
        run = await cancelled_run(idle)
        # A worker with newer settings does not know the endpoint any more.
        await idle.fetch("DELETE FROM agent_webhook_endpoint WHERE name = 'gone'")
        await step(deliveries)
    left = await message_of(idle, run, "gone")
    assert (left["state"], left["attempts"]) == ("pending", 0)
    assert left["pause"] > timedelta(seconds=30)
    assert len(alone.of("/gone", runId=run)) == 1


async def test_enabling_waits_for_a_worker_that_notes_a_try(idle: Stack) -> None:
    run = await cancelled_run(idle)
    engine = create_engine(idle.settings.database, application_name="agentroute-test")
    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    try:
        await idle.fetch(
            "UPDATE agent_webhook_message SET attempts = 1 WHERE lane = 'all' AND state = 'pending'"
        )
        async with engine.begin() as worker:
            pending = (
                "SELECT 1 FROM agent_webhook_message WHERE lane = 'all' AND state = 'pending' FOR UPDATE"
            )
            await worker.execute(text(pending))
            enabling = asyncio.create_task(known_endpoints.enable_endpoint(engine, "all"))

            async def waits() -> bool:
                return bool(await idle.fetch(waiting))

            await eventually(waits)
            await worker.execute(text("UPDATE agent_webhook_endpoint SET failures = 1 WHERE name = 'all'"))
        assert await enabling
    finally:
        await engine.dispose()
    assert (await message_of(idle, run))["pause"] <= timedelta(0)


async def test_an_endpoint_that_hangs_stops_nobody_else(idle: Stack, alone: WebhookReceiver) -> None:
    answer = alone.hanging["/slow"] = asyncio.Event()
    async with deliverer(idle) as deliveries:
        runs = [await cancelled_run(idle) for _ in range(6)]

        async def all_have_come() -> bool:
            # More than the places of a lane: those that answer are free again when their answers are noted.
            await deliveries.tend()
            return all(alone.of("/all", runId=run) for run in runs)

        await eventually(all_have_come)
        assert len([each for run in runs for each in alone.of("/slow", runId=run)]) <= 4
        answer.set()
        del alone.hanging["/slow"]
        await deliveries.idle()
        await step(deliveries)
    for run in runs:
        assert (await message_of(idle, run, "slow"))["state"] == "delivered"


async def test_workers_share_the_messages_and_a_lease_that_ends_gives_them_to_another(
    idle: Stack, alone: WebhookReceiver
) -> None:
    async with deliverer(idle) as one, deliverer(idle) as other:
        runs = [await cancelled_run(idle) for _ in range(8)]
        await asyncio.gather(step(one), step(other))
        for run in runs:
            assert len(alone.of("/all", runId=run)) == 1
        # A worker that died between its claim and its note.
        lost = await cancelled_run(idle)
        rooms = {"all": 4}
        assert [each.run["run_id"] for each in await one._outbox.claim(rooms)] == [lost]
        assert await other._outbox.claim(rooms) == []
        await make_due(idle)
        await step(other)
    assert (await message_of(idle, lost))["attempts"] == 0
    assert len(alone.of("/all", runId=lost)) == 1


async def test_what_is_old_is_forgotten(idle: Stack) -> None:
    run = await cancelled_run(idle, webhook_headers(idle))
    await idle.fetch("UPDATE agent_webhook_message SET created_at = now() - interval '8 days'")
    await idle.fetch("UPDATE agent_run_webhook SET created_at = now() - interval '8 days'")
    async with deliverer(idle) as deliveries:
        await deliveries._outbox.forget(days=7, rows=1000)
    assert await idle.fetch("SELECT 1 FROM agent_webhook_message") == []
    assert len(await idle.fetch("SELECT 1 FROM agent_run_webhook")) == 1, "its run has ended just now"
    await idle.fetch("UPDATE agent_run SET ended_at = now() - interval '8 days' WHERE run_id = $1", run)
    async with deliverer(idle) as deliveries:
        await deliveries._outbox.forget(days=7, rows=1000)
    assert await idle.fetch("SELECT 1 FROM agent_run_webhook") == []


# --- the endpoint of a run --------------------------------------------------------------


def webhook_headers(stack: Stack, path: str = "/of-a-run", secret: str = NEXT_SECRET) -> dict[str, str]:
    [host] = stack.settings.webhooks.run_hosts
    return {"Webhook-Url": f"http://{host}{path}?token=a-secret-of-the-receiver", "Webhook-Secret": secret}


async def test_a_run_names_an_endpoint_and_the_run_that_goes_on_with_it_keeps_it(
    stack: Stack, receiver: WebhookReceiver, web: Web
) -> None:
    body = stack.run_body(f"fetch {web.url}/of-a-run")
    headers = webhook_headers(stack) | {"Accept": "text/event-stream"}
    parked = await stack.request("POST", "/runs", json=body, headers=headers)
    asked = await told(receiver, body["runId"], "/of-a-run")
    assert asked.type == "run.interrupted"
    assert asked.verified(NEXT_SECRET)

    answers = [
        {"interruptId": parked.interrupts[0]["id"], "status": "resolved", "payload": {"approved": False}}
    ]
    resumed = stack.run_body(thread=body["threadId"], resume=answers)
    await stack.stream_run(body=resumed, path="/resume")
    assert (await told(receiver, resumed["runId"], "/of-a-run")).type == "run.succeeded"

    # Neither the address nor the secret is anywhere in the database.
    found = await stack.fetch(
        "SELECT r::text || w::text AS row FROM agent_run AS r JOIN agent_run_webhook AS w ON w.run_pk = r.id"
    )
    assert len(found) == 2
    assert not any("a-secret-of-the-receiver" in row["row"] or NEXT_SECRET in row["row"] for row in found)


async def test_the_secrets_of_runs_are_encrypted_anew(idle: Stack, alone: WebhookReceiver) -> None:
    run = await cancelled_run(idle, webhook_headers(idle, "/rotated"))
    keys = f"{OTHER_KEY} {KEY}"
    settings = idle.settings.model_copy(
        update={"secrets": idle.settings.secrets.model_validate({"key": keys})}
    )
    engine = create_engine(settings.database, application_name="agentroute-test")
    try:
        done = await rotate(engine, Vault.of(settings.secrets))
        assert (done.written, done.unreadable) == (1, 0)
        changed = settings.model_copy(update={"secrets": settings.secrets.model_validate({"key": OTHER_KEY})})
        await step(await open_webhooks(changed, engine, Turns(engine)))
    finally:
        await engine.dispose()
    assert (await told(alone, run, "/rotated")).verified(NEXT_SECRET)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Webhook-Url": "https://elsewhere.example.com/", "Webhook-Secret": SECRET}, "url-not-allowed"),
        ({"Webhook-Url": "http://169.254.169.254/latest", "Webhook-Secret": SECRET}, "url-not-allowed"),
        ({"Webhook-Url": "https://example.com/"}, "invalid-request"),
        ({"Webhook-Secret": SECRET}, "invalid-request"),
        ({"Webhook-Url": "nowhere", "Webhook-Secret": SECRET}, "invalid-request"),
        ({"Webhook-Url": "https://[::1/", "Webhook-Secret": SECRET}, "invalid-request"),
        ({"Webhook-Url": "HOST", "Webhook-Secret": "short"}, "invalid-request"),
    ],
)
async def test_what_a_run_may_not_name_is_refused_before_it_begins(
    idle: Stack, headers: dict[str, str], code: str
) -> None:
    allowed = webhook_headers(idle)["Webhook-Url"]
    sent = {name: value.replace("HOST", allowed) for name, value in headers.items()}
    body = idle.run_body("hello")
    problem = (await idle.post_run(body=body, headers=sent)).problem(422, code)
    assert "short" not in problem["detail"]
    assert await idle.runs(body["threadId"]) == []


async def test_without_leave_no_run_names_an_endpoint(open_stack: OpenStack) -> None:
    async with open_stack(workers=0) as stack:
        headers = {"Webhook-Url": "https://example.com/", "Webhook-Secret": SECRET}
        (await stack.post_run("hello", headers=headers)).problem(422, "url-not-allowed")


async def test_an_endpoint_taken_out_of_the_settings_is_told_nothing_more(
    open_stack: OpenStack, alone: WebhookReceiver
) -> None:
    async with open_stack(workers=0, **sections(alone)) as stack:
        engine = create_engine(stack.settings.database, application_name="agentroute-test")
        try:
            await known_endpoints.sync_endpoints(engine, stack.settings.webhooks.endpoints)
            await known_endpoints.sync_endpoints(engine, stack.settings.webhooks.endpoints[:1])
            await cancelled_run(stack)
            rows = await stack.fetch("SELECT lane FROM agent_webhook_message")
            assert [row["lane"] for row in rows] == ["all"]
            await known_endpoints.sync_endpoints(engine, ())
            await cancelled_run(stack)
            assert len(await stack.fetch("SELECT 1 FROM agent_webhook_message")) == 1
        finally:
            await engine.dispose()


async def test_a_worker_delivers_again_after_an_outage_of_the_endpoint(
    stack: Stack, receiver: WebhookReceiver
) -> None:
    receiver.will_answer("/all", 503)
    body = stack.run_body("hello")
    await stack.stream_run(body=body)
    [first] = await receiver.got("/all", runId=body["runId"])

    async def noted() -> bool:
        row = await message_of(stack, body["runId"])
        return row["attempts"] == 1

    await eventually(noted)
    await make_due(stack)
    _, second = await receiver.got("/all", 2, runId=body["runId"])
    assert first.id == second.id
