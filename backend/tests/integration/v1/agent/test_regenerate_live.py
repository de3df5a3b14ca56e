"""``forwardedProps.regenerateFrom``: history and memory go on from before a message, the log keeps everything."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tests.support.agui_reducer import AguiClient
from tests.support.stack import Reply, Stack, Web, assert_valid


def said(message_id: str, text: str) -> dict[str, Any]:
    return {"id": message_id, "role": "user", "content": text}


class Chat:
    """A client of one thread that drops what it has replaced."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.thread = stack.new_id("thread")
        self.held = AguiClient()

    async def say(self, *messages: dict[str, Any], **props: Any) -> Reply:
        """Send new messages, the conversation before them as well, as stock clients do."""
        reply = await self.stack.stream_run(
            thread=self.thread, messages=[*self.held.messages, *messages], forwardedProps=props
        )
        if reply.status == 200:
            self.held.messages += messages
            for event in reply.events:
                self.held.see(event)
        return reply

    async def replace(self, message_id: str, *messages: dict[str, Any], **props: Any) -> Reply:
        """Drop a message and what follows it, and send others instead."""
        places = [message["id"] for message in self.held.messages]
        del self.held.messages[places.index(message_id) :]
        return await self.say(*messages, regenerateFrom=message_id, **props)

    async def check(self) -> list[dict[str, Any]]:
        """Compare history with what the client holds, and return it."""
        messages = (await self.stack.history(self.thread))["messages"]
        assert messages == self.held.messages
        return messages


@pytest.fixture
def chat(stack: Stack) -> Chat:
    return Chat(stack)


async def test_an_edited_message_takes_the_place_of_the_old_one_and_of_everything_after_it(
    chat: Chat, stack: Stack
) -> None:
    await chat.say(said("m-1", "hello"))
    await chat.say(said("m-2", "my name is Ada"))
    await chat.say(said("m-3", "what is my name?"))
    log = await stack.log(chat.thread)

    reply = await chat.replace("m-2", said("m-2b", "my name is Grace"))

    assert "Grace" in reply.text
    assert_valid(reply.events)
    messages = await chat.check()
    assert [message["id"] for message in messages if message["role"] == "user"] == ["m-1", "m-2b"]
    answer = await chat.say(said("m-4", "what is my name?"))
    assert "Grace" in answer.text
    assert "Ada" not in orjson.dumps(stack.demo.requests[-1]["messages"]).decode()
    await chat.check()
    assert (await stack.log(chat.thread))[: len(log)] == log
    first = await stack.read_events(chat.thread, (await stack.runs(chat.thread))[2]["run_id"])
    assert "Your name is Ada" in first.text


async def test_the_same_message_is_answered_again(chat: Chat, stack: Stack) -> None:
    await chat.say(said("m-1", "my name is Ada"))
    first = await chat.say(said("m-2", "calculate 6*7"))

    again = await chat.replace("m-2", said("m-2", "calculate 6*7"))

    assert again.text == first.text
    assert again.of("TOOL_CALL_START")[0]["toolCallId"] != first.of("TOOL_CALL_START")[0]["toolCallId"]
    messages = await chat.check()
    assert [message["id"] for message in messages].count("m-2") == 1
    asked = orjson.dumps(stack.demo.requests[-1]["messages"]).decode()
    assert asked.count("calculate 6*7") == 1
    assert "my name is Ada" in asked


async def test_naming_the_message_is_enough_to_answer_it_again(chat: Chat) -> None:
    await chat.say(said("m-1", "hello"))
    await chat.say(said("m-2", "calculate 6*7"))
    del chat.held.messages[3:]

    reply = await chat.say(regenerateFrom="m-2")

    assert "42" in reply.text
    await chat.check()


async def test_a_message_may_be_replaced_again_and_again(chat: Chat, stack: Stack) -> None:
    await chat.say(said("m-1", "my name is Ada"))
    await chat.replace("m-1", said("m-1b", "my name is Grace"))
    await chat.say(said("m-2", "my town is Oslo"))
    await chat.replace("m-2", said("m-2", "my town is Oslo"))
    await chat.replace("m-2", said("m-2b", "my town is Bergen"))
    reply = await chat.say(said("m-3", "what is my town?"))

    assert "Bergen" in reply.text
    asked = orjson.dumps(stack.demo.requests[-1]["messages"]).decode()
    assert "Grace" in asked
    assert "Ada" not in asked
    assert "Oslo" not in asked
    await chat.check()

    await chat.replace("m-1b", said("m-1c", "what is my name?"))
    asked = orjson.dumps(stack.demo.requests[-1]["messages"]).decode()
    assert "Grace" not in asked
    assert len(await chat.check()) == 2


