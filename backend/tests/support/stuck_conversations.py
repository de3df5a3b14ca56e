"""Conversations that were stuck in older versions, and endpoints that refuse them as real ones do."""

from __future__ import annotations

import json
import re
from typing import Any

from agentscope.message import (
    AssistantMsg,
    Msg,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    ToolResultBlock,
    UserMsg,
)
from tests.support.scripted_endpoint import Request

from core.agentscope.runtime.agent.thread_memory import AGENT_NAME


def illegal(request: Request) -> bool:
    """Whether OpenAI's endpoint would refuse the conversation."""
    waiting: list[str] = []
    for message in request.body["messages"]:
        if message["role"] == "tool":
            if not waiting or message["tool_call_id"] not in waiting:
                return True
            waiting.remove(message["tool_call_id"])
            continue
        if waiting or not (message.get("content") or message.get("tool_calls")):
            return True
        for call in message.get("tool_calls") or ():
            if not re.fullmatch("[a-zA-Z0-9_-]{1,64}", call["function"]["name"]):
                return True
            try:
                if not isinstance(json.loads(call["function"]["arguments"]), dict):
                    return True
            except ValueError:
                return True
            waiting.append(call["id"])
    return bool(waiting)


WANTS = "The `reasoning_content` in the thinking mode must be passed back to the API."


def lacks_reasoning(request: Request) -> bool:
    return any(
        message.get("tool_calls") and "reasoning_content" not in message
        for message in request.body["messages"]
    )


def left(*blocks: Any) -> list[Msg]:
    return [UserMsg(name="user", content="pay"), AssistantMsg(name=AGENT_NAME, content=list(blocks))]


def call(
    call_id: str, name: str = "pay", arguments: str = '{"euros": 5}', state: str = "finished"
) -> ToolCallBlock:
    return ToolCallBlock.model_validate({"id": call_id, "name": name, "input": arguments, "state": state})


def result(call_id: str, output: str = "paid") -> ToolResultBlock:
    return ToolResultBlock(id=call_id, name="pay", output=output)


DONE = TextBlock(text="Done.")
LEFT = {
    "illegal-name": left(call("c1", "functions.pay"), result("c1"), DONE),
    "channel-in-a-name": left(call("c1", "pay<|channel|>json"), result("c1"), DONE),
    "long-name": left(call("c1", "p" * 200), result("c1"), DONE),
    "no-name": left(call("c1", ""), result("c1"), DONE),
    "null": left(call("c1", arguments="null"), result("c1"), DONE),
    "list": left(call("c1", arguments="[]"), result("c1"), DONE),
    "string": left(call("c1", arguments='"{}"'), result("c1"), DONE),
    "cut-arguments": left(call("c1", arguments='{"euros'), result("c1"), DONE),
    "no-result": left(call("c1"), DONE),
    "no-result-and-pending": left(call("c1", state="pending")),
    "one-of-two-results": left(call("c1"), call("c2"), result("c2"), DONE),
    "result-without-a-call": left(result("c1", "42"), DONE),
    "result-in-a-later-message": [
        *left(call("c1")),
        UserMsg(name="user", content="well?"),
        AssistantMsg(name=AGENT_NAME, content=[result("c1"), DONE]),
    ],
    "two-results": left(call("c1"), result("c1", "1"), result("c1", "2"), DONE),
    "an-id-twice": left(call("c1"), result("c1"), call("c1"), result("c1"), DONE),
    "empty-result": left(call("c1"), result("c1", ""), DONE),
    "blank-answer": left(TextBlock(text=" \n")),
    "only-thoughts": left(ThinkingBlock(thinking="Hm.")),
    "empty-user": [UserMsg(name="user", content=""), *left(DONE)],
    "nobody-asked": [AssistantMsg(name=AGENT_NAME, content="Hello")],
    "two-users": [UserMsg(name="user", content="a"), UserMsg(name="user", content="b")],
}
