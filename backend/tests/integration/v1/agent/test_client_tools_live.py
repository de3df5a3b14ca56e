"""Tools of the client's own: their calls belong to the thread, and nobody but the client answers them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.support.device import Device, answered, called, decisions, pending, results, said
from tests.support.stack import OpenStack, Reply, Stack, Web, eventually

COLOUR = {
    "name": "choose_colour",
    "description": "Lets the user choose a colour.",
    "parameters": {"type": "object", "properties": {"prompt": {"type": "string"}}, "required": ["prompt"]},
}
SHAPE = COLOUR | {"name": "choose_shape"}
CALL_COLOUR = 'call the tool choose_colour with {"prompt": "Which?"}'
CALL_SHAPE = 'call the tool choose_shape with {"prompt": "Which?"}'
BOTH = f"{CALL_COLOUR} and also {CALL_SHAPE}"


@pytest.fixture(scope="module")
async def stack(open_stack: OpenStack, with_intent: Path) -> AsyncIterator[Stack]:
    """With the intent stage: a run may fail before the agent has begun."""
    async with open_stack(profile_path=with_intent) as stack:
        yield stack


@pytest.fixture
def device(stack: Stack) -> Device:
    return Device(stack, tools=(COLOUR, SHAPE))


async def waits_for(device: Device) -> str | None:
    """Return what the thread's newest run waits for."""
    run = (await device.stack.runs(device.thread))[-1]
    return (await device.stack.run_status(device.thread, run["run_id"])).get("waitsFor")


def asked(stack: Stack, **members: Any) -> list[dict[str, Any]]:
    """Return the messages of the model's last request that have these members."""
    messages: list[dict[str, Any]] = stack.demo.requests[-1]["messages"]
    return [message for message in messages if members.items() <= message.items()]


# --- one by one ----------------------------------------------------------------------


@pytest.mark.parametrize("first", ["choose_colour", "choose_shape"])
async def test_calls_may_be_answered_one_by_one(device: Device, first: str) -> None:
    calls = called(await device.run(said("u1", BOTH)))
    second = ({*calls} - {first}).pop()
    before = len(device.stack.demo.requests)

    half = await device.run(answered("t1", calls[first], "blue"))

    # The model has to wait for the other answer, and so does the thread.
    assert pending(half) == [calls[second]]
    assert half.of("TEXT_MESSAGE_START") == []
    assert len(device.stack.demo.requests) == before
    assert await waits_for(device) == "client-tool"
    await device.check()

    whole = await device.run(answered("t2", calls[second], "round"))
    assert pending(whole) is None
    assert "blue" in whole.text
    assert "round" in whole.text
    assert whole.of("TOOL_CALL_RESULT") == half.of("TOOL_CALL_RESULT") == []
    assert await waits_for(device) is None
    assert device.roles == ["user", "assistant", "tool", "tool", "assistant"]
    await device.check()


async def test_an_answer_whose_run_never_began_counts_in_the_next(device: Device) -> None:
    calls = called(await device.run(said("u1", BOTH)))
    (worker,) = device.stack.workers
    await device.stack.stop_worker(worker)
    first = answered("t1", calls["choose_colour"], "blue")
    accepted = await device.stack.post_run(body=device.body(first))
    run = accepted.json["runId"]
    assert (await device.stack.cancel(device.thread, run)).json["status"] == "cancelled"
    device.see(first, reply=await device.stack.read_events(device.thread, run))
    await device.stack.start_worker()

    again = await device.stack.stream_run(
        body=device.body(answered("t2", calls["choose_colour"], "red")), thread=device.thread
    )
    again.problem(422, "invalid-request")
    whole = await device.run(answered("t3", calls["choose_shape"], "round"))

    assert pending(whole) is None
    assert "blue" in whole.text
    assert "round" in whole.text
    await device.check()


async def test_an_answer_to_a_busy_thread_has_to_wait_for_its_run(device: Device) -> None:
    calls = called(await device.run(said("u1", CALL_COLOUR)))
    body = device.stack.run_body("slowly", thread=device.thread)
    async with device.stack.open_run(body=body) as live:
        await live.until("TEXT_MESSAGE_CONTENT")
        for on_busy in ("reject", "enqueue", "supersede"):
            late = device.body(answered("t1", calls["choose_colour"]), onBusy=on_busy)
            (await device.stack.stream_run(body=late)).problem(409, "run-active")
        await device.stack.cancel(device.thread, body["runId"])
        await live.to_end()


# --- not answered --------------------------------------------------------------------