async def test_an_imported_message_can_be_replaced(chat: Chat, stack: Stack) -> None:
    imported = [
        said("old-1", "my name is Ada"),
        {"id": "old-2", "role": "assistant", "content": "Nice to meet you, Ada."},
        said("old-3", "my town is Oslo"),
        {"id": "old-4", "role": "assistant", "content": "Noted: Oslo."},
    ]
    await chat.say(*imported, said("m-1", "what is my town?"))

    reply = await chat.replace("old-3", said("new-3", "what is my name?"))

    assert "Ada" in reply.text
    asked = orjson.dumps(stack.demo.requests[-1]["messages"]).decode()
    assert "Oslo" not in asked
    assert [message["id"] for message in await chat.check()][:3] == ["old-1", "old-2", "new-3"]


async def test_a_client_that_did_not_drop_anything_is_given_the_messages(stack: Stack) -> None:
    chat = Chat(stack)
    await chat.say(said("m-1", "hello"))
    await chat.say(said("m-2", "my name is Ada"))

    # As a client without any idea of replacing would: all it holds, and the new message.
    reply = await chat.say(said("m-2b", "my name is Grace"), regenerateFrom="m-2")

    (snapshot,) = reply.of("MESSAGES_SNAPSHOT")
    ids = [message["id"] for message in snapshot["messages"]]
    assert ids[0] == "m-1"
    assert ids[-1] == "m-2b"
    assert "m-2" not in ids
    await chat.check()
    assert (await chat.say(said("m-3", "hello again"))).of("MESSAGES_SNAPSHOT") == []
    # Later too, to one that still comes with what was replaced.
    stale = [*chat.held.messages, said("m-2", "my name is Ada"), said("m-4", "hello")]
    later = await stack.stream_run(thread=chat.thread, messages=stale)
    assert len(later.of("MESSAGES_SNAPSHOT")) == 1


async def test_replaced_messages_count_and_are_found_no_more(chat: Chat, stack: Stack) -> None:
    await chat.say(said("m-1", "tell me about the okapi"))
    await chat.replace("m-1", said("m-1b", "tell me about the quagga"))

    async def found(words: str) -> list[str]:
        reply = await stack.request("GET", "/threads", params={"q": words})
        return [item["threadId"] for item in reply.json["threads"]]

    await stack.request("PATCH", f"/threads/{chat.thread}", json={"title": "Animals"})
    assert await found("okapi") == []
    assert await found("quagga") == [chat.thread]
    (item,) = (await stack.request("GET", "/threads", params={"q": "quagga"})).json["threads"]
    assert item["messageCount"] == len(await chat.check())


async def test_a_page_ends_where_a_replaced_one_began(chat: Chat, stack: Stack) -> None:
    for place in range(3):
        await chat.say(said(f"m-{place}", f"hello {place}"))
    await chat.replace("m-1", said("m-1b", "hello again"))

    newest = await stack.history(chat.thread, limit=2)
    oldest = await stack.history(chat.thread, limit=2, before=newest["nextBefore"])

    assert oldest["messages"] + newest["messages"] == chat.held.messages
    assert not oldest["hasMore"]


# --- with questions and client tools -------------------------------------------------


async def test_a_parked_run_is_replaced_and_its_call_is_forgotten(chat: Chat, stack: Stack, web: Web) -> None:
    parked = await chat.say(said("m-1", f"fetch {web.url}/replaced"))
    refused = await stack.stream_run(
        thread=chat.thread, messages=[said("m-2", "hello")], forwardedProps={"regenerateFrom": "m-1"}
    )
    refused.problem(409, "interrupt-open")

    reply = await chat.replace("m-1", said("m-1b", "my name is Ada"), onInterrupt="cancel")

    assert reply.of("TOOL_CALL_RESULT") == []
    history = await stack.history(chat.thread)
    assert history["pendingInterrupts"] == []
    assert len(await chat.check()) == 2
    (interrupt,) = parked.interrupts
    late = [{"interruptId": interrupt["id"], "status": "resolved", "payload": {"approved": True}}]
    (await stack.resume(chat.thread, late)).problem(409, "interrupt-resolved")
    assert "/replaced" not in web.hits
    assert "Ada" in (await chat.say(said("m-2", "what is my name?"))).text


