"""Attachments from the outside: refused before they are in the thread, and never in the way of what comes after."""

from __future__ import annotations

import pytest
from agentscope.message import Base64Source, DataBlock, TextBlock, UserMsg
from agentscope.state import AgentState
from tests.support.attachment_cases import part
from tests.support.stack import Stack
from tests.support.whole_states import store_whole

RECORDINGS = ["audio/webm;codecs=opus", "audio/mp4", "audio/ogg"]


@pytest.mark.parametrize("media_type", RECORDINGS)
async def test_a_recording_of_a_browser_is_refused_and_the_next_text_is_answered(
    stack: Stack, media_type: str
) -> None:
    thread, run = stack.new_id("thread"), stack.new_id("run")
    recording = {"id": f"user-{run}", "role": "user", "content": [part("audio", media_type)]}

    refused = await stack.post_run(thread=thread, run=run, messages=[recording])
    reply = await stack.stream_run("hello", thread=thread)

    errors = refused.problem(422, "attachment-unsupported")["errors"]
    assert [error["pointer"] for error in errors] == ["/messages/0/content/0/source/mimeType"]
    assert reply.end["type"] == "RUN_FINISHED"
    assert len((await stack.history(thread))["messages"]) == 2


async def test_what_has_a_form_is_answered_and_so_is_the_next_text(stack: Stack) -> None:
    thread, run = stack.new_id("thread"), stack.new_id("run")
    parts = [
        part("image", "image/png"),
        part("audio", "audio/x-wav"),
        part("document", "application/pdf"),
        part("document", "text/plain; charset=utf-8"),
    ]
    message = {"id": f"user-{run}", "role": "user", "content": parts}

    first = await stack.stream_run(thread=thread, run=run, messages=[message])
    second = await stack.stream_run("hello", thread=thread)

    assert [first.end["type"], second.end["type"]] == ["RUN_FINISHED", "RUN_FINISHED"]
    assert (await stack.history(thread))["messages"][0] == message


async def test_a_thread_that_an_older_version_left_stuck_goes_on(stack: Stack) -> None:
    thread = stack.new_id("thread")
    await stack.stream_run("hello", thread=thread)
    state = AgentState(session_id=thread, context=[UserMsg(name="user", content="hello")])
    # As such a version stored them: the type as the browser gave it.
    recordings: list[TextBlock | DataBlock] = [
        DataBlock(source=Base64Source(data="AAAA", media_type=media_type)) for media_type in RECORDINGS
    ]
    state.context.append(UserMsg(name="user", content=recordings))
    await store_whole(stack, thread, state)

    replies = [await stack.stream_run(text, thread=thread) for text in ("are you there", "and now")]

    assert [reply.end["type"] for reply in replies] == ["RUN_FINISHED", "RUN_FINISHED"]
