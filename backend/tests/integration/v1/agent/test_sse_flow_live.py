"""The routes from the outside, with everything real behind them: what a client is told, and that it can rely on it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from tests.support.stack import (
    BASE,
    EventStream,
    OpenStack,
    Reply,
    Stack,
    Web,
    assert_valid,
    client_view,
    eventually,
    fold_of_log,
)

from core.agentscope.schemas.cursor import Cursor

DART = "application/json, text/event-stream"
WEATHER = {
    "name": "show_weather",
    "description": "Shows the weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
CALL_WEATHER = 'call the tool show_weather with {"city": "Oslo"}'


async def assert_history_is_what_a_client_holds(stack: Stack, thread: str) -> list[dict[str, Any]]:
    """Compare history with a stock client's messages, and with the fold of the log; returns the messages."""
    messages = (await stack.history(thread))["messages"]
    assert messages == await client_view(stack, thread)
    log = await stack.log(thread)
    assert_valid([orjson.loads(row["payload"]) for row in log])
    # Message by message: where a result of an earlier run's call stands is not a matter of one run's fold.
    folded = {message["id"]: message for message in fold_of_log(log)}
    assert {message["id"]: message for message in messages if message["id"] in folded} == folded
    return messages


def answers(reply: Reply, **payload: Any) -> list[dict[str, Any]]:
    """Return the same answer to every interrupt a run ended with."""
    return [
        {"interruptId": interrupt["id"], "status": "resolved", "payload": payload}
        for interrupt in reply.interrupts
    ]


def thread_of(reply: Reply) -> str:
    return reply.events[0]["threadId"]


def run_of(reply: Reply) -> str:
    return reply.events[0]["runId"]


# --- one run, seen whole -----------------------------------------------------------


@pytest.mark.parametrize("accept", ["text/event-stream", DART])
async def test_a_run_streams_from_its_first_event_to_its_last(stack: Stack, accept: str) -> None:
    body = stack.run_body("hello there")
    reply = await stack.stream_run(body=body, accept=accept)

    assert reply.status == 200
    assert reply.headers["content-type"] == "text/event-stream"
    assert reply.headers["cache-control"] == "no-cache, no-transform"
    assert reply.headers["x-accel-buffering"] == "no"
    assert "content-encoding" not in reply.headers
    assert reply.body.startswith(b"retry: 2000\n\n")
    assert b"\r" not in reply.body
    assert reply.cursors == [f"1-{place}" for place in range(1, len(reply.frames) + 1)]
    assert_valid(reply.events)
    first = reply.events[0]
    assert (first["type"], first["threadId"], first["runId"]) == (
        "RUN_STARTED",
        body["threadId"],
        body["runId"],
    )
    assert first["protocolVersion"] == "1.0"
    assert [event["stepName"] for event in reply.of("STEP_STARTED")] == ["execution"]
    assert reply.end["outcome"] == {"type": "success"}
    assert reply.end["usage"][0]["totalTokens"] > 0
    assert "hello there" in reply.text


async def test_history_is_what_a_client_holds_that_saw_every_event(stack: Stack) -> None:
    body = stack.run_body("hello there")
    reply = await stack.stream_run(body=body)
    history = await stack.history(body["threadId"])

    assert history["messages"][0] == body["messages"][0]
    assert history["messages"][1:] == fold_of_log(await stack.log(body["threadId"]))
    assert history["messages"] == await client_view(stack, body["threadId"])
    assert history["messages"][1]["content"] == reply.text
    assert history["cursor"] == reply.cursors[-1]
    assert history["title"] == "hello there"
    assert history["pendingInterrupts"] == []
    assert not history.get("activeRun")
    assert not history["hasMore"]


async def test_every_cursor_of_a_run_gives_exactly_the_rest(stack: Stack) -> None:
    body = stack.run_body("think about it, then calculate 6*7")
    whole = await stack.stream_run(body=body)
    thread, run = body["threadId"], body["runId"]

    async def rest_after(place: int) -> None:
        rest = await stack.read_events(thread, run, whole.cursors[place])
        expected = b"".join(frame.raw for frame in whole.frames[place + 1 :])
        assert rest.status == 200
        assert rest.body == b"retry: 2000\n\n" + expected

    assert len(whole.frames) > 15
    await asyncio.gather(*(rest_after(place) for place in range(len(whole.frames) - 1)))
    for start in (None, "0-0", "1-0"):
        assert (await stack.read_events(thread, run, start)).raw == whole.raw


async def test_a_run_that_has_ended_leaves_nothing_after_its_last_event(stack: Stack) -> None:
    whole = await stack.stream_run("hello")

    reply = await stack.read_events(thread_of(whole), run_of(whole), whole.cursors[-1])

    assert (reply.status, reply.body) == (204, b"")


async def test_the_header_of_a_reconnect_wins_over_the_cursor_in_its_url(stack: Stack) -> None:
    whole = await stack.stream_run("hello")
    thread, run = thread_of(whole), run_of(whole)

    reply = await stack.read_events(thread, run, whole.cursors[0], last_event_id=whole.cursors[-2])
    assert reply.cursors == whole.cursors[-1:]
    ended = await stack.read_events(thread, run, whole.cursors[0], last_event_id=whole.cursors[-1])
    assert ended.status == 204