async def test_a_message_sent_instead_of_an_answer_is_edited_and_the_call_keeps_its_one_result(
    chat: Chat, stack: Stack, web: Web
) -> None:
    await chat.say(said("m-1", f"fetch {web.url}/kept-result"))
    await chat.say(said("m-2", "hello instead"), onInterrupt="cancel")

    reply = await chat.replace("m-2", said("m-2b", "my name is Ada"))

    assert reply.of("TOOL_CALL_RESULT") == []
    messages = await chat.check()
    assert [message["role"] for message in messages].count("tool") == 1
    asked = stack.demo.requests[-1]["messages"]
    assert [message["role"] for message in asked].count("tool") == 1


async def test_a_run_after_an_answer_is_replaced_with_the_answer(chat: Chat, stack: Stack, web: Web) -> None:
    parked = await chat.say(said("m-1", f"fetch {web.url}/answered"))
    (interrupt,) = parked.interrupts
    await stack.resume(
        chat.thread, [{"interruptId": interrupt["id"], "status": "resolved", "payload": {"approved": True}}]
    )

    await chat.replace("m-1", said("m-1b", "what do you know?"))

    assert "answered" not in orjson.dumps(stack.demo.requests[-1]["messages"]).decode()
    assert len(await chat.check()) == 2


# --- refusals ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["unknown", "an answer", "replaced", "of another thread", "a new thread"])
async def test_only_a_user_message_that_history_shows_can_be_replaced(
    chat: Chat, stack: Stack, kind: str
) -> None:
    other = Chat(stack)
    await other.say(said("foreign-1", "hello"))
    await chat.say(said("m-1", "hello"))
    answer = chat.held.messages[-1]["id"]
    await chat.say(said("m-2", "hello"))
    await chat.replace("m-2", said("m-2b", "hello"))
    before = await stack.history(chat.thread)
    named = {"unknown": "nobody", "an answer": answer, "replaced": "m-2", "of another thread": "foreign-1"}
    thread = "brand-new" if kind == "a new thread" else chat.thread

    reply = await stack.stream_run(
        thread=thread,
        messages=[said("m-9", "hello")],
        forwardedProps={"regenerateFrom": named.get(kind, "m-1")},
    )

    (error,) = reply.problem(422, "invalid-request")["errors"]
    assert error["pointer"] == "/forwardedProps/regenerateFrom"
    assert await stack.history(chat.thread) == before
    (await stack.request("GET", "/threads/brand-new")).problem(404, "not-found")


async def test_an_edit_under_the_old_id_is_refused_and_changes_nothing(chat: Chat, stack: Stack) -> None:
    await chat.say(said("m-1", "my name is Ada"))
    before = await stack.history(chat.thread)

    reply = await stack.stream_run(
        thread=chat.thread,
        messages=[said("m-1", "my name is Grace")],
        forwardedProps={"regenerateFrom": "m-1"},
    )

    (error,) = reply.problem(422, "invalid-request")["errors"]
    assert error["pointer"] == "/messages/0/content"
    assert await stack.history(chat.thread) == before


@pytest.mark.parametrize("on_busy", ["reject", "enqueue", "supersede"])
async def test_a_busy_thread_is_not_rewritten(chat: Chat, stack: Stack, on_busy: str) -> None:
    await chat.say(said("m-1", "hello"))
    async with stack.open_run("slowly", thread=chat.thread) as live:
        await live.until("TEXT_MESSAGE_CONTENT")
        reply = await stack.stream_run(
            thread=chat.thread,
            messages=[said("m-2", "hello")],
            forwardedProps={"regenerateFrom": "m-1", "onBusy": on_busy},
        )
        assert reply.problem(409, "run-active")["runId"] == live.events[0]["runId"]
        await stack.cancel(chat.thread, live.events[0]["runId"])
        await live.to_end()


async def test_an_answer_and_a_replacement_exclude_each_other(chat: Chat, stack: Stack, web: Web) -> None:
    parked = await chat.say(said("m-1", f"fetch {web.url}/both"))
    (interrupt,) = parked.interrupts

    reply = await stack.resume(
        chat.thread,
        [{"interruptId": interrupt["id"], "status": "resolved", "payload": {"approved": True}}],
        forwardedProps={"regenerateFrom": "m-1"},
    )

    reply.problem(422, "invalid-request")
    assert len((await stack.history(chat.thread))["pendingInterrupts"]) == 1


async def test_the_same_request_replaces_once(chat: Chat, stack: Stack) -> None:
    await chat.say(said("m-1", "hello"))
    body = stack.run_body(
        thread=chat.thread,
        messages=[said("m-1b", "hello again")],
        forwardedProps={"regenerateFrom": "m-1"},
    )

    first, second = await stack.stream_run(body=body), await stack.stream_run(body=body)

    assert first.raw == second.raw
    assert len(await stack.runs(chat.thread)) == 2
