"""A stock client of one thread, without Node: holds the conversation, and sends all of it with every run."""

from __future__ import annotations

from typing import Any

import orjson
from ag_ui_validate.pytest_plugin import validate_agui
from tests.support.agui_reducer import AguiClient
from tests.support.stack import Event, Reply, Stack

Message = dict[str, Any]


def said(message_id: str, text: str) -> Message:
    """Return a user message."""
    return {"id": message_id, "role": "user", "content": text}


def answered(message_id: str, call_id: str, content: str = "blue", **members: Any) -> Message:
    """Return a client's result for a tool call."""
    return {"id": message_id, "role": "tool", "toolCallId": call_id, "content": content, **members}


class Device:
    """Holds what a client holds that saw every event of the runs it started.

    Args:
        stack: The service.
        tools: The client's own tools, offered with every run.
        thread: A thread that exists; a new one without.
    """

    def __init__(
        self, stack: Stack, *, tools: tuple[dict[str, Any], ...] = (), thread: str | None = None
    ) -> None:
        self.stack = stack
        self.tools = list(tools)
        self.thread = thread or stack.new_id("thread")
        self.held = AguiClient()

    def body(
        self, *messages: Message, resume: list[dict[str, Any]] | None = None, **props: Any
    ) -> dict[str, Any]:
        """Return the request of a run that brings new messages; ``props`` are its ``forwardedProps``."""
        return self.stack.run_body(
            thread=self.thread,
            messages=[*self.held.messages, *messages],
            tools=self.tools,
            forwardedProps=props,
            resume=resume,
        )

    async def run(
        self, *messages: Message, resume: list[dict[str, Any]] | None = None, **props: Any
    ) -> Reply:
        """Run, and take in the new messages and the events unless the run is refused."""
        reply = await self.stack.stream_run(body=self.body(*messages, resume=resume, **props))
        if reply.status == 200:
            self.see(*messages, reply=reply)
        return reply

    def see(self, *messages: Message, reply: Reply) -> None:
        """Take in new messages and the events of their run."""
        self.held.messages += messages
        for event in reply.events:
            self.held.see(event)

    @property
    def roles(self) -> list[str]:
        return [message["role"] for message in self.held.messages]

    async def check(self) -> list[Message]:
        """Compare history with what the client holds, and the whole log with the protocol; returns the messages."""
        messages = (await self.stack.history(self.thread))["messages"]
        assert messages == self.held.messages
        _assert_valid([orjson.loads(row["payload"]) for row in await self.stack.log(self.thread)])
        return messages


def _assert_valid(events: list[Event]) -> None:
    """Check a thread's log with the protocol's validator.

    It looks at each run alone: there, the result of an earlier run's call has no call (AGUI207).
    """
    report = validate_agui(events)
    calls = {event["toolCallId"] for event in events if event["type"] == "TOOL_CALL_START"}
    found = [
        item
        for item in report.diagnostics
        if item.rule != "AGUI207" or events[item.event_index]["toolCallId"] not in calls
    ]
    assert found == []
    assert report.internal_errors == []


def decisions(reply: Reply, **payload: Any) -> list[dict[str, Any]]:
    """Return the same answer to every interrupt a run ended with; without a payload they are cancelled."""
    how = {"status": "resolved", "payload": payload} if payload else {"status": "cancelled"}
    return [{"interruptId": interrupt["id"], **how} for interrupt in reply.interrupts]


def called(reply: Reply) -> dict[str, str]:
    """Return the tool calls of a run: id by tool name."""
    return {event["toolCallName"]: event["toolCallId"] for event in reply.of("TOOL_CALL_START")}


def results(reply: Reply) -> dict[str, str]:
    """Return the server's results of a run: content by tool call."""
    return {event["toolCallId"]: event["content"] for event in reply.of("TOOL_CALL_RESULT")}


def pending(reply: Reply) -> list[str] | None:
    """Return the calls that wait for the client after a run that succeeded."""
    assert reply.end["outcome"]["type"] == "success", reply.end
    return reply.end["outcome"].get("pendingToolCallIds")
