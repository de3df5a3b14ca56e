"""Clients that repeat what they hold: behind, with an empty state, with a conversation from elsewhere."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.agui_reducer import AguiClient
from tests.support.stack import Reply, Stack


class Device:
    """A stock client on a thread: holds what it was shown, and sends all of it with every run."""

    def __init__(self, stack: Stack, thread: str, messages: list[dict[str, Any]] | None = None) -> None:
        self.client = AguiClient(messages or ())
        self.client.state = {}
        self._stack = stack
        self._thread = thread

    async def say(self, text: str, **members: Any) -> Reply:
        body = self._stack.run_body(text, thread=self._thread)
        self.client.messages += body["messages"]
        body |= {"messages": self.client.messages, "state": self.client.state} | members
        reply = await self._stack.stream_run(body=body)
        for event in reply.events if reply.status == 200 else ():
            self.client.see(event)
        return reply


def snapshots(reply: Reply) -> list[int]:
    """Return how many messages each snapshot of a run has."""
    return [len(event["messages"]) for event in reply.of("MESSAGES_SNAPSHOT")]


# --- the order ---------------------------------------------------------------------


async def test_a_client_that_is_behind_holds_the_thread_in_its_order(stack: Stack) -> None:
    thread = stack.new_id("thread")
    first, other = Device(stack, thread), Device(stack, thread)
    await first.say("think about 6 and calculate 6*7")
    shown = await other.say("my name is Ada")

    assert snapshots(shown) == [1, 6]
    assert other.client.messages == (await stack.history(thread))["messages"]

    await first.say("what is my name")

    assert first.client.messages == (await stack.history(thread))["messages"]


async def test_a_page_that_loaded_the_end_of_a_thread_holds_it_in_its_order(stack: Stack) -> None:
    thread = stack.new_id("thread")
    first = Device(stack, thread)
    await first.say("think about 6 and calculate 6*7")
    await first.say("think about Ada")
    page = await stack.history(thread, limit=3)
    other = Device(stack, thread, page["messages"])
    await other.say("hello")

    assert page["hasMore"]
    assert other.client.messages == (await stack.history(thread))["messages"]


async def test_a_client_that_holds_everything_is_shown_the_messages_once_when_it_asks(stack: Stack) -> None:
    device = Device(stack, stack.new_id("thread"))
    await device.say("hello")
    quiet = await device.say("hello again")
    asked = await device.say("and again", forwardedProps={"messagesSnapshot": "always"})
    emptied = await device.say("once more", forwardedProps={"messagesSnapshot": "anew"})

    assert (snapshots(quiet), snapshots(asked), snapshots(emptied)) == ([], [5], [0, 7])


# --- the state ---------------------------------------------------------------------


async def state_of(stack: Stack, thread: str) -> Any:
    return (await stack.history(thread))["state"]


async def test_an_empty_state_from_who_has_seen_the_thread_empties_it(stack: Stack) -> None:
    thread = stack.new_id("thread")
    device = Device(stack, thread)
    await device.say("hello", state={"count": 1})
    reply = await device.say("hello", state={})

    assert await state_of(stack, thread) == {}
    assert [event["snapshot"] for event in reply.of("STATE_SNAPSHOT")] == [{}]


async def test_an_empty_state_from_a_page_of_history_empties_it(stack: Stack) -> None:
    thread = stack.new_id("thread")
    await Device(stack, thread).say("hello", state={"count": 1})
    page = await stack.history(thread, limit=1)
    await Device(stack, thread, page["messages"]).say("hello", state={})

    assert await state_of(stack, thread) == {}


async def test_an_empty_state_from_who_has_not_seen_the_newest_changes_nothing(stack: Stack) -> None:
    thread = stack.new_id("thread")
    first, other = Device(stack, thread), Device(stack, thread)
    await first.say("hello")
    new = await other.say("hello", state={"count": 1})
    behind = await first.say("hello", state={})

    assert await state_of(stack, thread) == {"count": 1}
    assert [event["snapshot"] for event in new.of("STATE_SNAPSHOT")] == [{"count": 1}]
    assert first.client.state == {"count": 1}
    assert behind.status == 200


@pytest.mark.parametrize("sent", [{}, {"state": None}])
async def test_no_state_changes_nothing(stack: Stack, sent: dict[str, Any]) -> None:
    thread = stack.new_id("thread")
    device = Device(stack, thread)
    await device.say("hello", state={"count": 1})
    body = stack.run_body("hello", thread=thread)
    del body["state"]
    body["messages"] = device.client.messages + body["messages"]
    reply = await stack.stream_run(body=body | sent)

    assert reply.status == 200
    assert await state_of(stack, thread) == {"count": 1}


async def test_a_thread_that_never_had_a_state_gets_none_from_an_empty_one(stack: Stack) -> None:
    thread = stack.new_id("thread")
    device = Device(stack, thread)
    await device.say("hello")
    reply = await device.say("hello")

    assert await state_of(stack, thread) is None
    assert reply.of("STATE_SNAPSHOT") == []


@pytest.mark.parametrize("state", [[], "", 0, False])
async def test_another_value_that_says_little_is_a_state(stack: Stack, state: Any) -> None:
    thread = stack.new_id("thread")
    await Device(stack, thread).say("hello", state=state)

    assert await state_of(stack, thread) == state


# --- a conversation from elsewhere -------------------------------------------------


async def test_a_conversation_with_tools_comes_along_and_is_sent_again(stack: Stack) -> None:
    call = {"id": "call-1", "type": "function", "function": {"name": "lookup", "arguments": "{}"}}
    thread = stack.new_id("thread")
    device = Device(
        stack,
        thread,
        [
            {"id": "earlier-1", "role": "user", "content": "look it up"},
            {"id": "earlier-2", "role": "assistant", "content": "", "toolCalls": [call]},
            {"id": "earlier-3", "role": "tool", "toolCallId": "call-1", "content": "found"},
            {"id": "earlier-4", "role": "assistant", "content": "I found it."},
        ],
    )
    replies = [await device.say("my name is Ada"), await device.say("what is my name")]

    assert [reply.status for reply in replies] == [200, 200]
    assert "Your name is Ada" in replies[1].text
    told = [message["content"] for message in (await stack.history(thread))["messages"]]
    assert told[:3] == ["look it up", "I found it.", "my name is Ada"]