async def test_a_cursor_ahead_of_the_log_and_one_that_is_none_are_refused(stack: Stack) -> None:
    whole = await stack.stream_run("hello")
    thread, run = thread_of(whole), run_of(whole)
    last = Cursor.parse(whole.cursors[-1])

    for ahead in (Cursor(last.ordinal, last.seq + 1), Cursor(last.ordinal + 1, 1)):
        refused = await stack.read_events(thread, run, str(ahead))
        assert f"threadId={thread}" in refused.problem(400, "cursor-ahead")["historyUrl"]
    (await stack.read_events(thread, run, "last")).problem(400, "bad-cursor")


async def test_an_accepted_run_is_followed_where_its_answer_says(stack: Stack) -> None:
    accepted = await stack.post_run("hello")
    assert accepted.status == 202
    links = accepted.json
    assert (links["status"], links["cursor"]) == ("queued", "1-0")

    path = links["eventsUrl"].removeprefix(BASE)
    reply = await stack.request("GET", path, headers={"Accept": "text/event-stream"})
    assert reply.cursors[0] == "1-1"
    assert reply.end["outcome"]["type"] == "success"
    history = await stack.request("GET", links["historyUrl"].removeprefix(BASE))
    assert len(history.json["messages"]) == 2


async def test_ids_are_made_for_a_client_that_sends_none(stack: Stack) -> None:
    reply = await stack.stream_run(body={"messages": [{"id": "m-1", "role": "user", "content": "hi"}]})

    assert_valid(reply.events)
    assert (await stack.history(thread_of(reply)))["cursor"] == reply.cursors[-1]


async def test_a_follower_of_the_thread_sees_the_run_that_another_connection_starts(stack: Stack) -> None:
    first = await stack.stream_run("hello")
    thread = thread_of(first)

    async with stack.open_events(thread, cursor=first.cursors[-2]) as follower:
        await follower.until("RUN_FINISHED", runId=run_of(first))
        second = await stack.stream_run("and hello again", thread=thread)
        await follower.until("RUN_FINISHED", runId=run_of(second))

    assert second.cursors[0] == "2-1"
    assert b"".join(frame.raw for frame in follower.frames) == first.frames[-1].raw + second.raw


async def test_a_follower_without_a_cursor_begins_with_the_latest_run(stack: Stack) -> None:
    first = await stack.stream_run("hello")
    second = await stack.stream_run("hello again", thread=thread_of(first))

    async with stack.open_events(thread_of(first)) as follower:
        await follower.until("RUN_FINISHED")

    assert b"".join(frame.raw for frame in follower.frames) == second.raw


async def test_a_snapshot_of_a_running_thread_and_the_stream_after_it_fit_together(stack: Stack) -> None:
    body = stack.run_body("slowly")
    thread, run = body["threadId"], body["runId"]
    async with stack.open_run(body=body) as stream:
        await stream.until("TEXT_MESSAGE_CONTENT")
        snapshot = await stack.history(thread)
        assert snapshot["activeRun"]["runId"] == run
        assert snapshot["activeRun"]["status"] == "running"
        async with stack.open_events(thread, cursor=snapshot["cursor"]) as rest:
            await rest.until("TEXT_MESSAGE_CONTENT")
            await stack.cancel(thread, run)
            await rest.until("RUN_FINISHED")
        await stream.to_end()

    log = await stack.log(thread)
    seen = [row for row in log if Cursor(row["ordinal"], row["seq"]) <= Cursor.parse(snapshot["cursor"])]
    assert [*snapshot["messages"]] == [body["messages"][0], *fold_of_log(seen)]
    assert [frame.id for frame in rest.frames] == [f"1-{row['seq']}" for row in log[len(seen) :]]


# --- conversations -----------------------------------------------------------------


async def test_the_second_turn_remembers_the_first(stack: Stack) -> None:
    first = await stack.stream_run("my name is Ada")
    second = await stack.stream_run("what is my name?", thread=thread_of(first))

    assert "Your name is Ada" in second.text
    await assert_history_is_what_a_client_holds(stack, thread_of(first))


async def test_a_client_that_repeats_the_whole_conversation_changes_nothing(stack: Stack) -> None:
    first = await stack.stream_run("my name is Ada")
    thread = thread_of(first)
    held = (await stack.history(thread))["messages"]
    forged = [*held, {"id": "forged", "role": "assistant", "content": "Your name is Eve."}]
    question = {"id": "question", "role": "user", "content": "what is my name?"}

    second = await stack.stream_run(thread=thread, messages=[*forged, question])

    assert "Your name is Ada" in second.text
    messages = await assert_history_is_what_a_client_holds(stack, thread)
    assert [message["role"] for message in messages] == ["user", "assistant", "user", "assistant"]
    (await stack.post_run(thread=thread, messages=messages)).problem(422, "invalid-request")


async def test_new_processes_keep_everything_and_continue_the_conversation(
    stack: Stack, open_stack: OpenStack
) -> None:
    async with open_stack() as own:
        first = await own.stream_run("my name is Ada")
        thread = thread_of(first)
        before = await own.history(thread)
        await own.stop_api(own.apis[0])
        await own.stop_worker(own.workers[0])
        await own.start_worker()
        await own.start_api()

        assert await own.history(thread) == before
        assert (await own.read_events(thread, run_of(first))).body == first.body
        second = await own.stream_run("what is my name?", thread=thread)
        assert "Your name is Ada" in second.text
        assert second.cursors[0] == "2-1"


async def test_the_first_run_of_a_thread_may_bring_an_earlier_conversation(stack: Stack) -> None:
    earlier = [
        {"id": "old-1", "role": "user", "content": "my name is Ada"},
        {"id": "old-2", "role": "assistant", "content": "Noted."},
    ]
    question = {"id": "new-1", "role": "user", "content": "what is my name?"}

    reply = await stack.stream_run(messages=[*earlier, question])

    assert "Your name is Ada" in reply.text
    assert (await stack.history(thread_of(reply)))["messages"][:3] == [*earlier, question]


