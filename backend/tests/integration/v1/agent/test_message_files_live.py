"""Messages that name files: accepted by reference, given to the model as bytes, stored nowhere else."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.stack import OpenStack, Stack, Web

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00\x00\x00\rIHDR" + bytes(range(250)) * 8
PDF = b"%PDF-1.7\n" + b"a page " * 20
INLINE_BYTES = 1000
"""Small, so that tests are."""
BASE64 = base64.b64encode(PNG).decode()
KEPT = """
SELECT input AS kept FROM agent_run UNION ALL SELECT payload FROM agent_run_event
UNION ALL SELECT state FROM agent_checkpoint UNION ALL SELECT content::text FROM agent_chat_message
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


@pytest.fixture(scope="module")
async def stack(open_stack: OpenStack, folder: Path) -> AsyncIterator[Stack]:
    async with open_stack(files={"url": folder.as_uri(), "inline_bytes": INLINE_BYTES}) as stack:
        yield stack


def file_id(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def upload(
    stack: Stack, content: bytes, name: str = "a.png", *, user: str = "ada", type_: str = ""
) -> str:
    reply = await stack.request(
        "POST", "/files", user=user, files={"file": (name, content, type_ or "application/octet-stream")}
    )
    assert reply.status in {200, 201}, reply.body
    return reply.json["fileId"]


def named(value: str, kind: str = "image", **source: Any) -> dict[str, Any]:
    return {"type": kind, "source": {"type": "file", "value": value, **source}}


def inline(content: bytes = PNG, media_type: str = "image/png", kind: str = "image") -> dict[str, Any]:
    data = base64.b64encode(content).decode()
    return {"type": kind, "source": {"type": "data", "value": data, "mimeType": media_type}}


def said(message_id: str, *parts: dict[str, Any], text: str = "what is this?") -> dict[str, Any]:
    return {"id": message_id, "role": "user", "content": [{"type": "text", "text": text}, *parts]}


def asked(stack: Stack) -> str:
    """Return the conversation that the model was given last, as JSON."""
    return json.dumps(stack.demo.requests[-1]["messages"])


def stored(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]


@contextmanager
def moved_away(folder: Path) -> Iterator[None]:
    away = folder.rename(folder.with_name("away"))
    try:
        yield
    finally:
        away.rename(folder)


async def files_of(stack: Stack, user: str = "ada") -> set[str]:
    page = (await stack.request("GET", "/files", user=user, params={"limit": "100"})).json
    return {item["fileId"] for item in page["files"]}


# --- by reference ---


async def test_the_model_gets_the_bytes_and_nothing_else_has_them(stack: Stack) -> None:
    thread, value = stack.new_id("thread"), await upload(stack, PNG, "plan.png")

    reply = await stack.stream_run(thread=thread, messages=[said("m-1", named(value))])
    again = await stack.stream_run(thread=thread, messages=[said("m-1", named(value)), said("m-2")])

    assert [reply.end["type"], again.end["type"]] == ["RUN_FINISHED"] * 2
    urls = [
        part["image_url"]["url"]
        for message in stack.demo.requests[-1]["messages"][1:2]
        for part in message["content"][1:]
    ]
    assert urls == [f"data:image/png;base64,{BASE64}"]
    assert not [row for row in await stack.fetch(KEPT) if BASE64[:200] in row["kept"]]
    part = (await stack.history(thread))["messages"][0]["content"][1]
    assert part["source"] == {
        "type": "file",
        "value": value,
        "provider": "agentroute",
        "mimeType": "image/png",
    }
    assert part["metadata"] == {"filename": "plan.png", "url": f"/api/v1/agent/files/{value}"}


async def test_pdfs_and_texts_have_the_form_of_the_model(stack: Stack) -> None:
    parts = [
        named(await upload(stack, PDF, "bill.pdf"), "document"),
        named(
            await upload(stack, b"name,age\n", "ages.csv", type_="text/csv"),
            "document",
            provider="agentroute",
        )
        | {"metadata": {"filename": "x/ages\n2026.csv"}},
    ]
    thread = stack.new_id("thread")

    reply = await stack.stream_run(thread=thread, messages=[said(stack.new_id("m"), *parts)])

    assert reply.end["type"] == "RUN_FINISHED"
    (_, pdf, csv) = stack.demo.requests[-1]["messages"][-1]["content"]
    data = f"data:application/pdf;base64,{base64.b64encode(PDF).decode()}"
    assert pdf == {"type": "file", "file": {"filename": "bill.pdf", "file_data": data}}
    assert csv == {"type": "text", "text": "[ages 2026.csv, text/csv]\nname,age\n"}
    (_, _, kept) = (await stack.history(thread))["messages"][0]["content"]
    assert kept["metadata"]["filename"] == "ages 2026.csv"


async def test_a_file_that_nobody_has_refuses_the_run_and_so_does_anothers(stack: Stack) -> None:
    foreign = await upload(stack, b"only eve has this", user="eve")
    thread = stack.new_id("thread")

    for value in (foreign, "0" * 64, "no id"):
        reply = await stack.post_run(thread=thread, messages=[said("m-1"), said("m-2", named(value))])
        (error,) = reply.problem(422, "file-unknown")["errors"]
        assert error["pointer"] == "/messages/1/content/1/source/value"
    other = await stack.post_run(thread=thread, messages=[said("m-1", named("file-1", provider="openai"))])
    assert (
        other.problem(422, "invalid-request")["errors"][0]["pointer"]
        == "/messages/0/content/1/source/provider"
    )
    assert await stack.runs(thread) == []
    # Nobody's message named it, so it still expires.
    assert (
        await stack.fetch(
            "SELECT 1 FROM agent_file_use AS u JOIN agent_file AS f ON f.id = u.file_id WHERE f.user_id = 'eve'"
        )
        == []
    )


async def test_what_no_model_can_be_given_is_refused(stack: Stack) -> None:
    archive = await upload(stack, b"PK\x03\x04" + bytes(100), "a.zip")
    long = await upload(stack, b"x" * (200 << 10), "long.txt")

    zipped = await stack.post_run(messages=[said("m-1", named(archive, "document"))])
    text = await stack.post_run(messages=[said("m-1", named(long, "document"))])

    assert (
        zipped.problem(422, "attachment-unsupported")["errors"][0]["pointer"]
        == "/messages/0/content/1/source/value"
    )
    text.problem(422, "limit-exceeded")


async def test_a_deleted_file_leaves_a_note_and_the_thread_goes_on(stack: Stack) -> None:
    content = PNG + b"deleted"
    thread, value = stack.new_id("thread"), await upload(stack, content, "gone.png")
    await stack.stream_run(thread=thread, messages=[said("m-1", named(value))])
    assert (await stack.request("DELETE", f"/files/{value}")).status == 204

    reply = await stack.stream_run("and now?", thread=thread)
    again = await stack.stream_run(thread=thread, messages=[], forwardedProps={"regenerateFrom": "m-1"})

    assert [reply.end["type"], again.end["type"]] == ["RUN_FINISHED"] * 2
    assert "A file (gone.png, image/png) was deleted" in asked(stack)
    assert (await stack.history(thread))["messages"][0]["content"][1]["source"]["value"] == value
    gone = (await stack.request("GET", f"/files/{value}")).problem(410, "file-gone")
    assert gone["detail"] == "The file was deleted, by its owner. Upload it again to use it."
    (await stack.request("GET", f"/files/{value}", user="eve")).problem(404, "not-found")
    (await stack.request("DELETE", f"/files/{value}")).problem(404, "not-found")
    # The same bytes are the same file for the messages that name it.
    await upload(stack, content, "back.png")
    assert (await stack.request("GET", f"/files/{value}")).body == content


async def test_a_run_whose_files_cannot_be_read_says_so(stack: Stack, folder: Path) -> None:
    value = await upload(stack, PNG + b"unreadable", "far.png")
    with moved_away(folder):
        reply = await stack.stream_run(thread=stack.new_id("thread"), messages=[said("m-1", named(value))])

    assert (reply.end["type"], reply.end.get("code")) == ("RUN_ERROR", "files-unavailable")


async def test_a_run_that_waits_brings_its_files_with_its_turn(stack: Stack) -> None:
    thread, value = stack.new_id("thread"), await upload(stack, PNG)
    first, body = await asyncio.gather(
        stack.stream_run("count slowly to 3", thread=thread),
        stack.stream_run(
            thread=thread, messages=[said("w-1", named(value))], forwardedProps={"onBusy": "enqueue"}
        ),
    )

    assert {first.end["type"], body.end["type"]} == {"RUN_FINISHED"}
    history = (await stack.history(thread))["messages"]
    assert [
        part["source"]["value"]
        for message in history
        if message["id"] == "w-1"
        for part in message["content"][1:]
    ] == [value]


async def test_an_old_client_reads_the_name_of_a_file(stack: Stack) -> None:
    thread, value = stack.new_id("thread"), await upload(stack, PNG, "old.png")
    await stack.stream_run(thread=thread, messages=[said("m-1", named(value))])

    reply = await stack.stream_run(
        "hello", thread=thread, protocolVersion=None, forwardedProps={"messagesSnapshot": "always"}
    )

    snapshot = reply.of("MESSAGES_SNAPSHOT")[-1]
    assert snapshot["messages"][0]["content"][1] == {"type": "text", "text": "[image: old.png]"}


async def test_an_approval_after_a_restart_of_everything_still_shows_the_file(
    open_stack: OpenStack, folder: Path, web: Web
) -> None:
    async with open_stack(files={"url": folder.as_uri()}) as stack:
        thread, value = stack.new_id("thread"), await upload(stack, PNG)
        parked = await stack.stream_run(
            thread=thread, messages=[said("m-1", named(value), text=f"fetch {web.url}/with-a-file")]
        )
        (interrupt,) = parked.interrupts
        await stack.close()
        await stack.start_worker()
        await stack.start_api()

        reply = await stack.resume(
            thread, [{"interruptId": interrupt["id"], "status": "resolved", "payload": {"approved": True}}]
        )

        assert reply.end["outcome"] == {"type": "success"}
        assert BASE64 in asked(stack)


# --- inline data ---


async def test_large_inline_data_becomes_a_file_and_its_client_notices_nothing(stack: Stack) -> None:
    content = PNG + b"inline"
    thread, sent = stack.new_id("thread"), said("m-1", inline(content))

    first = await stack.stream_run(thread=thread, messages=[sent])
    # A stock client sends everything again, as it has it.
    second = await stack.stream_run(thread=thread, messages=[sent, said("m-2")])
    third = await stack.stream_run(thread=thread, messages=[sent], forwardedProps={"regenerateFrom": "m-1"})
    repeat = await stack.stream_run(
        thread=thread,
        messages=[said("m-1", inline(b"other" * 999))],
        forwardedProps={"regenerateFrom": "m-1"},
    )

    assert [reply.end["type"] for reply in (first, second, third)] == ["RUN_FINISHED"] * 3
    repeat.problem(422, "invalid-request")
    assert base64.b64encode(content).decode() in asked(stack)
    part = (await stack.history(thread))["messages"][0]["content"][1]
    assert part["source"]["value"] == file_id(content)
    assert (await stack.request("GET", f"/files/{file_id(content)}")).body == content
    assert not [row for row in await stack.fetch(KEPT) if "aW5saW5l" in row["kept"]]


async def test_small_inline_data_stays_where_it_is(stack: Stack) -> None:
    thread, sent = stack.new_id("thread"), said("m-1", inline(PNG[:INLINE_BYTES]))

    await stack.stream_run(thread=thread, messages=[sent])

    assert (await stack.history(thread))["messages"][0] == sent


async def test_the_same_request_many_times_at_once_stores_its_data_once(stack: Stack, folder: Path) -> None:
    content = PNG + b"many"
    before = len(stored(folder))
    body = stack.run_body(messages=[said("m-1", inline(content))])

    replies = await asyncio.gather(*(stack.post_run(body=body) for _ in range(8)))

    assert {reply.status for reply in replies} == {202}
    await stack.ended(body["threadId"])
    assert file_id(content) in await files_of(stack)
    assert len(stored(folder)) == before + 1


async def test_a_run_that_is_refused_stores_nothing(stack: Stack, web: Web) -> None:
    thread = stack.new_id("thread")
    parked = await stack.stream_run(f"fetch {web.url}/refused-with-a-file", thread=thread)
    assert parked.interrupts
    content = PNG + b"refused"

    refused = await stack.post_run(thread=thread, messages=[said("m-1", inline(content))])

    refused.problem(409, "interrupt-open")
    assert file_id(content) not in await files_of(stack)


async def test_data_beyond_the_quota_refuses_the_run(open_stack: OpenStack, tmp_path: Path) -> None:
    limits = {"url": tmp_path.as_uri(), "inline_bytes": 100, "max_user_bytes": 3000}
    async with open_stack(workers=0, files=limits) as stack:
        thread = stack.new_id("thread")

        two = await stack.post_run(thread=thread, messages=[said("m-1", inline(), inline(PNG + b"2"))])
        one = await stack.post_run(thread=thread, messages=[said("m-1", inline())])

        two.problem(413, "file-quota-exceeded")
        assert one.status == 202
        # The first of the two was stored, and taken back.
        assert await files_of(stack) == {file_id(PNG)}


# --- threads ---


async def test_a_deleted_thread_takes_the_files_that_nothing_else_names(stack: Stack, folder: Path) -> None:
    user = "threads"
    own, shared, unnamed = [
        await upload(stack, content * 50, user=user) for content in (b"own", b"shared", b"unnamed")
    ]
    one, two = stack.new_id("thread"), stack.new_id("thread")
    for thread, values in ((one, [own, shared]), (two, [shared])):
        parts = [named(value, "document") for value in values]
        reply = await stack.stream_run(thread=thread, user=user, messages=[said("m-1", *parts)])
        assert reply.end["type"] == "RUN_FINISHED"

    assert (await stack.request("DELETE", f"/threads/{one}", user=user)).status == 204
    assert await files_of(stack, user) == {shared, unnamed}
    assert (await stack.request("DELETE", f"/threads/{two}", user=user)).status == 204

    assert await files_of(stack, user) == {unnamed}
    left = stored(folder)
    assert b"unnamed" * 50 in left
    assert not {b"own" * 50, b"shared" * 50}.intersection(left)
