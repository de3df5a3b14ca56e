"""Schedules against the whole service: what they fire, for whom, and what becomes of fires that are refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support.stack import OpenStack, Stack, eventually

from core.api_keys.keeper import KeyKeeper
from core.api_keys.key_store import KeyStore
from core.database import create_engine
from core.schedules import firer

DAILY = {"type": "cron", "cron": "0 9 * * *", "timezone": "Europe/Berlin"}


@pytest.fixture(scope="module")
async def stack(open_stack: OpenStack) -> AsyncIterator[Stack]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(firer, "LOOK_SECONDS", 0.05)
        patch.setattr(firer, "_LEAST_WAIT_SECONDS", 0.05)
        async with open_stack(schedules={"max_per_user": 3}, limits={"max_runs_per_user": 5}) as stack:
            yield stack


async def make(stack: Stack, user: str = "ada", **members: Any) -> dict[str, Any]:
    body = {"scheduleId": stack.new_id("schedule"), "trigger": DAILY, "message": "hello"} | members
    made = await stack.request("POST", "/schedules", user=user, json=body)
    assert made.status == 201, made.body
    return made.json


async def read(stack: Stack, made: dict[str, Any], user: str = "ada") -> Any:
    found = await stack.request("GET", f"/schedules/{made['scheduleId']}", user=user)
    assert found.status == 200, found.body
    return found.json


async def late(stack: Stack, made: dict[str, Any], interval: str, *, due: str = "1 minute") -> None:
    """Let a schedule have been undecided for some time."""
    await stack.fetch(
        """UPDATE agent_schedule SET decided_to = now() - $2::text::interval, next_at = now() - $3::text::interval
        WHERE schedule_id = $1""",
        made["scheduleId"],
        interval,
        due,
    )


async def settled(stack: Stack, made: dict[str, Any], user: str = "ada", *, fires: int = 1) -> list[Any]:
    """Wait until all fires of a schedule are settled; newest first."""

    async def found() -> list[Any]:
        last = (await read(stack, made, user))["lastFires"]
        return last if len(last) >= fires and all(fire["state"] != "pending" for fire in last) else []

    return await eventually(found)


async def gone(stack: Stack, made: dict[str, Any], user: str = "ada") -> None:
    assert (await stack.request("DELETE", f"/schedules/{made['scheduleId']}", user=user)).status == 204
    (await stack.request("GET", f"/schedules/{made['scheduleId']}", user=user)).problem(404, "not-found")


async def test_a_schedule_fires_a_run_in_a_thread_of_its_own(stack: Stack) -> None:
    made = await make(stack, name="  Report ", message="what is 6*7", missed="latest")
    assert (made["state"], made["name"], made["lastFires"]) == ("active", "Report", [])
    assert made["nextFireAt"][11:16] in {"07:00", "08:00"}
    assert made["authorizedUntil"] > made["createdAt"]

    await late(stack, made, "1 day")
    (fire,) = await settled(stack, made)

    assert (fire["state"], fire["attempts"], fire["manual"]) == ("accepted", 1, False)
    (run,) = await stack.ended(fire["threadId"])
    assert (run["run_id"], run["status"], run["user_id"]) == (fire["runId"], "succeeded", "ada")
    history = await stack.history(fire["threadId"])
    assert history["messages"][0]["role"] == "user"
    assert "42" in str(history["messages"])
    events = await stack.request("GET", fire["eventsUrl"].removeprefix("/api/v1/agent"))
    assert events.events[-1]["type"] == "RUN_FINISHED"
    listed = await stack.request("GET", "/schedules", params={"limit": 1})
    (item,) = listed.json["schedules"]
    assert (item["scheduleId"], item["lastFire"]["runId"], item["fires"]) == (
        made["scheduleId"],
        fire["runId"],
        1,
    )
    assert item["lastFire"] == fire
    await gone(stack, made)
    # The run and its thread are the user's, and stay.
    assert (await stack.history(fire["threadId"]))["messages"]


async def test_the_same_id_and_body_make_one_schedule(stack: Stack) -> None:
    body = {"scheduleId": stack.new_id("schedule"), "trigger": DAILY, "message": "hello"}
    first = await stack.request("POST", "/schedules", json=body)
    again = await stack.request("POST", "/schedules", json=body | {"threadId": None})
    assert (first.status, again.status) == (201, 200)
    assert first.json == again.json
    other = await stack.request("POST", "/schedules", json=body | {"message": "bye"})
    other.problem(422, "idempotency-mismatch")
    await gone(stack, first.json)


async def test_missed_instants_are_told(stack: Stack) -> None:
    every = {"type": "interval", "everySeconds": 60}
    made = await make(stack, trigger=every, graceSeconds=90)
    await stack.fetch(
        """UPDATE agent_schedule SET decided_to = now() - interval '1 hour', next_at = now() - interval '1 hour',
        form = jsonb_set(form::jsonb, '{trigger,startAt}', to_jsonb(now() - interval '1 day'))::text
        WHERE schedule_id = $1""",
        made["scheduleId"],
    )

    fires = await settled(stack, made, fires=2)

    assert {fire["state"] for fire in fires} == {"accepted", "missed"}
    missed = fires[-1]
    assert (missed["state"], missed["code"]) == ("missed", "missed")
    assert missed["missedFrom"] < missed["fireAt"]
    assert 50 <= missed["missedCount"] <= 60
    assert len(fires) - 1 <= 2
    await gone(stack, made)


async def test_a_fire_waits_behind_a_live_run_or_is_left_out(stack: Stack) -> None:
    thread = stack.new_id("thread")
    waits = await make(stack, threadId=thread, missed="all")
    left_out = await make(stack, threadId=thread, onBusy="skip", missed="all")
    body = stack.run_body("count slowly to 500", thread=thread)
    async with stack.open_run(body=body) as stream:
        await stream.until("TEXT_MESSAGE_CONTENT")
        await late(stack, waits, "1 day")
        await late(stack, left_out, "1 day")
        (accepted,) = await settled(stack, waits)
        (skipped,) = await settled(stack, left_out)
        assert (accepted["state"], skipped["state"], skipped["code"]) == ("accepted", "skipped", "run-active")
        assert (await stack.run_status(thread, accepted["runId"]))["waitsFor"] == "earlier-run"
        await stack.cancel(thread, body["runId"])
    assert [row["status"] for row in await stack.ended(thread)] == ["cancelled", "succeeded"]
    await gone(stack, waits)
    await gone(stack, left_out)


async def test_what_may_be_different_soon_is_tried_again_and_then_has_failed(stack: Stack) -> None:
    made = await make(stack, user="busy", missed="all", graceSeconds=3600)
    threads = [stack.new_id("thread") for _ in range(5)]
    for thread in threads:
        body = stack.run_body("count slowly to 5000", thread=thread)
        assert (await stack.request("POST", "/runs", user="busy", json=body)).status == 202
    await late(stack, made, "1 day")

    async def refused() -> Any:
        fires = (await read(stack, made, "busy"))["lastFires"]
        return fires and fires[0].get("code") and fires[0]

    fire = await eventually(refused)
    assert (fire["state"], fire["code"]) == ("pending", "rate-limited")
    assert fire["nextTryAt"]
    for thread in threads[:3]:
        run = (await stack.runs(thread))[0]["run_id"]
        assert (await stack.cancel(thread, run, user="busy")).status == 202
        await stack.ended(thread)
    # The time of the next try comes.
    await stack.fetch("UPDATE agent_schedule_fire SET next_try_at = now() WHERE state = 'pending'")
    (fire,) = await settled(stack, made, "busy")
    assert fire["state"] == "accepted"

    await stack.cancel(fire["threadId"], fire["runId"], user="busy")
    for thread in threads[3:]:
        await stack.cancel(thread, (await stack.runs(thread))[0]["run_id"], user="busy")
    await gone(stack, made, "busy")


@pytest.mark.parametrize(
    ("refused", "state", "code"),
    [(None, "missed", "missed"), ("queue-full", "failed", "queue-full")],
    ids=["never tried", "refused before"],
)
async def test_a_fire_whose_grace_is_over_is_told(
    stack: Stack, refused: str | None, state: str, code: str
) -> None:
    made = await make(stack)
    await stack.fetch(
        """INSERT INTO agent_schedule_fire (schedule_pk, fire_key, fire_at, give_up_at, code, detail)
        SELECT id, 'k', now() - interval '1 day', now() - interval '1 hour', $2::text, $2::text FROM agent_schedule
        WHERE schedule_id = $1""",
        made["scheduleId"],
        refused,
    )
    (fire,) = await settled(stack, made)
    assert (fire["state"], fire["code"]) == (state, code)
    assert "runId" not in fire
    await gone(stack, made)


async def test_what_will_never_be_accepted_fails_at_once(stack: Stack) -> None:
    lost = [{"type": "document", "source": {"type": "file", "value": "0" * 64}}]
    made = await make(stack, message=lost, missed="latest")
    await late(stack, made, "1 day")
    (fire,) = await settled(stack, made)
    assert (fire["state"], fire["attempts"]) == ("failed", 1)
    assert fire["code"] in {"file-unknown", "files-off"}
    assert (await read(stack, made))["state"] == "active"
    await gone(stack, made)


async def test_a_revoked_key_pauses_its_schedules_and_says_why(stack: Stack) -> None:
    engine = create_engine(stack.settings.database, application_name="test")
    keeper = KeyKeeper(KeyStore(engine))
    issued = await keeper.create(tenant_id="default", user_id="robot", by="cli:ops")
    headers = {"Authorization": f"Bearer {issued.key}"}
    body = {"trigger": DAILY, "message": "hello", "missed": "latest"}
    names = ("before", "nightly")
    before, made = [
        await stack.request("POST", "/schedules", headers=headers, json=body | {"scheduleId": name})
        for name in names
    ]
    assert "authorizedUntil" not in made.json
    # Another secret of the same key is the same right.
    await keeper.rotate("default", issued.known.key_id, by="cli:ops", overlap_seconds=0)
    await late(stack, before.json, "1 day")
    (fire,) = await settled(stack, before.json, "robot")
    assert fire["state"] == "accepted"

    await keeper.revoke("default", issued.known.key_id, by="cli:ops")
    await late(stack, made.json, "1 day")
    (fire,) = await settled(stack, made.json, "robot")
    assert (fire["state"], fire["code"]) == ("failed", "credential-ended")
    found = await read(stack, made.json, "robot")
    assert (found["state"], found["paused"]["code"]) == ("paused", "credential-ended")
    assert "revoked" in found["paused"]["detail"]
    assert "nextFireAt" not in found

    # A good credential goes on with it.
    resumed = await stack.request("PATCH", "/schedules/nightly", user="robot", json={"enabled": True})
    assert resumed.json["state"] == "active"
    assert "paused" not in resumed.json
    await gone(stack, made.json, "robot")
    await gone(stack, before.json, "robot")
    await engine.dispose()


async def test_the_right_of_a_token_ends(stack: Stack) -> None:
    made = await make(stack, user="former", missed="latest")
    await stack.fetch(
        "UPDATE agent_schedule SET authorized_at = now() - interval '91 days' WHERE schedule_id = $1",
        made["scheduleId"],
    )
    await late(stack, made, "1 day")
    (fire,) = await settled(stack, made, "former")
    assert (fire["state"], fire["code"]) == ("failed", "authorization-expired")
    assert (await read(stack, made, "former"))["paused"]["code"] == "authorization-expired"
    assert await stack.fetch("SELECT FROM agent_run WHERE user_id = 'former'") == []
    await gone(stack, made, "former")


async def test_a_pause_leaves_out_what_is_to_come_and_a_resumed_schedule_goes_on_from_now(
    stack: Stack,
) -> None:
    made = await make(stack, missed="all")
    path = f"/schedules/{made['scheduleId']}"
    made = await read(stack, made)
    paused = await stack.request("PATCH", path, json={"enabled": False})
    assert (paused.json["state"], paused.json["paused"]["code"]) == ("paused", "by-owner")
    assert "nextFireAt" not in paused.json
    await stack.fetch(
        "UPDATE agent_schedule SET decided_to = now() - interval '9 days' WHERE schedule_id = $1",
        made["scheduleId"],
    )
    resumed = await stack.request("PATCH", path, json={"enabled": True, "name": "Again"})
    assert (resumed.json["state"], resumed.json["name"]) == ("active", "Again")
    assert resumed.json["nextFireAt"] == made["nextFireAt"]
    changed = await stack.request("PATCH", path, json={"trigger": {"type": "interval", "everySeconds": 7200}})
    assert changed.json["trigger"]["startAt"] == changed.json["nextFireAt"]
    assert changed.json["lastFires"] == []
    await gone(stack, made)


async def test_a_schedule_can_be_fired_now_and_the_same_key_fires_once(stack: Stack) -> None:
    thread = stack.new_id("thread")
    made = await make(stack, threadId=thread, enabled=False, onBusy="skip")
    path = f"/schedules/{made['scheduleId']}/trigger"
    first = await stack.request("POST", path, headers={"Idempotency-Key": "k-1"})
    again = await stack.request("POST", path, headers={"Idempotency-Key": "k-1"})
    assert (first.status, again.status) == (202, 202)
    assert (first.json["runId"], first.json["threadId"]) == (again.json["runId"], thread)
    await stack.ended(thread)

    body = stack.run_body("count slowly to 500", thread=thread)
    async with stack.open_run(body=body) as stream:
        await stream.until("TEXT_MESSAGE_CONTENT")
        (await stack.request("POST", path)).problem(409, "run-active")
        await stack.cancel(thread, body["runId"])
    found = await read(stack, made)
    assert [(fire["manual"], fire["state"], fire.get("code")) for fire in found["lastFires"]] == [
        (True, "failed", "run-active"),
        (True, "accepted", None),
    ]
    assert (found["state"], found["fires"]) == ("paused", 0)
    (await stack.request("POST", "/schedules/no-such/trigger")).problem(404, "not-found")
    await gone(stack, made)


async def test_a_fire_that_its_request_left_is_fired_by_a_worker(stack: Stack) -> None:
    made = await make(stack, enabled=False)
    await stack.fetch(
        """INSERT INTO agent_schedule_fire (schedule_pk, fire_key, fire_at, manual, late, give_up_at, attempts)
        SELECT id, 'manual:k', now(), true, true, now(), 1 FROM agent_schedule WHERE schedule_id = $1""",
        made["scheduleId"],
    )
    (fire,) = await settled(stack, made)
    assert (fire["state"], fire["manual"], fire["attempts"]) == ("accepted", True, 2)
    await gone(stack, made)


async def test_once_ends_with_its_fire_and_ended_schedules_need_no_room(stack: Stack) -> None:
    for _ in range(5):
        made = await make(stack, user="often", trigger={"type": "once", "at": "2034-01-01T00:00:00Z"})
        await stack.fetch(
            """UPDATE agent_schedule SET next_at = now(),
            form = jsonb_set(form::jsonb, '{trigger,at}', to_jsonb(now() - interval '1 second'))::text,
            decided_to = now() - interval '1 minute' WHERE schedule_id = $1""",
            made["scheduleId"],
        )
        (fire,) = await settled(stack, made, "often")
        assert fire["state"] == "accepted"
        assert (await read(stack, made, "often"))["state"] == "ended"
    listed = await stack.request("GET", "/schedules", user="often")
    assert [item["state"] for item in listed.json["schedules"]] == ["ended"] * 4

    for _ in range(3):
        await make(stack, user="often")
    body = {"trigger": DAILY, "message": "hello"}
    refused = await stack.request("POST", "/schedules", user="often", json=body)
    assert "3 schedules" in refused.problem(422, "limit-exceeded")["detail"]


async def test_nobody_sees_the_schedules_of_another_user(stack: Stack) -> None:
    made = await make(stack)
    path = f"/schedules/{made['scheduleId']}"
    requests: list[tuple[str, str, Any]] = [
        ("GET", path, None),
        ("PATCH", path, {"enabled": False}),
        ("DELETE", path, None),
        ("POST", f"{path}/trigger", None),
    ]
    for method, url, body in requests:
        (await stack.request(method, url, user="eve", json=body)).problem(404, "not-found")
    assert (await stack.request("GET", "/schedules", user="eve")).json["schedules"] == []
    assert (await read(stack, made))["state"] == "active"
    await gone(stack, made)