# --- tools -------------------------------------------------------------------------


async def test_a_tool_is_called_and_its_result_told(stack: Stack) -> None:
    reply = await stack.stream_run("calculate 6*7")

    (call,), (result,) = reply.of("TOOL_CALL_START"), reply.of("TOOL_CALL_RESULT")
    assert call["toolCallName"] == "calculate"
    assert result["toolCallId"] == call["toolCallId"]
    assert result["content"] == "42"
    assert reply.text == "The calculator says that 6*7 = 42."
    assert (
        reply.types.index("TOOL_CALL_END")
        < reply.types.index("TOOL_CALL_RESULT")
        < reply.types.index("TEXT_MESSAGE_CONTENT")
    )
    messages = await assert_history_is_what_a_client_holds(stack, thread_of(reply))
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "assistant"]


async def test_parallel_calls_each_get_their_own_result(stack: Stack) -> None:
    reply = await stack.stream_run("what time is it and also calculate 6*7")

    calls = {event["toolCallId"]: event["toolCallName"] for event in reply.of("TOOL_CALL_START")}
    results = {event["toolCallId"]: event["content"] for event in reply.of("TOOL_CALL_RESULT")}
    assert sorted(calls.values()) == ["calculate", "current_time"]
    assert results.keys() == calls.keys()
    assert {calls[call]: text for call, text in results.items()}["calculate"] == "42"
    messages = await assert_history_is_what_a_client_holds(stack, thread_of(reply))
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "tool", "assistant"]


async def test_reasoning_is_streamed_before_the_answer_and_kept_apart_from_it(stack: Stack) -> None:
    reply = await stack.stream_run("think about the sea")

    thought = "".join(event["delta"] for event in reply.of("REASONING_MESSAGE_CONTENT"))
    assert thought.startswith("The user asks me to think.")
    assert thought not in reply.text
    assert reply.types.index("REASONING_END") < reply.types.index("TEXT_MESSAGE_CONTENT")
    messages = await assert_history_is_what_a_client_holds(stack, thread_of(reply))
    assert [message["role"] for message in messages] == ["user", "reasoning", "assistant"]


async def test_a_tool_that_fails_is_told_and_the_run_goes_on(stack: Stack) -> None:
    reply = await stack.stream_run("calculate 1/0")

    (result,) = reply.of("TOOL_CALL_RESULT")
    assert result["metadata"] == {"state": "error"}
    assert reply.end["outcome"] == {"type": "success"}
    assert "Division by zero" in reply.text


async def test_a_client_tool_ends_the_run_with_its_call_open_and_the_clients_message_continues_it(
    stack: Stack,
) -> None:
    first = await stack.stream_run(CALL_WEATHER, tools=[WEATHER])
    thread = thread_of(first)
    (call,) = first.of("TOOL_CALL_START")
    assert first.end["outcome"] == {"type": "success", "pendingToolCallIds": [call["toolCallId"]]}
    assert first.of("TOOL_CALL_RESULT") == []
    assert "".join(event["delta"] for event in first.of("TOOL_CALL_ARGS")) == '{"city": "Oslo"}'

    result = {"id": "shown", "role": "tool", "toolCallId": call["toolCallId"], "content": "It rains."}
    held = (await stack.history(thread))["messages"]
    second = await stack.stream_run(thread=thread, messages=[*held, result], tools=[WEATHER])

    assert second.text == "The tool show_weather answered: It rains."
    assert second.of("TOOL_CALL_RESULT") == []
    assert second.end["outcome"] == {"type": "success"}
    messages = await assert_history_is_what_a_client_holds(stack, thread)
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "assistant"]
    again = stack.run_body(thread=thread, messages=[result | {"id": "shown-again"}], tools=[WEATHER])
    (await stack.post_run(body=again)).problem(422, "invalid-request")


async def test_a_message_instead_of_the_client_tools_result_is_answered(stack: Stack) -> None:
    first = await stack.stream_run(CALL_WEATHER, tools=[WEATHER])

    second = await stack.stream_run("hello instead", thread=thread_of(first), tools=[WEATHER])

    assert second.of("TOOL_CALL_RESULT") == []
    assert "hello instead" in second.text
    await assert_history_is_what_a_client_holds(stack, thread_of(first))


async def test_a_client_without_a_protocol_version_is_told_no_pending_calls(stack: Stack) -> None:
    body = stack.run_body(CALL_WEATHER, tools=[WEATHER], protocolVersion=None)
    reply = await stack.stream_run(body=body)

    assert reply.end["outcome"] == {"type": "success"}
    stored = orjson.loads((await stack.log(body["threadId"]))[-1]["payload"])
    assert "pendingToolCallIds" in stored["outcome"]


async def test_a_run_that_never_comes_to_an_answer_ends_at_its_step_limit(
    open_stack: OpenStack, tmp_path: Path
) -> None:
    profile = tmp_path / "profile.toml"
    profile.write_text(
        'name = "Short"\ndescription = "Stops early."\n[[tools]]\nname = "calculate"\npermission = "allow"\n[limits]\nmax_iterations = 2\n'
    )
    async with open_stack(profile_path=profile) as own:
        reply = await own.stream_run("calculate 1+1 and then calculate 2+2 and then calculate 3+3")

        assert reply.end["code"] == "max-iterations"
        assert [event["content"] for event in reply.of("TOOL_CALL_RESULT")] == ["2", "4"]
        await assert_history_is_what_a_client_holds(own, thread_of(reply))
        after = await own.stream_run("hello", thread=thread_of(reply))
        assert after.end["outcome"] == {"type": "success"}


