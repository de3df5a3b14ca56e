"""``forwardedProps.onDisconnect: "cancel"``, and cancelling a run that waits for an answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.support.stack import OpenStack, Reply, Stack, Web, eventually

CANCEL = {"onDisconnect": "cancel"}


@asynccontextmanager
async def cancels(stack: Stack) -> AsyncIterator[list[str]]:
    """Note which runs the first API process is asked to stop."""
    service: Any = stack.apis[0].app.state.container.service
    runtime = service._runtime
    asked: list[str] = []

    class Noting:
        accept = runtime.accept

        async def cancel(self, principal: Any, thread_id: str, run_id: str, **options: Any) -> Any:
            asked.append(run_id)
            return await runtime.cancel(principal, thread_id, run_id, **options)

    service._runtime = Noting()
    try:
        yield asked
    finally:
        service._runtime = runtime


async def settled(stack: Stack) -> None:
    """Wait until the first API process has nobody's leaving to deal with."""
    service: Any = stack.apis[0].app.state.container.service
    await service.aclose()


async def test_leaving_before_the_end_stops_the_run_once(stack: Stack) -> None:
    body = stack.run_body("slowly", forwardedProps=CANCEL)
    async with cancels(stack) as asked:
        async with stack.open_run(body=body) as stream:
            await stream.until("TEXT_MESSAGE_CONTENT")

        (run,) = await stack.ended(body["threadId"])
        await settled(stack)

    assert run["status"] == "cancelled"
    assert asked == [body["runId"]]
    whole = await stack.read_events(body["threadId"], body["runId"])
    assert whole.end["outcome"] == {"type": "cancelled"}
    assert whole.body.startswith(stream.body)


async def test_leaving_a_run_that_still_waits_for_a_worker_stops_it(open_stack: OpenStack) -> None:
    async with open_stack(workers=0) as stack:
        body = stack.run_body("hello", forwardedProps=CANCEL)
        async with stack.open_run(body=body):
            pass

        (run,) = await stack.ended(body["threadId"])
        assert run["status"] == "cancelled"


async def test_reading_to_the_end_stops_nothing(stack: Stack) -> None:
    async with cancels(stack) as asked:
        reply = await stack.stream_run("hello", forwardedProps=CANCEL)
        await settled(stack)

    assert reply.end["type"] == "RUN_FINISHED"
    assert asked == []


async def test_closing_at_the_terminal_event_keeps_its_questions_open(stack: Stack, web: Web) -> None:
    body = stack.run_body(f"fetch {web.url}/kept-open", forwardedProps=CANCEL)
    async with cancels(stack) as asked:
        async with stack.open_run(body=body) as stream:
            await stream.until("RUN_FINISHED")
        await settled(stack)

    assert asked == []
    assert len((await stack.history(body["threadId"]))["pendingInterrupts"]) == 1


async def test_a_follower_that_leaves_stops_nothing(stack: Stack) -> None:
    body = stack.run_body("slowly", forwardedProps=CANCEL)
    async with cancels(stack) as asked, stack.open_run(body=body) as starter:
        await starter.until("TEXT_MESSAGE_CONTENT")
        for run in (body["runId"], None):
            async with stack.open_events(body["threadId"], run) as follower:
                await follower.until("TEXT_MESSAGE_CONTENT")
        await settled(stack)

        assert asked == []
        assert (await stack.run_status(body["threadId"], body["runId"]))["status"] == "running"
        await stack.cancel(body["threadId"], body["runId"])
        await starter.to_end()


async def test_a_process_that_drains_sends_its_readers_away_and_stops_no_run(open_stack: OpenStack) -> None:
    async with open_stack(apis=2) as stack:
        body = stack.run_body("slowly", forwardedProps=CANCEL)
        async with cancels(stack) as asked:
            async with stack.open_run(body=body) as stream:
                await stream.until("TEXT_MESSAGE_CONTENT")
                stack.apis[0].drain()
                assert "RUN_FINISHED" not in {event["type"] for event in await stream.to_end()}
            await settled(stack)

            assert asked == []
        rest = await stack.read_events(
            body["threadId"], body["runId"], stream.frames[-1].id, api=stack.apis[1]
        )
        assert rest.end.get("outcome", {}).get("type") != "cancelled"


