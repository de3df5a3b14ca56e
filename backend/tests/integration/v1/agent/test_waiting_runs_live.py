"""Runs that wait behind another: what they brought counts from their turn on, and once."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tests.support.stack import Row, Stack


def say(message_id: str, text: str) -> dict[str, Any]:
    return {"id": message_id, "role": "user", "content": text}


def ids(run: Row) -> list[str]:
    return [message["id"] for message in orjson.loads(run["input"])["messages"]]


async def begin(stack: Stack, thread: str, **members: Any) -> str:
    """Start a run that goes on until it is cancelled; returns its id once it speaks."""
    body = stack.run_body("slowly", thread=thread, **members)
    async with stack.open_run(body=body) as stream:
        await stream.until("TEXT_MESSAGE_CONTENT")
    return body["runId"]


async def test_what_an_earlier_waiting_run_answered_is_not_answered_again(stack: Stack) -> None:
    thread = stack.new_id("thread")
    live = await begin(stack, thread, messages=[say("w-1", "slowly alpha")])
    conversation = [say("w-1", "slowly alpha")]
    for message in (say("w-2", "say bravo"), say("w-3", "say charlie")):
        # Stock clients send all they have.
        conversation.append(message)
        options = {"onBusy": "enqueue"}
        accepted = await stack.post_run(thread=thread, messages=conversation, forwardedProps=options)
        assert accepted.json["status"] == "waiting"
    await stack.cancel(thread, live)

    runs = await stack.ended(thread)
    assert [ids(run) for run in runs] == [["w-1"], ["w-2"], ["w-3"]]
    # The model is asked about bravo once, and then about charlie.
    asked = [item for item in stack.demo.asked("say charlie")[-1]["messages"] if item["role"] == "user"]
    assert orjson.dumps(asked).count(b"say bravo") == 1
    messages = (await stack.history(thread))["messages"]
    assert [item["id"] for item in messages if item["role"] == "user"] == ["w-1", "w-2", "w-3"]


@pytest.mark.parametrize("way", ["enqueue", "supersede"])
async def test_the_state_of_a_waiting_run_is_the_threads_from_its_turn_on(stack: Stack, way: str) -> None:
    thread = stack.new_id("thread")
    live = await begin(stack, thread, state={"v": 1})
    body = stack.run_body("hello", thread=thread, state={"v": 2}, forwardedProps={"onBusy": way})
    await stack.post_run(body=body)
    if way == "enqueue":
        await stack.cancel(thread, live)

    runs = await stack.ended(thread)
    assert [run["status"] for run in runs] == ["cancelled", "succeeded"]
    shown = await stack.read_events(thread, body["runId"])
    assert [event["snapshot"] for event in shown.of("STATE_SNAPSHOT")] == [{"v": 2}]
    assert (await stack.history(thread))["state"] == {"v": 2}


@pytest.mark.parametrize("number", [1e20, 2**64, -(2**63) - 1, 1e308])
async def test_a_number_beyond_64_bits_is_a_double_from_end_to_end(stack: Stack, number: float) -> None:
    thread = stack.new_id("thread")
    message = say(stack.new_id("m"), "hello") | {"metadata": {"n": number}}
    first = await stack.stream_run(thread=thread, state={"n": number}, messages=[message])
    assert first.end["outcome"] == {"type": "success"}
    options = {"messagesSnapshot": "always"}
    again = await stack.stream_run("hello again", thread=thread, state=None, forwardedProps=options)

    assert again.end["outcome"] == {"type": "success"}
    history = await stack.history(thread)
    assert history["state"] == {"n": float(number)}
    assert history["messages"][0]["metadata"] == {"n": float(number)}


async def test_a_wrong_answer_to_an_interrupt_is_not_repeated(stack: Stack) -> None:
    thread = stack.new_id("thread")
    [interrupt] = (await stack.stream_run("remember that I like tea", thread=thread)).interrupts
    payload = {"approved": "A" * 100_000, "a/b": 1}
    refused = await stack.resume(
        thread, [{"interruptId": interrupt["id"], "status": "resolved", "payload": payload}]
    )

    problem = refused.problem(422, "invalid-request")
    assert sorted((entry["pointer"], entry["message"]) for entry in problem["errors"]) == [
        ("/resume/0/payload", "must not have members that the schema does not have"),
        ("/resume/0/payload/approved", "must be of type boolean"),
    ]


async def test_a_run_that_waits_behind_a_question_can_be_cancelled(stack: Stack) -> None:
    thread = stack.new_id("thread")
    live = await begin(stack, thread)
    asking = stack.run_body("remember that I like tea", thread=thread, forwardedProps={"onBusy": "enqueue"})
    await stack.post_run(body=asking)
    bodies = [
        stack.run_body(text, thread=thread, forwardedProps={"onBusy": "enqueue"}) for text in ("one", "two")
    ]
    for body in bodies:
        await stack.post_run(body=body)
    await stack.cancel(thread, live)
    asked = await stack.read_events(thread, asking["runId"])
    waiting = await stack.run_status(thread, bodies[1]["runId"])
    assert (waiting["status"], waiting["waitsFor"]) == ("waiting", "approval")

    # The one behind the other.
    cancelled = await stack.cancel(thread, bodies[1]["runId"])

    assert (cancelled.status, cancelled.json["status"]) == (202, "cancelled")
    shown = await stack.read_events(thread, bodies[1]["runId"])
    assert shown.end["outcome"] == {"type": "cancelled"}
    assert (await stack.run_status(thread, bodies[0]["runId"]))["status"] == "waiting"
    [interrupt] = asked.interrupts
    answer = {"interruptId": interrupt["id"], "status": "resolved", "payload": {"approved": True}}
    resumed = await stack.resume(thread, [answer])
    assert [event["content"] for event in resumed.of("TOOL_CALL_RESULT")] == ["Remembered."]
    runs = {run["run_id"]: run["status"] for run in await stack.ended(thread)}
    assert runs[bodies[0]["runId"]] == "succeeded"


async def test_an_interrupt_that_was_withdrawn_says_so(stack: Stack) -> None:
    thread = stack.new_id("thread")
    body = stack.run_body("remember that I like tea", thread=thread)
    [interrupt] = (await stack.stream_run(body=body)).interrupts
    assert (await stack.cancel(thread, body["runId"])).json["status"] == "cancelled"
    answer = {"interruptId": interrupt["id"], "status": "resolved", "payload": {"approved": True}}

    problem = (await stack.resume(thread, [answer])).problem(409, "interrupt-resolved")

    assert "withdrawn" in problem["detail"]
    assert "resolvedBy" not in problem


async def test_a_cursor_before_everything_is_not_expired_where_nothing_is(stack: Stack) -> None:
    thread = stack.new_id("thread")
    await stack.stream_run("hello", thread=thread)
    async with stack.open_events(thread, cursor="0-0") as stream:
        await stream.until("RUN_FINISHED")
    assert stream.frames[0].id == "1-1"