# --- human in the loop -------------------------------------------------------------


async def park(stack: Stack, web: Web, *paths: str) -> Reply:
    """Run to the approval of a fetch of each path."""
    wish = " and also ".join(f"fetch {web.url}{path}" for path in paths)
    reply = await stack.stream_run(wish)
    assert len(reply.interrupts) == len(paths)
    return reply


def results_by_state(reply: Reply) -> dict[str, str]:
    """Return the state of each result by tool call; a success says nothing."""
    return {
        event["toolCallId"]: event.get("metadata", {}).get("state", "success")
        for event in reply.of("TOOL_CALL_RESULT")
    }


async def test_a_tool_that_asks_ends_the_run_with_an_interrupt(stack: Stack, web: Web) -> None:
    parked = await park(stack, web, "/asked")
    thread = thread_of(parked)

    (interrupt,) = parked.interrupts
    (call,) = parked.of("TOOL_CALL_START")
    assert interrupt["reason"] == "tool_approval"
    assert interrupt["toolCallId"] == call["toolCallId"]
    assert interrupt["responseSchema"]["required"] == ["approved"]
    assert parked.of("TOOL_CALL_RESULT") == []
    assert "/asked" not in web.hits
    history = await stack.history(thread)
    assert history["pendingInterrupts"] == [interrupt]
    assert not history.get("activeRun")
    assert (await stack.run_status(thread, run_of(parked)))["waitsFor"] == "approval"
    await assert_history_is_what_a_client_holds(stack, thread)


async def test_an_approved_call_runs_once_and_has_one_result(stack: Stack, web: Web) -> None:
    parked = await park(stack, web, "/approved")
    thread = thread_of(parked)

    resumed = await stack.resume(thread, answers(parked, approved=True))

    assert web.hits.count("/approved") == 1
    (result,) = resumed.of("TOOL_CALL_RESULT")
    assert result["toolCallId"] == parked.interrupts[0]["toolCallId"]
    assert "This is /approved." in result["content"]
    assert resumed.of("TOOL_CALL_START") == []
    assert resumed.end["outcome"] == {"type": "success"}
    messages = await assert_history_is_what_a_client_holds(stack, thread)
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "assistant"]
    history = await stack.history(thread)
    assert history["pendingInterrupts"] == []
    after = await stack.stream_run("hello", thread=thread)
    assert after.end["outcome"] == {"type": "success"}


@pytest.mark.parametrize(
    "answer", [{"status": "resolved", "payload": {"approved": False}}, {"status": "cancelled"}]
)
async def test_a_declined_call_never_runs_and_still_has_its_one_result(
    stack: Stack, web: Web, answer: dict[str, Any]
) -> None:
    parked = await park(stack, web, "/declined")
    thread = thread_of(parked)

    resumed = await stack.resume(thread, [{"interruptId": parked.interrupts[0]["id"], **answer}])

    assert "/declined" not in web.hits
    assert results_by_state(resumed) == {parked.interrupts[0]["toolCallId"]: "denied"}
    assert resumed.end["outcome"] == {"type": "success"}
    assert "not allowed" in resumed.text
    await assert_history_is_what_a_client_holds(stack, thread)


async def test_edited_arguments_are_the_ones_that_run(stack: Stack, web: Web) -> None:
    parked = await park(stack, web, "/as-asked")
    edited = {"url": f"{web.url}/as-edited"}

    resumed = await stack.resume(thread_of(parked), answers(parked, approved=True, input=edited))

    assert "/as-asked" not in web.hits
    assert web.hits.count("/as-edited") == 1
    assert "This is /as-edited." in resumed.of("TOOL_CALL_RESULT")[0]["content"]
    await assert_history_is_what_a_client_holds(stack, thread_of(parked))


async def test_an_answer_that_does_not_fit_the_schema_is_refused_and_may_be_mended(
    stack: Stack, web: Web
) -> None:
    parked = await park(stack, web, "/mended")
    thread = thread_of(parked)

    for payload in ({"approved": "yes"}, {}, {"approved": True, "input": {"address": "x"}}):
        refused = await stack.resume(thread, answers(parked, **payload))
        assert refused.problem(422, "invalid-request")["errors"][0]["pointer"].startswith("/resume/0/payload")
    assert "/mended" not in web.hits
    await stack.resume(thread, answers(parked, approved=True))
    assert web.hits.count("/mended") == 1


async def test_an_interrupt_is_answered_once(stack: Stack, web: Web) -> None:
    parked = await park(stack, web, "/once")
    thread = thread_of(parked)
    resumed = await stack.resume(thread, answers(parked, approved=True), run="winner")
    assert resumed.end["outcome"] == {"type": "success"}

    late = await stack.resume(thread, answers(parked, approved=False))

    assert late.problem(409, "interrupt-resolved")["resolvedBy"] == "winner"
    assert web.hits.count("/once") == 1


async def test_of_many_answers_at_once_one_counts(stack: Stack, web: Web) -> None:
    parked = await park(stack, web, "/race")
    thread = thread_of(parked)

    replies = await asyncio.gather(*(stack.resume(thread, answers(parked, approved=True)) for _ in range(10)))

    assert sorted({reply.status for reply in replies}) == [200, 409]
    assert sum(reply.status == 200 for reply in replies) == 1
    assert {reply.json["code"] for reply in replies if reply.status == 409} <= {
        "interrupt-resolved",
        "run-active",
    }
    assert web.hits.count("/race") == 1
    await assert_history_is_what_a_client_holds(stack, thread)


