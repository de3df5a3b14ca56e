"""A second device that follows a thread holds what history says: messages of the first one, and what they replace."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tests.support.agui_reducer import AguiClient
from tests.support.stack import EventStream, Stack

WEATHER = {
    "name": "weather",
    "description": "Tells the weather.",
    "parameters": {"type": "object", "properties": {}},
}


class Follower:
    """A client that takes in every frame of a thread's stream; those of the log have an id."""

    def __init__(self, stream: EventStream) -> None:
        self.stream = stream
        self.held = AguiClient()
        self.told: list[dict[str, Any]] = []
        self._taken = 0

    async def to_end_of(self, run_id: str) -> None:
        await self.stream.until("RUN_FINISHED", runId=run_id)
        for block in self.stream.blocks[self._taken :]:
            data = block.split(b"data: ", 1)
            if len(data) == 2:
                self._see(orjson.loads(data[1]))
        self._taken = len(self.stream.blocks)

    def _see(self, event: dict[str, Any]) -> None:
        if event.get("name") == "agentroute.input":
            self._take_in(event["value"])
        else:
            self.held.see(event)

    def _take_in(self, told: dict[str, Any]) -> None:
        self.told.append(told)
        ids = [message["id"] for message in self.held.messages]
        if told.get("regenerateFrom") in ids:
            del self.held.messages[ids.index(told["regenerateFrom"]) :]
        held = {message["id"] for message in self.held.messages}
        self.held.messages += [message for message in told["messages"] if message["id"] not in held]


def said(message_id: str, text: str) -> dict[str, Any]:
    return {"id": message_id, "role": "user", "content": text}


async def run(stack: Stack, thread: str, **members: Any) -> str:
    """Run to its end; returns the run's id."""
    reply = await stack.stream_run(thread=thread, **members)
    assert reply.status == 200, reply.body
    return reply.events[0]["runId"]


async def test_a_second_device_holds_what_the_first_one_sends_edits_and_answers(stack: Stack) -> None:
    thread = stack.new_id("thread")
    first = await run(stack, thread, messages=[said("m-1", "hello")])
    async with stack.open_events(thread) as stream:
        device = Follower(stream)
        await device.to_end_of(first)
        assert device.told == [{"runId": first, "messages": [said("m-1", "hello")]}]

        steps: list[dict[str, Any]] = [
            {"messages": [said("m-2", "what is 6*7")]},
            # Edited: another message in its place. Then answered again, unchanged.
            {"messages": [said("m-3", "what is 6*8")], "forwardedProps": {"regenerateFrom": "m-2"}},
            {"messages": [], "forwardedProps": {"regenerateFrom": "m-3"}},
            {"messages": [said("m-4", "call the tool weather with {}")], "tools": [WEATHER]},
        ]
        for step in steps:
            await device.to_end_of(await run(stack, thread, **step))
            assert device.held.messages == (await stack.history(thread))["messages"], step
        call = device.held.messages[-1]["toolCalls"][0]["id"]
        answer = {"id": "m-5", "role": "tool", "toolCallId": call, "content": "sunny"}
        await device.to_end_of(await run(stack, thread, messages=[answer], tools=[WEATHER]))
        assert device.held.messages == (await stack.history(thread))["messages"]
    assert [told.get("regenerateFrom") for told in device.told] == [None, None, "m-2", "m-3", None, None]


@pytest.mark.parametrize("cut_behind", ["1-1", "1-2"])
async def test_who_was_cut_off_right_behind_the_start_of_a_run_is_told_again(
    stack: Stack, cut_behind: str
) -> None:
    thread = stack.new_id("thread")
    await run(stack, thread, messages=[said("m-1", "hello")])
    async with stack.open_events(thread, cursor=cut_behind) as stream:
        await stream.until("RUN_FINISHED")
    told = [block for block in stream.blocks if b"agentroute.input" in block]
    assert len(told) == (cut_behind == "1-1")
