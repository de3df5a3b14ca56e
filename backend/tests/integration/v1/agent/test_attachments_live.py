"""Attachments from the outside: refused before they are in the thread, and never in the way of what comes after."""

from __future__ import annotations

import json

import pytest
from tests.support.attachment_cases import part
from tests.support.stack import Stack

_SET_STATE = """
UPDATE agent_checkpoint AS c SET state = $2 FROM agent_chat_session AS s
WHERE s.id = c.session_id AND s.thread_id = $1 RETURNING c.ordinal
"""
_STATE = """
SELECT c.state FROM agent_checkpoint AS c JOIN agent_chat_session AS s ON s.id = c.session_id
WHERE s.thread_id = $1 ORDER BY c.ordinal DESC LIMIT 1
"""
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
    (row,) = await stack.fetch(_STATE, thread)
    state = json.loads(row["state"])
    # As such a version stored them: the type as the browser gave it.
    recordings = [
        {
            "type": "data",
            "id": f"block-{number}",
            "source": {"type": "base64", "data": "AAAA", "media_type": media_type},
        }
        for number, media_type in enumerate(RECORDINGS)
    ]
    state["context"].append({**state["context"][0], "id": "user-stuck", "content": recordings})
    assert await stack.fetch(_SET_STATE, thread, json.dumps(state))

    replies = [await stack.stream_run(text, thread=thread) for text in ("are you there", "and now")]

    assert [reply.end["type"] for reply in replies] == ["RUN_FINISHED", "RUN_FINISHED"]