async def test_every_open_interrupt_has_to_be_answered_together(stack: Stack, web: Web) -> None:
    parked = await park(stack, web, "/both-1", "/both-2")
    thread = thread_of(parked)
    yes, no = parked.interrupts

    partial = await stack.resume(thread, answers(parked, approved=True)[:1])
    assert partial.problem(409, "interrupt-uncovered")["interruptIds"] == [no["id"]]
    assert (await stack.history(thread))["pendingInterrupts"] == [yes, no]

    both = answers(parked, approved=True)
    both[1]["payload"] = {"approved": False}
    resumed = await stack.resume(thread, both)
    assert results_by_state(resumed) == {yes["toolCallId"]: "success", no["toolCallId"]: "denied"}
    assert [path for path in web.hits if path.startswith("/both")] == ["/both-1"]
    await assert_history_is_what_a_client_holds(stack, thread)


async def test_an_unknown_interrupt_looks_absent(stack: Stack, web: Web) -> None:
    parked = await park(stack, web, "/unknown")

    answer = [{"interruptId": "int-of-nobody", "status": "cancelled"}]

    (await stack.resume(thread_of(parked), answer)).problem(404, "not-found")


@pytest.mark.parametrize("status", ["open", "expired"])
async def test_an_interrupt_past_its_expiry_can_be_cancelled_and_nothing_else(
    stack: Stack, web: Web, status: str
) -> None:
    """Stock clients refuse to go on before it is answered: ``cancelled`` has to be taken, also after the clean-up."""
    parked = await park(stack, web, "/expired")
    thread = thread_of(parked)
    (interrupt,) = parked.interrupts
    await stack.fetch(
        "UPDATE agent_interrupt SET expires_at = now() - interval '1 s', status = $2 WHERE interrupt_id = $1",
        interrupt["id"],
        status,
    )

    late = await stack.resume(thread, answers(parked, approved=True))
    assert late.problem(409, "interrupt-expired")["interruptId"] == interrupt["id"]
    resumed = await stack.resume(thread, [{"interruptId": interrupt["id"], "status": "cancelled"}])

    assert results_by_state(resumed) == {interrupt["toolCallId"]: "denied"}
    assert resumed.end["outcome"] == {"type": "success"}
    assert "/expired" not in web.hits
    await assert_history_is_what_a_client_holds(stack, thread)


async def test_an_expired_interrupt_that_a_later_run_went_past_is_over(stack: Stack, web: Web) -> None:
    parked = await park(stack, web, "/past")
    thread = thread_of(parked)
    (interrupt,) = parked.interrupts
    await stack.fetch(
        "UPDATE agent_interrupt SET status = 'expired' WHERE interrupt_id = $1", interrupt["id"]
    )
    reply = await stack.stream_run("hello instead", thread=thread)
    assert results_by_state(reply) == {interrupt["toolCallId"]: "interrupted"}

    answer = [{"interruptId": interrupt["id"], "status": "cancelled"}]

    (await stack.resume(thread, answer)).problem(409, "interrupt-expired")
    await assert_history_is_what_a_client_holds(stack, thread)


async def test_a_resume_under_the_interrupted_runs_own_id_continues_it(stack: Stack, web: Web) -> None:
    parked = await park(stack, web, "/segment")
    thread, run = thread_of(parked), run_of(parked)
    body = stack.run_body(thread=thread, run=run, resume=answers(parked, approved=True))

    # CopilotKit sends it to the runs route.
    resumed = await stack.stream_run(body=body)

    assert resumed.cursors[0] == "2-1"
    assert resumed.events[0]["runId"] == run
    assert web.hits.count("/segment") == 1
    assert resumed.end["outcome"] == {"type": "success"}
    assert (await stack.read_events(thread, run)).raw == parked.raw + resumed.raw
    again = await stack.stream_run(body=body)
    assert again.raw == resumed.raw
    assert web.hits.count("/segment") == 1
    assert [row["segment"] for row in await stack.runs(thread)] == [0, 1]
    assert (await stack.run_status(thread, run))["status"] == "succeeded"
    await assert_history_is_what_a_client_holds(stack, thread)


async def test_a_new_message_to_a_parked_thread_is_refused_unless_it_says_to_cancel(
    stack: Stack, web: Web
) -> None:
    parked = await park(stack, web, "/overtaken")
    thread = thread_of(parked)
    (interrupt,) = parked.interrupts

    refused = await stack.stream_run("hello instead", thread=thread)
    assert refused.problem(409, "interrupt-open")["interruptIds"] == [interrupt["id"]]

    reply = await stack.stream_run("hello instead", thread=thread, forwardedProps={"onInterrupt": "cancel"})
    assert "hello instead" in reply.text
    assert results_by_state(reply) == {interrupt["toolCallId"]: "interrupted"}
    assert "/overtaken" not in web.hits
    assert (await stack.history(thread))["pendingInterrupts"] == []
    (await stack.resume(thread, answers(parked, approved=True))).problem(409, "interrupt-resolved")
    await assert_history_is_what_a_client_holds(stack, thread)