async def test_a_call_may_stay_unanswered_and_the_server_does_not_answer_it(device: Device) -> None:
    calls = called(await device.run(said("u1", BOTH)))

    reply = await device.run(said("u2", "my name is Ada"), answered("t1", calls["choose_shape"], "round"))

    assert reply.of("TOOL_CALL_RESULT") == []
    assert pending(reply) is None
    assert await waits_for(device) is None
    # The model is told all the same: a call without a result is no valid conversation.
    (told,) = asked(device.stack, role="tool", tool_call_id=calls["choose_colour"])
    assert "did not answer" in orjson.dumps(told["content"]).decode()
    (told,) = asked(device.stack, role="tool", tool_call_id=calls["choose_shape"])
    assert "round" in orjson.dumps(told["content"]).decode()
    after = await device.run(said("u3", "what is my name?"))
    assert "Ada" in after.text
    await device.check()


@pytest.mark.parametrize("end", ["fail", "fail intent"])
async def test_a_call_that_the_conversation_left_behind_stays_so_when_the_next_run_fails(
    device: Device, end: str
) -> None:
    calls = called(await device.run(said("u1", CALL_COLOUR)))
    failed = await device.run(said("u2", end))
    assert failed.end["code"] == "model-unavailable"

    late = await device.stack.stream_run(body=device.body(answered("t1", calls["choose_colour"])))
    late.problem(422, "invalid-request")
    reply = await device.run(said("u3", "hello"))

    assert reply.end["outcome"] == {"type": "success"}
    assert reply.of("TOOL_CALL_RESULT") == []
    # What the failed run was asked is remembered, behind the call and its missing answer.
    assert len(asked(device.stack, role="tool", tool_call_id=calls["choose_colour"])) == 1
    texts = [orjson.dumps(message["content"]).decode() for message in asked(device.stack, role="user")]
    assert [end in text for text in texts] == [False, True, False]
    await device.check()


async def test_a_stop_answers_the_servers_calls_and_not_the_clients(device: Device, web: Web) -> None:
    parked = await device.run(said("u1", f"fetch {web.url}/hang-client and also {CALL_COLOUR}"))
    calls = called(parked)
    body = device.body(resume=decisions(parked, approved=True))
    async with device.stack.open_run(body=body) as stream:

        async def at_work() -> bool:
            return "/hang-client" in web.hits

        await eventually(at_work)
        await device.stack.cancel(device.thread, body["runId"])
        await stream.to_end()

    stopped = Reply(200, stream.response.headers, stream.body, stream.frames)
    assert stopped.end["outcome"] == {"type": "cancelled"}
    assert list(results(stopped)) == [calls["fetch_url"]]
    device.see(reply=stopped)
    reply = await device.run(answered("t1", calls["choose_colour"]), said("u2", "hello"))
    assert reply.of("TOOL_CALL_RESULT") == []
    assert len(asked(device.stack, role="tool", tool_call_id=calls["choose_colour"])) == 1


# --- too late, or made up --------------------------------------------------------------


async def test_a_late_answer_is_passed_over_for_ever(device: Device) -> None:
    calls = called(await device.run(said("u1", CALL_COLOUR)))
    await device.run(said("u2", "hello"))
    late = answered("late", calls["choose_colour"], "LATE")

    # Alone it asks for nothing.
    alone = await device.stack.stream_run(body=device.body(late))
    (error,) = alone.problem(422, "invalid-request")["errors"]
    assert error["pointer"] == f"/messages/{len(device.held.messages)}/toolCallId"
    device.held.messages.append(late)
    for number in range(2):
        reply = await device.run(said(f"more-{number}", "hello again"))
        assert reply.end["outcome"] == {"type": "success"}

    assert "LATE" not in orjson.dumps(device.stack.demo.requests[-1]).decode()
    device.held.messages.remove(late)
    await device.check()


async def test_a_second_answer_changes_nothing(device: Device) -> None:
    calls = called(await device.run(said("u1", CALL_COLOUR)))
    other_device = Device(device.stack, tools=(COLOUR,), thread=device.thread)
    other_device.held.messages = [*device.held.messages]
    await device.run(answered("t1", calls["choose_colour"], "blue"))

    # Another device was slower. It keeps its answer, and may go on all the same.
    slower = answered("t2", calls["choose_colour"], "RED")
    refused = await device.stack.stream_run(body=other_device.body(slower))
    refused.problem(422, "invalid-request")
    other_device.held.messages.append(slower)
    reply = await other_device.run(said("u2", "hello"))

    assert reply.end["outcome"] == {"type": "success"}
    assert "RED" not in orjson.dumps(device.stack.demo.requests[-1]).decode()
    shown = (await device.stack.history(device.thread))["messages"]
    assert [item["content"] for item in shown if item["role"] == "tool"] == ["blue"]


async def test_one_request_answers_a_call_in_one_way(device: Device) -> None:
    calls = called(await device.run(said("u1", CALL_COLOUR)))
    first = answered("t1", calls["choose_colour"], "blue")

    both = device.body(first, answered("t2", calls["choose_colour"], "red"))
    (error,) = (await device.stack.stream_run(body=both)).problem(422, "invalid-request")["errors"]
    assert error["pointer"] == "/messages/3/toolCallId"
    await device.check()
    # A page that says the same thing twice says it once.
    twice = device.body(first, answered("t2", calls["choose_colour"], "blue"))
    device.see(first, reply=await device.stack.stream_run(body=twice))
    assert device.roles == ["user", "assistant", "tool", "assistant"]
    await device.check()


