"""What model endpoints really send, one row a shape: the chat model over the scripted endpoint.

``c(delta, finish)`` is a frame, ``S`` the end of an ordinary answer. Each row was seen on an endpoint or is in its
reference; the comment names one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from agentscope.message import TextBlock, ThinkingBlock, ToolCallBlock, UserMsg
from agentscope.model import ChatResponse
from tests.support.scripted_endpoint import (
    RESET,
    D,
    Part,
    Reply,
    S,
    ScriptedEndpoint,
    T,
    c,
    calls,
    document,
    event,
    refusal,
    said,
    stream,
)

from core.agentscope.runtime.model.chat_errors import ModelRejected
from core.agentscope.runtime.model.chat_model import OpenAICompatibleChatModel
from core.agentscope.schemas.internal_events import ModelUsage
from core.errors import ContentFiltered, ModelStreamError, ModelUnavailable, RunFailure

COUNTS = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
COUNTED = event({"choices": [], "usage": COUNTS})
END = c({}, "stop") + D


@dataclass
class Said:
    """What one call to the model gave."""

    text: str = ""
    thinking: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    error: type[RunFailure] | None = None


async def ask(*replies: Reply, **settings: Any) -> tuple[Said, list[ModelUsage], ScriptedEndpoint]:
    endpoint = ScriptedEndpoint(*replies)
    records: list[ModelUsage] = []
    model = OpenAICompatibleChatModel(
        endpoint.services(settings=settings), model="m", stage="execution", record=records.append
    )
    heard: list[Any] = []
    error: type[RunFailure] | None = None
    try:
        answer: Any = await model([UserMsg(name="user", content="hi")])
        async for response in answer:
            response: ChatResponse
            if not response.is_last:
                heard += response.content
    except RunFailure as exc:
        error = type(exc)
    tools: dict[str, list[str]] = {}
    for block in heard:
        if isinstance(block, ToolCallBlock):
            tools.setdefault(f"{block.id} {block.name}", []).append(block.input)
    return (
        Said(
            "".join(block.text for block in heard if isinstance(block, TextBlock)),
            "".join(block.thinking for block in heard if isinstance(block, ThinkingBlock)),
            tuple((key.partition(" ")[2], "".join(pieces)) for key, pieces in tools.items()),
            error,
        ),
        records,
        endpoint,
    )


def call(**piece: Any) -> bytes:
    return c({"tool_calls": [piece]})


def function(name: str | None = None, arguments: Any = None) -> dict[str, Any]:
    return {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}


def raw(text: str, end: str = "\n\n") -> bytes:
    return (text + end).encode()


CUT, FILTERED = ModelStreamError, ContentFiltered
ONE, TWO = '{"a": 1}', '{"a": 2}'

FAILURES: dict[str, tuple[list[Part], Said]] = {
    # --- finish reasons that are none of success
    "a filter before the first word": ([c({}, "content_filter"), D], Said(error=FILTERED)),
    "a filter after some words": ([said("Hel"), c({}, "content_filter"), D], Said("Hel", error=FILTERED)),
    "a filter with the last words": (
        [c({"content": "Hel"}, "content_filter"), D],
        Said("Hel", error=FILTERED),
    ),
    "zhipu: sensitive": ([said("Hel"), c({}, "sensitive"), D], Said("Hel", error=FILTERED)),
    "gemini: SAFETY": ([said("Hel"), c({}, "SAFETY"), D], Said("Hel", error=FILTERED)),
    "gemini: PROHIBITED_CONTENT": ([c({}, "PROHIBITED_CONTENT"), D], Said(error=FILTERED)),
    "bedrock: guardrail": ([said("Hel"), c({}, "guardrail_intervened"), D], Said("Hel", error=FILTERED)),
    "anthropic: refusal": ([c({}, "refusal"), D], Said(error=FILTERED)),
    "error": ([said("Hello"), c({}, "error"), D], Said("Hello", error=CUT)),
    "zhipu: network_error": ([said("Hello"), c({}, "network_error"), D], Said("Hello", error=CUT)),
    "deepseek: no resources": (
        [said("Hel"), c({}, "insufficient_system_resource"), D],
        Said("Hel", error=CUT),
    ),
    "sglang: abort": ([said("Hel"), c({}, "abort"), D], Said("Hel", error=CUT)),
    "gemini: a broken call": ([c({}, "MALFORMED_FUNCTION_CALL"), D], Said(error=CUT)),
    "a word nobody knows is an end": ([said("Hello"), c({}, "eos_token"), D], Said("Hello")),
    "length is an end": ([said("Hello"), c({}, "length"), D], Said("Hello")),
    # --- words that are no finish reason
    "the word null, then a reset": ([c({"content": "Hello"}, "null"), RESET], Said("Hello", error=CUT)),
    "the word null, then the end": ([c({"content": "Hello"}, "null")], Said("Hello", error=CUT)),
    "an empty word, then the end": ([c({"content": "Hello"}, "")], Said("Hello", error=CUT)),
    "the word None in every chunk": ([c({"content": "Hello"}, "None"), S], Said("Hello")),
    "gemini: unspecified": ([c({"content": "Hello"}, "FINISH_REASON_UNSPECIFIED")], Said("Hello", error=CUT)),
    # --- resets and ends
    "a reset before the first byte": ([RESET], Said(error=CUT)),
    "a reset after words": ([said("Hello"), RESET], Said("Hello", error=CUT)),
    "a reset in a tool call": ([calls("add", '{"a": '), RESET], Said(calls=(("add", '{"a": '),), error=CUT)),
    "a reset after the finish reason": ([said("Hello"), c({}, "stop"), RESET], Said("Hello")),
    "an end without any sign": ([said("Hello")], Said("Hello", error=CUT)),
    "an empty body": ([], Said(error=CUT)),
    "only comments": ([b": ping\n\n", b": ping\n\n"], Said(error=CUT)),
    "half a frame": ([said("Hel"), b'data: {"choices": [{"del'], Said("Hel", error=CUT)),
    "text that is no stream": ([b"Internal Server Error"], Said(error=CUT)),
    # --- a finish reason in every chunk
    "a finish in every chunk": (
        [c({"content": "Hello"}, "stop"), c({"content": " there."}, "stop"), D],
        Said("Hello there."),
    ),
    "a finish in every chunk, no end marker": (
        [c({"content": "Hello"}, "stop"), c({"content": " there."}, "stop")],
        Said("Hello there."),
    ),
    "a finish in every chunk, then a reset": (
        [c({"content": "Hello"}, "stop"), c({"content": " the"}, "stop"), RESET],
        Said("Hello the", error=CUT),
    ),
    "a finish in every chunk, then an error": (
        [c({"content": "Hello"}, "stop"), event({"error": {"message": "boom"}}), D],
        Said("Hello", error=CUT),
    ),
    # --- errors inside the stream
    "fastchat": (
        [event({"text": "**NETWORK ERROR DUE TO HIGH TRAFFIC.**", "error_code": 50001}), D],
        Said(error=CUT),
    ),
    "vllm": (
        [said("Hello"), event({"object": "error", "message": "bad", "code": 400}), D],
        Said("Hello", error=CUT),
    ),
    "openai": (
        [said("Hello"), event({"error": {"message": "The server had an error", "type": "server_error"}}), D],
        Said("Hello", error=CUT),
    ),
    "an error that is a text": (
        [said("Hello"), event({"error": "CUDA out of memory"}), D],
        Said("Hello", error=CUT),
    ),
    "an error event": (
        [said("Hello"), b"event: error\n", event({"message": "overloaded"}), D],
        Said("Hello", error=CUT),
    ),
    "an error event of text": (
        [said("Hello"), b"event: error\ndata: upstream gone\n\n", D],
        Said("Hello", error=CUT),
    ),
    "anthropic": (
        [said("Hello"), event({"type": "error", "error": {"type": "overloaded_error"}}), D],
        Said("Hello", error=CUT),
    ),
    "openrouter: in the choice": (
        [
            said("Hello"),
            c({"content": ""}, "error", error={"code": 502, "message": "Provider returned error"}),
            D,
        ],
        Said("Hello", error=CUT),
    ),
    "dashscope": (
        [event({"code": "Throttling", "message": "Requests throttled", "request_id": "r"}), D],
        Said(error=CUT),
    ),
    "minimax": (
        [said("He"), event({"base_resp": {"status_code": 1002, "status_msg": "rate limit"}}), D],
        Said("He", error=CUT),
    ),
    "minimax: no error": (
        [c({"content": "Hello"}), event({"choices": [], "base_resp": {"status_code": 0}}), S],
        Said("Hello"),
    ),
    "fastapi: detail": ([event({"detail": "Internal Server Error"})], Said(error=CUT)),
    "a list of errors": ([said("He"), event({"errors": [{"message": "boom"}]}), D], Said("He", error=CUT)),
    "an error without a frame": (
        [said("He"), b'{"error": {"message": "boom"}}\n\n', D],
        Said("He", error=CUT),
    ),
    "a whole body with an error": (
        [b'{"error": {"message": "boom", "code": 500}}'],
        Said(error=ModelUnavailable),
    ),
    "gemini: an error in a list": (
        [b'[{"error": {"message": "bad key", "code": 400}}]'],
        Said(error=ModelRejected),
    ),
    "a status before the first word": (
        [event({"error": {"message": "bad", "code": 400}}), D],
        Said(error=ModelRejected),
    ),
    "a filter's error in the stream": (
        [said("He"), event({"error": {"message": "blocked", "code": "content_filter"}}), D],
        Said("He", error=FILTERED),
    ),
    "dashscope: a filter's error": (
        [event({"code": "data_inspection_failed", "message": "x"}), D],
        Said(error=FILTERED),
    ),
    "an error after the end": (
        [said("Hello"), c({}, "stop"), event({"error": "usage failed"}), D],
        Said("Hello"),
    ),
}

READING: dict[str, tuple[list[Part], Said]] = {
    # --- tool calls
    "the old form of a call": (
        [
            c({"function_call": {"name": "add", "arguments": ""}}),
            c({"function_call": {"arguments": '{"a":'}}),
            c({"function_call": {"arguments": " 1}"}}),
            c({}, "function_call"),
            D,
        ],
        Said(calls=(("add", ONE),)),
    ),
    "both forms of one call": (
        [
            c(
                {
                    "function_call": {"name": "add", "arguments": ONE},
                    "tool_calls": [{"index": 0, "id": "c1", "function": function("add", ONE)}],
                }
            ),
            T,
        ],
        Said(calls=(("add", ONE),)),
    ),
    "parallel calls with one index and no ids": (
        [
            call(index=0, id="", function=function("add", ONE)),
            call(index=0, id="", function=function("add", TWO)),
            T,
        ],
        Said(calls=(("add", ONE), ("add", TWO))),
    ),
    "parallel calls with one index, in pieces": (
        [
            call(index=0, id="", function=function("add", "")),
            call(index=0, function=function(arguments='{"a":')),
            call(index=0, function=function(arguments=" 1}")),
            call(index=0, id="", function=function("sub", "")),
            call(index=0, function=function(arguments=TWO)),
            T,
        ],
        Said(calls=(("add", ONE), ("sub", TWO))),
    ),
    "one index, an id only for the second": (
        [
            call(index=0, id="", function=function("add", ONE)),
            call(index=0, id="x", function=function("add", TWO)),
            T,
        ],
        Said(calls=(("add", ONE), ("add", TWO))),
    ),
    "the name again at the end of a call": (
        [
            call(index=0, id="c", function=function("add", ONE)),
            call(index=0, id="", function=function("add", "")),
            T,
        ],
        Said(calls=(("add", ONE),)),
    ),
    "the name with every piece": (
        [
            call(index=0, id="c", function=function("add", '{"a":')),
            call(index=0, id="c", function=function("add", " 1}")),
            T,
        ],
        Said(calls=(("add", ONE),)),
    ),
    "two indexes with one id": (
        [
            call(index=0, id="c", function=function("add", ONE)),
            call(index=1, id="c", function=function("add", TWO)),
            T,
        ],
        Said(calls=(("add", ONE), ("add", TWO))),
    ),
    "no index, and ids": (
        [call(id="c1", function=function("add", ONE)), call(id="c2", function=function("add", TWO)), T],
        Said(calls=(("add", ONE), ("add", TWO))),
    ),
    "arguments as an object": (
        [call(index=0, id="c", function=function("add", {"a": 1})), T],
        Said(calls=(("add", '{"a":1}'),)),
    ),
    "a call without the function level": (
        [call(index=0, id="c", name="add", arguments=ONE), T],
        Said(calls=(("add", ONE),)),
    ),
    "calls as one object": (
        [c({"tool_calls": {"index": 0, "id": "c", "function": function("add", ONE)}}), T],
        Said(calls=(("add", ONE),)),
    ),
    "null calls and null content": (
        [c({"content": None, "tool_calls": None, "function_call": None}), said("Hello"), S],
        Said("Hello"),
    ),
    "calls that finish with stop": ([calls("add", ONE), S], Said(calls=(("add", ONE),))),
    # --- framing
    "frames parted by one newline": (
        [b"".join(part.replace(b"\n\n", b"\n") for part in (said("Hel"), said("lo"), c({}, "stop"), D))],
        Said("Hello"),
    ),
    "one newline, read by read": (
        [part.replace(b"\n\n", b"\n") for part in (said("Hel"), said("lo"), c({}, "stop"), D)],
        Said("Hello"),
    ),
    "crlf": ([part.replace(b"\n", b"\r\n") for part in (said("Hello"), S)], Said("Hello")),
    "a byte order mark": ([b"\xef\xbb\xbf" + said("Hello"), S], Said("Hello")),
    "a byte order mark in two reads": ([b"\xef", b"\xbb\xbf" + said("Hello"), S], Said("Hello")),
    "comments, ids and names of events": (
        [b": OPENROUTER PROCESSING\n\n", b"id: 1\nevent: message\nretry: 3\n", said("Hello"), S],
        Said("Hello"),
    ),
    "no space after the colon": (
        [part.replace(b"data: ", b"data:") for part in (said("Hello"), S)],
        Said("Hello"),
    ),
    "frames in frames": (
        [b"data: " + said("Hello"), b"data: " + c({}, "stop"), b"data: " + D],
        Said("Hello"),
    ),
    "an end marker in quotes": ([said("Hello"), event('"[DONE]"')], Said("Hello")),
    "null for a document": ([event("null"), said("Hello"), S], Said("Hello")),
    "pings": ([event({"type": "ping"}), event({}), said("Hello"), S], Said("Hello")),
    # --- members
    "no choices, null choices": (
        [event({"choices": []}), event({"choices": None}), said("Hello"), S],
        Said("Hello"),
    ),
    "azure: filter results first": (
        [event({"choices": [], "prompt_filter_results": [{"prompt_index": 0}]}), said("Hello"), S],
        Said("Hello"),
    ),
    "content as a list of parts": (
        [c({"content": [{"type": "text", "text": "Hel"}, "lo"]}), S],
        Said("Hello"),
    ),
    "content as an object": ([c({"content": {"type": "text", "text": "Hello"}}), S], Said("Hello")),
    "a text with a value": (
        [c({"content": [{"type": "text", "text": {"value": "Hello"}}]}), S],
        Said("Hello"),
    ),
    "a refusal": ([c({"refusal": "I can't."}), S], Said("I can't.")),
    "a refusal beside empty content": ([c({"content": "", "refusal": "I can't."}), S], Said("I can't.")),
    "a message in a stream": (
        [event({"choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}]}), D],
        Said("Hello"),
    ),
    "the message again at the end": (
        [said("Hello"), event({"choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}]}), D],
        Said("Hello"),
    ),
    "the form before chats": (
        [event({"choices": [{"text": "Hello", "finish_reason": "stop"}]}), D],
        Said("Hello"),
    ),
    "a whole answer": (
        [b'{"choices":[{"message":{"content":"Hello"},"finish_reason":"stop"}]}'],
        Said("Hello"),
    ),
    "a whole answer after white space": (
        [b"\n \n", b'{"choices":[{"message":{"content":"Hello"}}]}'],
        Said("Hello"),
    ),
    "a whole answer in a list": ([b'[{"choices":[{"message":{"content":"Hello"}}]}]'], Said("Hello")),
    # --- characters
    "halves of a character": (
        [
            raw('data: {"choices":[{"delta":{"content":"Hi \\ud83d"}}]}'),
            raw('data: {"choices":[{"delta":{"content":"\\ude00!"}}]}'),
            S,
        ],
        Said("Hi \U0001f600!"),
    ),
    "halves of a character in reasoning": (
        [
            raw('data: {"choices":[{"delta":{"reasoning":"\\ud83d"}}]}'),
            raw('data: {"choices":[{"delta":{"reasoning":"\\ude00"}}]}'),
            said("a"),
            S,
        ],
        Said("a", "\U0001f600"),
    ),
    "halves of a character in arguments": (
        [
            raw(
                'data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":"add","arguments":"{\\"a\\": \\"\\ud83d"}}]}}]}'
            ),
            raw(
                'data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\\ude00\\"}"}}]}}]}'
            ),
            T,
        ],
        Said(calls=(("add", '{"a": "\U0001f600"}'),)),
    ),
    "a half that stays alone": (
        [raw('data: {"choices":[{"delta":{"content":"Hi \\ud83d"}}]}'), S],
        Said("Hi \ufffd"),
    ),
    "a half before something else": (
        [raw('data: {"choices":[{"delta":{"content":"Hi \\ud83d"}}]}'), said("x"), S],
        Said("Hi \ufffdx"),
    ),
}

THOUGHTS: dict[str, tuple[list[Part], Said]] = {
    "tags cut in two": ([said("<thi", "nk>I wonder.</th", "ink>Hello"), S], Said("Hello", "I wonder.")),
    "tags in one delta": ([said("<think>\nI wonder.\n</think>\n\nHello"), S], Said("Hello", "I wonder.")),
    "white space around tags, cut": (
        [said("\n<think>", "\n", "I wonder.\n", "</think>", "\n", "\nHello"), S],
        Said("Hello", "I wonder."),
    ),
    "the longer tag": ([said("<thinking>I wonder.</thinking>Hello"), S], Said("Hello", "I wonder.")),
    "magistral's tag": ([said("[THINK]I wonder.[/THINK]Hello"), S], Said("Hello", "I wonder.")),
    "gemini's tag": ([said("<thought>I wonder.</thought>Hello"), S], Said("Hello", "I wonder.")),
    "no thoughts between the tags": ([said("<think>\n\n</think>\n\nHello"), S], Said("Hello")),
    "a tag that stays open": ([said("<think>I wonder."), c({}, "length"), D], Said("", "I wonder.")),
    "something like a closing tag": (
        [said("<think>a </thin b</think>Hello"), S],
        Said("Hello", "a </thin b"),
    ),
    "two thoughts one after the other": (
        [said("<think>a</think><think>b</think>Hello"), S],
        Said("Hello", "ab"),
    ),
    "a thought, then a call": (
        [said("<think>a</think>"), calls("add", ONE), T],
        Said("", "a", (("add", ONE),)),
    ),
    "a text that mentions the tag": (
        [said("Use <think>x</think> here."), S],
        Said("Use <think>x</think> here."),
    ),
    "code that holds the tag": ([said("```\n<think>x</think>\n```"), S], Said("```\n<think>x</think>\n```")),
    "a text that begins like a tag": ([said("<th", "ead>x</thead>"), S], Said("<thead>x</thead>")),
    "a beginning that is nothing more": ([said("  <thi"), S], Said("  <thi")),
    "a tag in an answer whose thoughts came apart": (
        [c({"reasoning_content": "I wonder."}), said("<think> is a tag."), S],
        Said("<think> is a tag.", "I wonder."),
    ),
    "mistral's parts": (
        [
            c({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "I wonder."}]}]}),
            c({"content": [{"type": "text", "text": "Hello"}]}),
            S,
        ],
        Said("Hello", "I wonder."),
    ),
    "anthropic's parts": (
        [
            c(
                {
                    "content": [
                        {"type": "thinking", "thinking": "I wonder."},
                        {"type": "text", "text": "Hello"},
                    ]
                }
            ),
            S,
        ],
        Said("Hello", "I wonder."),
    ),
    "parts with a summary": (
        [
            c(
                {
                    "content": [
                        {"type": "reasoning", "summary": [{"text": "I wonder."}]},
                        {"type": "output_text", "text": "Hello"},
                    ]
                }
            ),
            S,
        ],
        Said("Hello", "I wonder."),
    ),
    "reasoning": ([c({"reasoning": "I wonder."}), said("Hello"), S], Said("Hello", "I wonder.")),
    "reasoning as an object": (
        [c({"reasoning": {"content": "I wonder."}}), said("Hello"), S],
        Said("Hello", "I wonder."),
    ),
    "copilot: reasoning_text": (
        [c({"reasoning_text": "I wonder."}), said("Hello"), S],
        Said("Hello", "I wonder."),
    ),
    "thinking": ([c({"thinking": "I wonder."}), said("Hello"), S], Said("Hello", "I wonder.")),
    "only details": (
        [c({"reasoning_details": [{"type": "reasoning.text", "text": "I wonder."}]}), said("Hello"), S],
        Said("Hello", "I wonder."),
    ),
    "details beside reasoning": (
        [
            c(
                {
                    "reasoning": "I wonder.",
                    "reasoning_details": [{"type": "reasoning.text", "text": "I wonder."}],
                }
            ),
            said("Hello"),
            S,
        ],
        Said("Hello", "I wonder."),
    ),
    "encrypted details are not shown": (
        [c({"reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]}), said("Hello"), S],
        Said("Hello"),
    ),
    "blocks": (
        [c({"thinking_blocks": [{"type": "thinking", "thinking": "I wonder."}]}), said("Hello"), S],
        Said("Hello", "I wonder."),
    ),
}


@pytest.mark.parametrize("shape", FAILURES)
async def test_a_failure_is_never_told_as_success(shape: str) -> None:
    parts, right = FAILURES[shape]
    heard, records, _ = await ask(stream(*parts))

    assert heard == right
    # A refusal costs nothing, also when it is told inside the answer.
    refused = right.error is ModelRejected
    assert [record.outcome for record in records] == (
        [] if refused else ["failed" if right.error else "completed"]
    )


@pytest.mark.parametrize("shape", READING)
async def test_an_answer_is_read_in_every_form(shape: str) -> None:
    parts, right = READING[shape]
    heard, _, _ = await ask(stream(*parts))

    assert heard == right


@pytest.mark.parametrize("shape", THOUGHTS)
async def test_reasoning_is_found_wherever_it_is(shape: str) -> None:
    parts, right = THOUGHTS[shape]
    heard, _, _ = await ask(stream(*parts))

    assert heard == right


@pytest.mark.parametrize("shape", [*FAILURES, *READING, *THOUGHTS])
async def test_the_sizes_of_the_reads_do_not_matter(shape: str) -> None:
    parts, right = {**FAILURES, **READING, **THOUGHTS}[shape]
    reads: list[Part] = []
    for part in parts:
        reads += _bytes(part)
    heard, _, _ = await ask(stream(*reads))

    assert heard == right


def _bytes(part: Part) -> list[Part]:
    if isinstance(part, bytes):
        return list[Part]([part[at : at + 1] for at in range(len(part))])
    return [part]


@pytest.mark.parametrize(
    ("frames", "counts"),
    [
        ([c({"content": "a"}), c({}, "stop", usage=COUNTS), D], (10, 5)),
        (
            [
                said("a"),
                event({"choices": [{"delta": {}, "finish_reason": "stop"}], "x_groq": {"usage": COUNTS}}),
                D,
            ],
            (10, 5),
        ),
        ([said("a"), c({}, "stop"), event({"usage": COUNTS}), D], (10, 5)),
        (
            [
                event({"choices": [{"delta": {"content": "a"}}], "usage": COUNTS | {"completion_tokens": 1}}),
                c({}, "stop"),
                COUNTED,
                D,
            ],
            (10, 5),
        ),
        (
            [
                c({"content": "a"}, usage={"prompt_tokens": 10, "completion_tokens": 0}),
                c({}, "stop", usage={"completion_tokens": 5}),
                D,
            ],
            (10, 5),
        ),
        (
            [
                said("a"),
                c({}, "stop"),
                COUNTED,
                event({"choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0}}),
                D,
            ],
            (10, 5),
        ),
        ([said("a"), c({}, "stop"), COUNTED, event({"choices": [], "usage": None}), D], (10, 5)),
        (
            [
                said("a"),
                c({}, "stop"),
                event({"choices": [], "usage": {"input_tokens": 10, "output_tokens": 5}}),
                D,
            ],
            (10, 5),
        ),
    ],
)
async def test_tokens_are_counted_wherever_they_are_reported(
    frames: list[Part], counts: tuple[int, int]
) -> None:
    _, (record,), _ = await ask(stream(*frames))

    assert (record.input_tokens, record.output_tokens, record.estimated) == (*counts, False)


REFUSALS: dict[str, tuple[Reply, type[RunFailure], str]] = {
    "azure: a filter": (
        refusal(
            400,
            "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
            code="content_filter",
        ),
        ContentFiltered,
        "filter",
    ),
    "azure: a filter, code alone": (
        refusal(400, "Bad request", innererror={"code": "ResponsibleAIPolicyViolation"}),
        ContentFiltered,
        "filter",
    ),
    "dashscope: a filter": (
        document({"code": "DataInspectionFailed", "message": "x"}, status=400),
        ContentFiltered,
        "filter",
    ),
    "openrouter: moderation": (
        refusal(403, "Your input was flagged", metadata={"reasons": ["violence"]}),
        ContentFiltered,
        "filter",
    ),
    "bedrock over litellm": (
        refusal(400, "Output blocked by content filtering policy"),
        ContentFiltered,
        "filter",
    ),
    "zhipu: a filter": (
        refusal(400, "The prompt contains sensitive content", code="1301"),
        ContentFiltered,
        "filter",
    ),
    "an ordinary 400": (refusal(400, "messages: bad"), ModelRejected, "did not accept the request"),
    "a wrong key": (refusal(401, "Incorrect API key; see our usage policies"), ModelUnavailable, "key"),
    "no quota": (
        refusal(429, "You exceeded your current quota", code="insufficient_quota"),
        ModelUnavailable,
        "used up",
    ),
    "deepseek: no balance": (refusal(402, "Insufficient Balance"), ModelUnavailable, "used up"),
    "a long wait": (
        refusal(429, "slow down", headers={"retry-after": "3600"}),
        ModelUnavailable,
        "wait 1 hour",
    ),
    "a long wait at 503": (
        refusal(503, "down", headers={"retry-after": "120"}),
        ModelUnavailable,
        "wait 2 minutes",
    ),
}


@pytest.mark.parametrize("shape", REFUSALS)
async def test_a_refusal_is_told_as_what_it_is_and_at_once(shape: str) -> None:
    reply, kind, words = REFUSALS[shape]
    endpoint = ScriptedEndpoint(otherwise=reply)
    model = OpenAICompatibleChatModel(
        endpoint.services(settings={"max_retries": 3}),
        model="m",
        stage="execution",
        record=lambda _usage: None,
    )
    with pytest.raises(RunFailure) as failed:
        _ = [response async for response in await model([UserMsg(name="user", content="hi")])]  # pyright: ignore[reportGeneralTypeIssues]

    assert type(failed.value) is kind
    assert words in failed.value.detail
    assert len(endpoint.requests) == 1