async def test_the_result_of_an_overtaken_call_stands_behind_its_call_while_the_next_run_streams(
    stack: Stack, web: Web
) -> None:
    parked = await park(stack, web, "/overtaken-slowly")
    thread = thread_of(parked)
    body = stack.run_body("slowly", thread=thread, forwardedProps={"onInterrupt": "cancel"})
    async with stack.open_run(body=body) as stream:
        await stream.until("TEXT_MESSAGE_CONTENT")
        shown = (await stack.history(thread))["messages"]
        await stack.cancel(thread, body["runId"])
        await stream.to_end()

    roles = ["user", "assistant", "tool", "user", "assistant"]
    assert [message["role"] for message in shown] == roles
    messages = await assert_history_is_what_a_client_holds(stack, thread)
    assert [message["id"] for message in messages] == [message["id"] for message in shown]
    assert messages[:4] == shown[:4]


async def test_pages_of_history_join_to_the_whole(stack: Stack, web: Web) -> None:
    parked = await park(stack, web, "/paged")
    thread = thread_of(parked)
    await stack.stream_run("hello", thread=thread, forwardedProps={"onInterrupt": "cancel"})
    whole = await assert_history_is_what_a_client_holds(stack, thread)

    pages: list[dict[str, Any]] = []
    before: dict[str, Any] = {}
    while True:
        page = await stack.history(thread, limit=2, **before)
        pages = [*page["messages"], *pages]
        if not page["hasMore"]:
            break
        before = {"before": page["nextBefore"]}

    assert len(whole) == 5
    assert pages == whole


# --- cancel ------------------------------------------------------------------------


async def cancelled(stack: Stack, stream: EventStream) -> Reply:
    """Cancel the run of an open stream, twice, and return the whole stream."""
    started = stream.events[0]
    for _ in range(2):
        reply = await stack.cancel(started["threadId"], started["runId"])
        assert reply.status == 202
    await stream.to_end()
    whole = Reply(200, stream.response.headers, stream.body, stream.frames)
    assert whole.end["outcome"] == {"type": "cancelled"}
    assert_valid(whole.events)
    again = await stack.cancel(started["threadId"], started["runId"])
    assert (again.status, again.json["status"]) == (202, "cancelled")
    assert (await stack.run_status(started["threadId"], started["runId"]))["status"] == "cancelled"
    return whole


async def test_a_run_cancelled_in_its_text_keeps_the_text_marked_as_incomplete(stack: Stack) -> None:
    async with stack.open_run("slowly, my name is Ada") as stream:
        await stream.until("TEXT_MESSAGE_CONTENT")
        reply = await cancelled(stack, stream)

    messages = await assert_history_is_what_a_client_holds(stack, thread_of(reply))
    assert messages[-1]["content"] == reply.text != ""
    assert messages[-1]["metadata"]["incomplete"] is True
    after = await stack.stream_run("what is my name?", thread=thread_of(reply))
    assert "Your name is Ada" in after.text


async def test_a_run_cancelled_in_a_tool_ends_the_tool_and_gives_it_a_result(stack: Stack, web: Web) -> None:
    parked = await park(stack, web, "/hang-1")
    thread = thread_of(parked)
    body = stack.run_body(thread=thread, resume=answers(parked, approved=True))
    async with stack.open_run(body=body) as stream:
        await stream.until("STEP_STARTED", stepName="execution")

        async def at_work() -> bool:
            return "/hang-1" in web.hits

        await eventually(at_work)
        reply = await cancelled(stack, stream)

    assert results_by_state(reply) == {parked.interrupts[0]["toolCallId"]: "interrupted"}
    await assert_history_is_what_a_client_holds(stack, thread)
    after = await stack.stream_run("hello", thread=thread)
    assert after.end["outcome"] == {"type": "success"}
    assert after.of("TOOL_CALL_RESULT") == []


async def test_a_run_cancelled_before_the_models_first_byte_says_nothing(stack: Stack) -> None:
    body = stack.run_body("fail hang")
    before = len(stack.demo.asked("fail hang"))
    async with stack.open_run(body=body) as stream:
        await stream.until("STEP_STARTED", stepName="execution")

        async def asked() -> bool:
            return len(stack.demo.asked("fail hang")) == before + 1

        await eventually(asked)
        reply = await cancelled(stack, stream)

    assert reply.text == ""
    history = await stack.history(body["threadId"])
    assert history["messages"] == body["messages"]


async def test_a_user_is_told_that_a_failed_model_call_is_tried_again(open_stack: OpenStack) -> None:
    async with open_stack(model={"max_retries": 1}) as own:
        reply = await own.stream_run("fail 503")

    assert reply.end["code"] == "model-unavailable"
    told = [event["value"] for event in reply.of("CUSTOM") if event["name"] == "agentroute.retrying"]
    assert [(value["attempt"], value["code"]) for value in told] == [(2, "model-unavailable")]
    assert 0 <= told[0]["delayMs"] <= 500
    assert_valid(reply.events)


async def test_a_queued_run_is_cancelled_at_once_and_still_has_a_whole_stream(open_stack: OpenStack) -> None:
    async with open_stack(workers=0) as own:
        body = own.run_body("hello")
        accepted = await own.post_run(body=body)
        thread, run = accepted.json["threadId"], accepted.json["runId"]
        async with own.open_events(thread, run) as follower:
            stopped = await own.cancel(thread, run)
            assert stopped.json["status"] == "cancelled"
            events = await follower.to_end()

        assert [event["type"] for event in events] == ["RUN_STARTED", "RUN_FINISHED"]
        assert events[-1]["outcome"] == {"type": "cancelled"}
        assert (await own.cancel(thread, run)).json["status"] == "cancelled"
        history = await own.history(thread)
        assert history["messages"] == body["messages"]
        assert not history.get("activeRun")

        await own.start_worker()
        after = await own.stream_run("hello again", thread=thread)
        assert after.end["outcome"] == {"type": "success"}
        assert own.demo.asked(f"user-{run}") == []