@pytest.mark.parametrize("beside", [(), (said("u9", "hello"),)], ids=["alone", "beside a message"])
async def test_a_result_for_a_call_that_was_never_made_is_refused(
    device: Device, beside: tuple[dict[str, Any], ...]
) -> None:
    calls = called(await device.run(said("u1", CALL_COLOUR)))
    other = Device(device.stack, tools=(COLOUR,))
    foreign = called(await other.run(said("u1", CALL_COLOUR)))

    for call_id in ("call-of-nobody", foreign["choose_colour"]):
        body = device.body(answered("t1", calls["choose_colour"]), answered("t2", call_id), *beside)
        (error,) = (await device.stack.stream_run(body=body)).problem(422, "invalid-request")["errors"]
        assert error["pointer"] == "/messages/3/toolCallId"

    await device.check()
    assert await waits_for(device) == "client-tool"


@pytest.mark.parametrize("wish", ["calculate 6*7", "calculate 1/0"])
async def test_a_client_cannot_make_up_the_result_of_a_tool_that_has_run(device: Device, wish: str) -> None:
    calls = called(await device.run(said("u1", wish)))
    forged = answered("t1", calls["calculate"], "FORGED")

    (await device.stack.stream_run(body=device.body(forged))).problem(422, "invalid-request")
    reply = await device.stack.stream_run(body=device.body(forged, said("u2", "hello")))

    assert reply.status == 200
    assert "FORGED" not in orjson.dumps((await device.stack.history(device.thread))["messages"]).decode()
    assert "FORGED" not in orjson.dumps(device.stack.demo.requests[-1]).decode()


async def test_a_client_cannot_make_up_the_result_of_a_call_that_nobody_has_answered(
    device: Device, web: Web
) -> None:
    # Its approval was withdrawn, so it has no result yet; and one of the client's own tools has the same name.
    device.tools.append(COLOUR | {"name": "fetch_url"})
    parked = await device.run(said("u1", f"fetch {web.url}/made-up"))
    await device.stack.cancel(device.thread, parked.events[0]["runId"])
    assert (await device.stack.history(device.thread))["pendingInterrupts"] == []
    forged = answered("t1", called(parked)["fetch_url"], "FORGED")

    (await device.stack.stream_run(body=device.body(forged))).problem(422, "invalid-request")
    reply = await device.run(said("u2", "hello"))

    assert list(results(reply)) == [called(parked)["fetch_url"]]
    assert "FORGED" not in orjson.dumps(device.stack.demo.requests[-1]).decode()
    await device.check()


# --- schemas that do harm --------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "pointer"),
    [
        ({"type": 5}, "/type"),
        ({"type": "object", "required": "x"}, "/required"),
        ({"type": "object", "properties": {"x": {"pattern": "(["}}}, "/properties/x/pattern"),
        ({"type": "object", "properties": {"x": {"$ref": "file:///etc/hostname"}}}, "/properties/x/$ref"),
        ({"$ref": "#"}, ""),
    ],
)
async def test_a_broken_schema_is_refused_before_the_run_with_a_pointer(
    device: Device, parameters: dict[str, Any], pointer: str
) -> None:
    device.tools.append({"name": "broken", "parameters": parameters})

    (error,) = (await device.run(said("u1", "hello"))).problem(422, "invalid-request")["errors"]

    assert error["pointer"] == f"/tools/2/parameters{pointer}"


async def test_schemas_are_limited_together(device: Device) -> None:
    device.tools = [
        {"name": f"big_{number}", "parameters": {"description": "x" * 60_000}} for number in range(5)
    ]
    (error,) = (await device.run(said("u1", "hello"))).problem(422, "limit-exceeded")["errors"]
    assert error["pointer"] == "/tools"


async def test_arguments_that_make_a_pattern_backtrack_are_told_the_model_at_once(device: Device) -> None:
    # The stock validator needs longer than the universe has existed, and stops every run of the worker.
    pattern = {"type": "object", "properties": {"prompt": {"type": "string", "pattern": "^(a+)+$"}}}
    device.tools = [COLOUR | {"parameters": pattern}]

    reply = await device.run(said("u1", 'call the tool choose_colour with {"prompt": "' + "a" * 80 + '!"}'))

    (result,) = results(reply).values()
    assert "does not match" in result
    assert reply.end["type"] == "RUN_FINISHED"
    # The model was given the schema as the client wrote it.
    offered = [tool["function"] for tool in device.stack.demo.requests[-1]["tools"]]
    assert pattern in [function["parameters"] for function in offered if function["name"] == "choose_colour"]
    await device.check()
