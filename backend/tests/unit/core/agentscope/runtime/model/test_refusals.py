"""Refusals as providers word them: which say that there are no tools, and which are about one call of the conversation."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from core.agentscope.runtime.model.quirks import Quirk
from core.agentscope.runtime.model.refusals import lesson, read_refusal

CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
BODY: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "1 + 1?"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "2"},
    ],
    "tools": [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}],
    "stream": True,
}
FIRST: dict[str, Any] = BODY | {"messages": BODY["messages"][:2]}
"""The same before any call."""

ONE_CALL = {
    "openai, azure": "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.",
    "deepseek": "Messages with role 'tool' must be a response to a preceding message with 'tool_calls'",
    "dashscope": '<400> InternalError.Algo.InvalidParameter: messages with role "tool" must be a response to a preceeding message with "tool_calls".',
    "openai: no result": "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The following tool_call_ids did not have response messages: call_1",
    "openai: unknown id": "Invalid parameter: 'tool_call_id' of 'call_1' not found in 'tool_calls' of previous message.",
    "litellm: no call": "No tool call found for function call output with call_id call_1.",
    "anthropic: no result": "messages.22: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_1. Each `tool_use` block must have a corresponding `tool_result` block in the next message.",
    "anthropic: no call": "messages.0.content.0: unexpected `tool_use_id` found in `tool_result` blocks: toolu_1. Each `tool_result` block must have a corresponding `tool_use` block in the previous message.",
    "mistral: id": "Unexpected tool call id call_1 in tool results",
    "mistral: form of id": "Tool call id was call_1 but must be a-z, A-Z, 0-9, with a length of 9.",
    "mistral: number": "Not the same number of function calls and responses",
    "mistral: role": "Unexpected role RoleEnum.tool",
    "mistral: order": "Unexpected role 'user' after role 'tool'",
    "minimax: id": "invalid params, tool result's tool id(call_1) not found (2013)",
    "minimax: order": "invalid params, tool call result does not follow tool call (2013)",
    "groq: name": "'messages.3' : for 'role:tool' the following must be satisfied[('messages.3' : property 'name' is unsupported, did you mean 'role'?)]",
    "groq: id": "'messages.2' : for 'role:tool' the following must be satisfied[('messages.2.tool_call_id' : property 'tool_call_id' is missing)]",
    "serde": "Failed to deserialize the JSON body into the target type: messages[3].role: unknown variant `tool`, expected one of `system`, `user`, `assistant`",
    "cursor": "Unsupported role: tool",
    "zod": "Invalid enum value. Expected 'system' | 'assistant' | 'user', received 'tool' at messages[3].role",
    "gemini: order": "Please ensure that function call turn comes immediately after a user turn or after a function response turn.",
    "gemini: number": "Please ensure that the number of function response parts is equal to the number of function call parts of the function call turn.",
    "bedrock": "The number of toolResult blocks at messages.2.content exceeds the number of toolUse blocks of previous turn.",
    "llama.cpp": "Failed to parse tool call arguments as JSON: syntax error while parsing value - unexpected end of input",
    "ollama": "error parsing tool call: raw='{\"a\":', err=unexpected end of JSON input",
}

NO_TOOLS = {
    "ollama": "registry.ollama.ai/library/gemma3:latest does not support tools",
    "openrouter": "No endpoints found that support tool use. To learn more about provider routing, visit: x",
    "groq": "`tool calling` is not supported with this model",
    "gemini": "Tool use with function calling is unsupported",
    "gemma": "Function calling is not enabled for models/gemma-3-27b-it",
    "azure": "Unrecognized request argument supplied: tools",
    "deepseek-reasoner": "deepseek-reasoner does not support Function Calling",
    "vllm": '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
    "llama.cpp": "tools param requires --jinja flag",
    "bedrock": "This model doesn't support tool use.",
}


def lessons(words: str, body: dict[str, Any], status: int = 400) -> list[Quirk]:
    """Return what an endpoint teaches that says the same whatever it is sent."""
    refusal = read_refusal(status, orjson.dumps({"error": {"message": words}}))
    found: list[Quirk] = []
    while (quirk := lesson(refusal, body, found)) is not None:
        found.append(quirk)
    return found


@pytest.mark.parametrize("words", ONE_CALL.values(), ids=ONE_CALL)
@pytest.mark.parametrize("status", [400, 500])
def test_what_is_wrong_with_one_call_does_not_take_the_tools_away(words: str, status: int) -> None:
    assert Quirk.NO_TOOLS not in lessons(words, BODY, status)


@pytest.mark.parametrize("words", NO_TOOLS.values(), ids=NO_TOOLS)
@pytest.mark.parametrize("body", [BODY, FIRST], ids=["with calls", "first"])
def test_an_endpoint_that_has_no_tools_is_believed(words: str, body: dict[str, Any]) -> None:
    assert lessons(words, body)[0] is Quirk.NO_TOOLS


def test_a_conversation_without_calls_cannot_be_refused_for_one() -> None:
    assert Quirk.NO_TOOLS in lessons("tool messages are not supported", FIRST)


def test_a_member_of_a_message_is_still_named() -> None:
    body = BODY | {"messages": [*BODY["messages"][:3], BODY["messages"][3] | {"name": "add"}]}
    assert Quirk.NO_NAMES in lessons(ONE_CALL["groq: name"], body)