async def test_a_run_that_has_ended_cannot_be_cancelled(stack: Stack) -> None:
    reply = await stack.stream_run("hello")

    (await stack.cancel(thread_of(reply), run_of(reply))).problem(409, "run-finished")
    (await stack.cancel(thread_of(reply), "run-of-nobody")).problem(404, "not-found")


async def test_a_client_without_a_protocol_version_sees_a_cancel_as_an_error(stack: Stack) -> None:
    body = stack.run_body("slowly", protocolVersion=None)
    async with stack.open_run(body=body) as stream:
        await stream.until("TEXT_MESSAGE_CONTENT")
        await stack.cancel(body["threadId"], body["runId"])
        events = await stream.to_end()

    assert (events[-1]["type"], events[-1]["code"]) == ("RUN_ERROR", "cancelled")
    (run,) = await stack.runs(body["threadId"])
    assert run["status"] == "cancelled"


async def test_leaving_the_stream_does_not_stop_the_run(stack: Stack) -> None:
    body = stack.run_body("hello there")
    async with stack.open_run(body=body) as stream:
        await stream.next()

    (run,) = await stack.ended(body["threadId"])
    assert run["status"] == "succeeded"
    whole = await stack.read_events(body["threadId"], body["runId"])
    assert whole.body.startswith(stream.body)


# --- one run for one request, one live run for a thread ------------------------------


async def test_the_same_request_is_the_same_run(stack: Stack) -> None:
    body = stack.run_body("hello twice")
    first = await stack.stream_run(body=body)

    again = await stack.stream_run(body=body)
    accepted = await stack.post_run(body=body)

    assert again.body == first.body
    assert accepted.status == 202
    assert (accepted.json["runId"], accepted.json["status"]) == (body["runId"], "succeeded")
    assert len(await stack.runs(body["threadId"])) == 1
    assert len(stack.demo.asked("hello twice")) == 1


async def test_the_key_of_the_header_wins_over_the_run_id(stack: Stack) -> None:
    body = stack.run_body("hello", threadId=None, runId=None)
    key = {"Idempotency-Key": "a-key-of-the-client"}

    first = await stack.post_run(body=body, headers=key)
    again = await stack.post_run(body=body, headers=key)

    assert first.status == again.status == 202
    assert again.json["taskId"] == first.json["taskId"]
    assert again.json["threadId"] == first.json["threadId"]


async def test_the_same_id_with_another_body_is_refused(stack: Stack) -> None:
    body = stack.run_body("hello")
    await stack.stream_run(body=body)
    other = stack.run_body("something else", thread=body["threadId"], run=body["runId"])
    elsewhere = body | {"threadId": stack.new_id("thread")}

    (await stack.stream_run(body=other)).problem(422, "idempotency-mismatch")
    (await stack.post_run(body=elsewhere)).problem(422, "idempotency-mismatch")
    assert len(await stack.runs(body["threadId"])) == 1


async def test_fifty_copies_of_a_request_at_once_make_one_run(stack: Stack) -> None:
    body = stack.run_body("hello fifty times")

    replies = await asyncio.gather(*(stack.post_run(body=body) for _ in range(50)))

    assert {reply.status for reply in replies} == {202}
    assert len({reply.json["taskId"] for reply in replies}) == 1
    await stack.ended(body["threadId"])
    assert len(await stack.runs(body["threadId"])) == 1
    assert len(stack.demo.asked("hello fifty times")) == 1
    assert len((await stack.history(body["threadId"]))["messages"]) == 2


async def test_a_busy_thread_refuses_a_second_run_and_names_the_live_one(stack: Stack) -> None:
    body = stack.run_body("slowly")
    thread, run = body["threadId"], body["runId"]
    async with stack.open_run(body=body) as stream:
        await stream.until("TEXT_MESSAGE_CONTENT")
        refused = await stack.stream_run("hello", thread=thread)
        document = refused.problem(409, "run-active")
        assert document["runId"] == run
        assert document["retryable"] is True
        assert int(refused.headers["retry-after"]) >= 1
        path = document["eventsUrl"].removeprefix(BASE)
        followed = asyncio.create_task(stack.request("GET", path))
        await stack.cancel(thread, run)
        await stream.to_end()

    assert (await followed).events == stream.events
    assert len(await stack.runs(thread)) == 1
    assert (await stack.stream_run("hello", thread=thread)).end["outcome"] == {"type": "success"}


# --- users -------------------------------------------------------------------------


async def test_a_foreign_thread_looks_absent_and_stays_untouched(stack: Stack, web: Web) -> None:
    parked = await park(stack, web, "/foreign")
    thread, run = thread_of(parked), run_of(parked)
    before = await stack.history(thread)
    resume = stack.run_body(thread=thread, run="eves-run", resume=answers(parked, approved=True))

    async def ask(thread: str, run: str) -> list[Reply]:
        return [
            await stack.request("GET", "/history", user="eve", params={"threadId": thread}),
            await stack.request("GET", "/events", user="eve", params={"threadId": thread}),
            await stack.request("GET", "/events", user="eve", params={"threadId": thread, "runId": run}),
            await stack.request("GET", f"/runs/{run}", user="eve", params={"threadId": thread}),
            await stack.request("POST", f"/runs/{run}/cancel", user="eve", json={"threadId": thread}),
            await stack.request("POST", "/resume", user="eve", json=resume | {"threadId": thread}),
        ]

    def comparable(reply: Reply, run: str) -> tuple[Any, ...]:
        document = reply.problem(404, "not-found")
        document.pop("requestId")
        return reply.status, orjson.dumps(document).replace(run.encode(), b"RUN"), set(reply.headers)

    foreign, absent = await ask(thread, run), await ask("no-such-thread", "no-such-run")
    assert [comparable(reply, run) for reply in foreign] == [
        comparable(reply, "no-such-run") for reply in absent
    ]
    assert "/foreign" not in web.hits
    assert await stack.history(thread) == before