async def test_the_answer_in_the_other_form_stops_nothing(stack: Stack) -> None:
    body = stack.run_body("hello", forwardedProps=CANCEL)
    assert (await stack.post_run(body=body)).status == 202

    (run,) = await stack.ended(body["threadId"])
    assert run["status"] == "succeeded"


async def test_a_resume_may_be_left_too(stack: Stack, web: Web) -> None:
    parked = await stack.stream_run(f"fetch {web.url}/hang-left")
    thread, (interrupt,) = parked.events[0]["threadId"], parked.interrupts
    answer = [{"interruptId": interrupt["id"], "status": "resolved", "payload": {"approved": True}}]
    body = stack.run_body(thread=thread, resume=answer, forwardedProps=CANCEL)
    async with stack.open_run(body=body) as stream:
        await stream.until("STEP_STARTED", stepName="execution")

        async def at_work() -> bool:
            return "/hang-left" in web.hits

        await eventually(at_work)

    assert [run["status"] for run in await stack.ended(thread)] == ["interrupted", "cancelled"]


# --- a run that waits for an answer ----------------------------------------------------


async def park(stack: Stack, web: Web, path: str) -> tuple[Reply, str, str]:
    reply = await stack.stream_run(f"fetch {web.url}{path}")
    return reply, reply.events[0]["threadId"], reply.events[0]["runId"]


async def test_a_cancelled_question_cannot_be_answered_and_its_call_gets_one_result(
    stack: Stack, web: Web
) -> None:
    parked, thread, run = await park(stack, web, "/withdrawn")
    (interrupt,) = parked.interrupts

    for _ in range(2):
        reply = await stack.cancel(thread, run)
        assert (reply.status, reply.json["status"]) == (202, "cancelled")

    assert (await stack.history(thread))["pendingInterrupts"] == []
    assert (await stack.run_status(thread, run)).get("waitsFor") is None
    answer = [{"interruptId": interrupt["id"], "status": "resolved", "payload": {"approved": True}}]
    (await stack.resume(thread, answer)).problem(409, "interrupt-resolved")
    first = await stack.stream_run("hello", thread=thread)
    (result,) = first.of("TOOL_CALL_RESULT")
    assert result["toolCallId"] == interrupt["toolCallId"]
    assert result["metadata"]["state"] == "interrupted"
    assert first.end.get("outcome", {}).get("type") != "cancelled"
    assert first.text
    second = await stack.stream_run("hello again", thread=thread)
    assert second.of("TOOL_CALL_RESULT") == []
    messages = (await stack.history(thread))["messages"]
    assert [message["role"] for message in messages].count("tool") == 1
    assert "/withdrawn" not in web.hits


async def test_of_a_cancel_and_an_answer_at_once_one_counts(stack: Stack, web: Web) -> None:
    for place in range(4):
        path = f"/cancel-race-{place}"
        parked, thread, run = await park(stack, web, path)
        (interrupt,) = parked.interrupts
        answer = [{"interruptId": interrupt["id"], "status": "resolved", "payload": {"approved": True}}]

        withdrawn, resumed = await asyncio.gather(stack.cancel(thread, run), stack.resume(thread, answer))

        assert (resumed.status == 200) == (path in web.hits)
        if resumed.status == 200:
            withdrawn.problem(409, "run-finished")
        else:
            resumed.problem(409, "interrupt-resolved")
            assert withdrawn.status == 202


async def test_a_run_that_waits_behind_a_question_goes_on_when_it_is_cancelled(
    open_stack: OpenStack, web: Web
) -> None:
    # The worker comes later: the first run is surely live when the second is sent.
    async with open_stack(workers=0) as stack:
        asks = stack.run_body(f"fetch {web.url}/blocks")
        thread, run = asks["threadId"], asks["runId"]
        await stack.post_run(body=asks)
        waiting = await stack.post_run("hello", thread=thread, forwardedProps={"onBusy": "enqueue"})
        assert waiting.json["status"] == "waiting"
        await stack.start_worker()

        async def asked() -> bool:
            return (await stack.runs(thread))[0]["status"] == "interrupted"

        await eventually(asked)
        assert (await stack.run_status(thread, waiting.json["runId"]))["status"] == "waiting"

        await stack.cancel(thread, run)

        assert [row["status"] for row in await stack.ended(thread)] == ["interrupted", "succeeded"]