async def test_two_users_may_use_the_same_ids(stack: Stack) -> None:
    body = stack.run_body("my name is Ada")
    adas = await stack.stream_run(body=body)
    eves = await stack.stream_run(
        body=body | {"messages": [{"id": "m", "role": "user", "content": "hi"}]}, user="eve"
    )

    assert eves.end["outcome"] == {"type": "success"}
    assert eves.cursors[0] == "1-1"
    assert "Ada" not in eves.text
    assert (await stack.history(body["threadId"]))["messages"][-1]["content"] == adas.text
    question = stack.run_body("what is my name?", thread=body["threadId"])
    assert "You have not told me" in (await stack.stream_run(body=question, user="eve")).text


async def test_nobody_is_refused_before_anything_else(stack: Stack) -> None:
    async with httpx.AsyncClient(base_url=stack.apis[0].url + BASE, trust_env=False) as nobody:
        refused = await nobody.post("/runs", json={"nonsense": True})

    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith("Bearer")


# --- failures of the model -----------------------------------------------------------


@pytest.mark.parametrize(
    ("wish", "code", "says_something"),
    [
        ("fail", "model-unavailable", False),
        ("fail 400", "model-unavailable", False),
        ("fail mid", "model-stream-error", True),
        ("fail chunk", "model-stream-error", True),
        ("fail error", "model-stream-error", True),
    ],
)
async def test_a_failure_of_the_model_ends_the_run_and_not_the_conversation(
    stack: Stack, wish: str, code: str, says_something: bool
) -> None:
    body = stack.run_body(wish)
    thread = body["threadId"]
    failed = await stack.stream_run(body=body)

    assert (failed.end["type"], failed.end["code"]) == ("RUN_ERROR", code)
    assert "demo" not in failed.end["message"]
    # Everything that was opened is closed before the end.
    for opened, closed in (("STEP_STARTED", "STEP_FINISHED"), ("TEXT_MESSAGE_START", "TEXT_MESSAGE_END")):
        assert len(failed.of(opened)) == len(failed.of(closed))
    messages = await assert_history_is_what_a_client_holds(stack, thread)
    assert messages[0] == body["messages"][0]
    assert bool(failed.text) is says_something
    if says_something:
        assert failed.text == "I begin an answer as you asked me to, but it will not reach its"
        assert messages[1]["content"] == failed.text
        assert messages[1]["metadata"]["incomplete"] is True
    else:
        assert len(messages) == 1
    (run,) = await stack.runs(thread)
    assert (run["status"], run["error_code"]) == ("failed", code)

    follow_up = f"are you there after {thread}?"
    after = await stack.stream_run(follow_up, thread=thread)
    assert after.end["outcome"] == {"type": "success"}
    said = [
        text
        for message in stack.demo.asked(follow_up)[-1]["messages"]
        if message["role"] == "user" and (text := _text(message))
    ]
    assert said == [wish, follow_up]


def _text(message: dict[str, Any]) -> str:
    content = message["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


async def test_an_intent_is_a_step_and_one_that_cannot_be_had_ends_the_run_before_the_agent(
    open_stack: OpenStack, with_intent: Path
) -> None:
    async with open_stack(profile_path=with_intent) as stack:
        served = await stack.stream_run("hello there")
        failed = await stack.stream_run("fail intent")

        assert [event["stepName"] for event in served.of("STEP_STARTED")] == ["intent", "execution"]
        assert failed.end["code"] == "model-unavailable"
        assert [event["stepName"] for event in failed.of("STEP_STARTED")] == ["intent"]
        await assert_history_is_what_a_client_holds(stack, thread_of(failed))


async def test_an_answer_cut_at_its_length_is_an_answer_and_says_so(stack: Stack) -> None:
    reply = await stack.stream_run("fail length")

    assert reply.end["outcome"] == {"type": "success"}
    messages = await assert_history_is_what_a_client_holds(stack, thread_of(reply))
    assert messages[-1]["metadata"]["finishReason"] == "length"


async def test_an_answer_that_a_filter_stopped_is_a_failure_and_stays_incomplete(stack: Stack) -> None:
    reply = await stack.stream_run("fail filter")

    assert (reply.end["type"], reply.end["code"]) == ("RUN_ERROR", "content-filtered")
    messages = await assert_history_is_what_a_client_holds(stack, thread_of(reply))
    assert messages[-1]["metadata"]["finishReason"] == "content_filter"
    assert messages[-1]["metadata"]["incomplete"] is True


async def test_a_model_that_cannot_be_reached_is_told_without_its_address(open_stack: OpenStack) -> None:
    async with open_stack(model={"base_url": "http://127.0.0.1:9/v1", "connect_timeout_seconds": 1}) as own:
        reply = await own.stream_run("hello")

        assert reply.end["code"] == "model-unavailable"
        assert "127.0.0.1" not in reply.body.decode()
