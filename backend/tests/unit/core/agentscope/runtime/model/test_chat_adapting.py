"""What endpoints refuse, in their own words: learnt from the refusal within the call, remembered, and said once.

Each case is an endpoint that refuses requests until they have the form it wants.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from agentscope.message import (
    AssistantMsg,
    Base64Source,
    DataBlock,
    Msg,
    SystemMsg,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    ToolResultBlock,
    UserMsg,
)
from agentscope.model import ChatResponse
from agentscope.tool import ToolChoice
from pydantic import BaseModel
from structlog.testing import capture_logs
from tests.support.scripted_endpoint import (
    D,
    Reply,
    S,
    ScriptedEndpoint,
    document,
    event,
    refusal,
    said,
    stream,
)

from core.agentscope.runtime.model.call_services import CallServices
from core.agentscope.runtime.model.chat_endpoint import ChatEndpoint
from core.agentscope.runtime.model.chat_errors import ModelRejected
from core.agentscope.runtime.model.chat_model import OpenAICompatibleChatModel
from core.agentscope.runtime.model.quirks import Quirk, QuirkChoice, parse_quirks
from core.agentscope.schemas.internal_events import ModelRetrying, ModelUsage
from core.errors import ContentFiltered, ContextTooLong, ModelUnavailable

Parameters = OpenAICompatibleChatModel.Parameters
LONG_ID = "toolu_" + "a" * 40
TOOL = {
    "type": "function",
    "function": {
        "name": "calculate",
        "description": "Calculates.",
        "parameters": {
            "type": "object",
            "properties": {"e": {"anyOf": [{"type": "string", "minLength": 1}, {"type": "null"}]}},
            "required": ["e"],
            "additionalProperties": False,
        },
    },
}


def conversation() -> list[Msg]:
    """Return a thread with everything a refusal can be about."""
    return [
        SystemMsg(name="system", content="Be brief."),
        UserMsg(name="Ann", content=[TextBlock(text="a"), TextBlock(text="b")]),
        UserMsg(name="user", content="And 1 + 1?"),
        AssistantMsg(
            name="assistant",
            content=[
                ThinkingBlock(thinking="I add."),
                TextBlock(text="Adding."),
                ToolCallBlock(id=LONG_ID, name="calculate", input='{"e": "1 + 1"}'),
                ToolResultBlock(id=LONG_ID, name="calculate", output="2"),
                ToolCallBlock(id="c2", name="calculate", input='{"e": "2 + 2"}'),
                ToolResultBlock(id="c2", name="calculate", output="4"),
                TextBlock(text="2 and 4.<|end|>"),
            ],
        ),
        UserMsg(
            name="user",
            content=[
                TextBlock(text="Look."),
                DataBlock(source=Base64Source(data="AAAA", media_type="image/png")),
            ],
        ),
    ]


# --- what an endpoint looks at ---------------------------------------------------------------------------

Test = Callable[[dict[str, Any]], Any]


def message(test: Test) -> Test:
    return lambda body: any(test(item) for item in body["messages"])


def assistant(test: Test) -> Test:
    """Whether a message of the assistant fails a test."""
    return message(lambda item: item["role"] == "assistant" and not test(item))


def calls_fail(test: Test) -> Test:
    return message(lambda item: any(not test(call) for call in item.get("tool_calls") or ()))


def alternates(body: dict[str, Any]) -> bool:
    """Whether a template that wants user and assistant in turn takes the messages."""
    expected = {"user"}
    for item in body["messages"]:
        if item["role"] == "system":
            continue
        if item["role"] not in expected:
            return False
        expected = {
            "user": {"assistant"},
            "assistant": {"tool"} if item.get("tool_calls") else {"user"},
            "tool": {"tool", "assistant"},
        }[item["role"]]
    return body["messages"][-1]["role"] in ("user", "tool")


def has(*members: str) -> Test:
    return lambda body: any(member in body for member in members)


def flat(body: dict[str, Any]) -> bool:
    return isinstance(body.get("tool_choice"), dict)


def nests(word: str) -> Test:
    return lambda body: word in str(body.get("tools"))


def listed(item: dict[str, Any]) -> bool:
    return isinstance(item["content"], list) and all(part["type"] == "text" for part in item["content"])


def media(item: dict[str, Any]) -> bool:
    return isinstance(item["content"], list) and any(part["type"] != "text" for part in item["content"])


def carries(item: dict[str, Any]) -> bool:
    return "reasoning_content" in item


EXTRA = {
    "detail": [{"type": "extra_forbidden", "loc": ["body", "?"], "msg": "Extra inputs are not permitted"}]
}


def extra(*loc: str | int, status: int = 422) -> Reply:
    detail = {"type": "extra_forbidden", "loc": ["body", *loc], "msg": "Extra inputs are not permitted", "input": {"temperature": 1}}  # fmt: skip
    return document({"detail": [detail]}, status=status)


@dataclass(frozen=True)
class Case:
    """An endpoint: what it refuses and how it says so. The lessons, in their order."""

    id: str
    refuses: Test
    reply: Reply
    learns: tuple[Quirk, ...]
    tool_choice: bool = False
    tools: bool = True
    useless: int = 0
    """Lessons on the way that did not help."""


Q = Quirk
ONE = (
    # --- the conversation: what the model said goes back in the form that is wanted
    Case(
        "deepseek-reasoning",
        assistant(lambda m: not m.get("tool_calls") or carries(m)),
        refusal(
            400,
            "The `reasoning_content` in the thinking mode must be passed back to the API.",
            type="invalid_request_error",
        ),
        (Q.REASONING_WITH_CALLS,),
    ),
    Case(
        "kimi-reasoning",
        assistant(lambda m: not m.get("tool_calls") or carries(m)),
        refusal(
            400,
            "thinking is enabled but reasoning_content is missing in assistant tool call message at index 2",
        ),
        (Q.REASONING_WITH_CALLS,),
    ),
    Case(
        "reasoning-on-every-message",
        assistant(carries),
        refusal(400, "Missing `reasoning_content` field in the assistant message at message index 2."),
        (Q.REASONING_ALWAYS,),
        useless=1,
    ),
    Case(
        "reasoning-never-empty",
        assistant(lambda m: m.get("reasoning_content")),
        refusal(400, "reasoning_content must not be empty"),
        (Q.REASONING_NOT_EMPTY,),
        useless=2,
    ),
    Case(
        "openai-ids-of-40",
        calls_fail(lambda c: len(c["id"]) <= 40),
        refusal(
            400,
            "Invalid 'messages[3].tool_calls[0].id': string too long. Expected a string with maximum length 40, "
            + "but got a string with length 46 instead.",
            param="messages[3].tool_calls[0].id",
            code="string_above_max_length",
        ),
        (Q.CALL_IDS_40,),
    ),
    Case(
        "bedrock-ids",
        calls_fail(lambda c: re.fullmatch("[A-Za-z0-9_-]{1,40}", c["id"])),
        refusal(400, "toolUseId failed to satisfy constraint: Member must have length less than 64"),
        (Q.CALL_IDS_40,),
    ),
    Case(
        "mistral-ids-of-nine",
        calls_fail(lambda c: re.fullmatch("[A-Za-z0-9]{9}", c["id"])),
        document(
            {
                "object": "error",
                "message": f"Tool call id was {LONG_ID} but must be a-z, A-Z, 0-9, with a length of 9.",
                "type": "invalid_function_call",
                "code": "3280",
            },
            status=400,
        ),
        (Q.CALL_IDS_9,),
    ),
    Case(
        "ids-of-nine-without-saying-nine",
        calls_fail(lambda c: re.fullmatch("[A-Za-z0-9]{9}", c["id"])),
        refusal(422, "messages.3.tool_calls.0.id: invalid"),
        (Q.CALL_IDS_9,),
        useless=1,
    ),
    Case(
        "template-wants-turns",
        lambda body: not alternates(body),
        refusal(500, "Conversation roles must alternate user/assistant/user/assistant/..."),
        (Q.ALTERNATING_ROLES,),
    ),
    Case(
        "mistral-roles",
        lambda body: not alternates(body),
        document({"object": "error", "message": "Unexpected role 'user' after role 'tool'"}, status=400),
        (Q.ALTERNATING_ROLES,),
    ),
    Case(
        "deepseek-successive",
        lambda body: not alternates(body),
        refusal(
            400,
            "deepseek-reasoner does not support successive user or assistant messages (messages[1] and messages[2] in "
            + "your input). You should interleave the user/assistant messages in the message sequence.",
        ),
        (Q.ALTERNATING_ROLES,),
    ),
    Case(
        "gemma-system",
        message(lambda m: m["role"] == "system"),
        refusal(500, "System role not supported"),
        (Q.NO_SYSTEM_ROLE,),
    ),
    Case(
        "o1-system",
        message(lambda m: m["role"] == "system"),
        refusal(400, "Unsupported value: 'messages[0].role' does not support 'system' with this model."),
        (Q.NO_SYSTEM_ROLE,),
    ),
    Case(
        "groq-list-content",
        message(listed),
        refusal(400, "'messages.1.content' : value must be a string"),
        (Q.TEXT_CONTENT,),
    ),
    Case(
        "pydantic-list-content",
        message(listed),
        document(
            {
                "detail": [
                    {
                        "loc": ["body", "messages", 1, "content"],
                        "msg": "Input should be a valid string",
                        "type": "string_type",
                        "input": [{"type": "text", "text": "stream_options temperature tools"}],
                    }
                ]
            },
            status=422,
        ),
        (Q.TEXT_CONTENT,),
    ),
    Case(
        "null-content",
        message(lambda m: m["content"] is None),
        refusal(
            400, "Invalid value for 'content': expected a string, got null.", param="messages.[3].content"
        ),
        (Q.NO_NULL_CONTENT,),
    ),
    Case(
        "kimi-empty-content",
        assistant(lambda m: m["content"]),
        refusal(400, "the message at position 3 with role 'assistant' must not be empty"),
        (Q.NO_EMPTY_CONTENT,),
    ),
    Case(
        "gemini-names-of-results",
        message(lambda m: m["role"] == "tool" and not m.get("name")),
        refusal(
            400,
            "* GenerateContentRequest.contents[2].parts[0].function_response.name: Name cannot be empty.",
        ),
        (Q.RESULTS_WITH_NAMES,),
    ),
    Case(
        "openai-role-values",
        message(lambda m: m["role"] == "system"),
        refusal(400, "Invalid value: 'system'. Supported values are: 'user' and 'assistant'."),
        (Q.NO_SYSTEM_ROLE,),
    ),
    Case(
        "vllm-echo",
        message(listed),
        refusal(
            400,
            "[{'type': 'string_type', 'loc': ('body', 'messages', 1, 'content'), 'msg': 'Input should be a valid "
            + "string', 'input': [{'type': 'text', 'text': 'temperature max_tokens stream_options'}]}]",
        ),
        (Q.TEXT_CONTENT,),
    ),
    Case(
        "content-or-calls",
        message(lambda m: m.get("tool_calls") and m["content"]),
        refusal(400, "Assistant message must have either content or tool_calls, but not both."),
        (Q.NO_CONTENT_WITH_CALLS,),
    ),
    Case(
        "no-names",
        message(lambda m: "name" in m),
        extra("messages", 1, "name"),
        (Q.NO_NAMES,),
    ),
    Case(
        "no-images",
        message(media),
        refusal(400, "This model does not support image input"),
        (Q.NO_MEDIA,),
    ),
    Case(
        "no-vision-parts",
        message(media),
        refusal(400, "Failed to deserialize: unknown variant `image_url`, expected `text`"),
        (Q.NO_MEDIA,),
    ),
    Case(
        "tiktoken-special-tokens",
        message(lambda m: "<|end|>" in str(m["content"])),
        refusal(400, "Encountered text corresponding to disallowed special token '<|end|>'."),
        (Q.NO_SPECIAL_TOKENS,),
    ),
    Case(
        "anthropic-calls-without-tools",
        lambda body: "tools" not in body and message(lambda m: m.get("tool_calls"))(body),
        refusal(400, "Requests which include `tool_use` or `tool_result` blocks must define tools"),
        (Q.CALLS_NEED_TOOLS,),
        tools=False,
    ),
    Case(
        "litellm-calls-without-tools",
        lambda body: "tools" not in body and message(lambda m: m["role"] == "tool")(body),
        refusal(
            400,
            "litellm.UnsupportedParamsError: Bedrock doesn't support tool calling without `tools=` param specified.",
        ),
        (Q.CALLS_NEED_TOOLS,),
        tools=False,
    ),
    # --- what stands beside the conversation
    Case("mistral-stream-options", has("stream_options"), extra("stream_options"), (Q.NO_STREAM_OPTIONS,)),
    Case(
        "fireworks-stream-options",
        has("stream_options"),
        refusal(400, "Extra inputs are not permitted, field: 'stream_options'"),
        (Q.NO_STREAM_OPTIONS,),
    ),
    Case(
        "azure-stream-options",
        has("stream_options"),
        refusal(400, "Unrecognized request argument supplied: stream_options"),
        (Q.NO_STREAM_OPTIONS,),
    ),
    Case(
        "gemini-stream-options",
        has("stream_options"),
        document(
            [
                {
                    "error": {
                        "code": 400,
                        "message": 'Invalid JSON payload received. Unknown name "stream_options"',
                    }
                }
            ],
            status=400,
        ),
        (Q.NO_STREAM_OPTIONS,),
    ),
    Case(
        "a-refusal-inside-the-answer",
        has("stream_options"),
        stream(
            event(
                {"error": {"message": "litellm.BadRequestError: stream_options: Extra inputs", "code": "400"}}
            ),
            D,
        ),
        (Q.NO_STREAM_OPTIONS,),
    ),
    Case(
        "o1-stream",
        has("stream"),
        refusal(400, "Unsupported value: 'stream' does not support true with this model.", param="stream"),
        (Q.NO_STREAM,),
    ),
    Case(
        "ollama-tools",
        has("tools"),
        refusal(400, "registry.ollama.ai/library/gemma3:latest does not support tools", type="api_error"),
        (Q.NO_TOOLS,),
    ),
    Case(
        "llama-cpp-tools",
        has("tools"),
        refusal(500, "tools param requires --jinja flag", code=500, type="server_error"),
        (Q.NO_TOOLS,),
    ),
    Case("qwen-tools", has("tools"), refusal(500, "Unsupported param: tools", code=500), (Q.NO_TOOLS,)),
    Case(
        "vllm-tools",
        has("tools"),
        refusal(
            400, '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
        ),
        (Q.NO_TOOLS,),
    ),
    Case(
        "openrouter-tools",
        has("tools"),
        refusal(
            404, "No endpoints found that support tool use. To learn more about provider routing, visit: x"
        ),
        (Q.NO_TOOLS,),
    ),
    Case("forbidden-tools", has("tools"), extra("tools"), (Q.NO_TOOLS,)),
    Case(
        "groq-tools",
        has("tools"),
        refusal(400, "`tool calling` is not supported with this model"),
        (Q.NO_TOOLS,),
    ),
    *(
        Case(
            f"tool-choice-{status}",
            has("tool_choice"),
            refusal(status, "No endpoints found that support the provided 'tool_choice' value."),
            (Q.NO_TOOL_CHOICE,),
            tool_choice=True,
        )
        for status in (400, 404, 422, 500)
    ),
    Case(
        "thinking-tool-choice",
        flat,
        refusal(400, "Thinking mode does not support this tool_choice"),
        (Q.NO_TOOL_CHOICE,),
        tool_choice=True,
    ),
    Case(
        "gemini-schemas",
        nests("additionalProperties"),
        refusal(
            400,
            'Invalid JSON payload received. Unknown name "additionalProperties" at \'tools[0].function_declarations[0]'
            + ".parameters': Cannot find field.",
        ),
        (Q.PLAIN_SCHEMAS,),
    ),
    Case(
        "any-of-in-schemas",
        nests("anyOf"),
        refusal(400, "Invalid schema for function 'calculate': anyOf is not supported"),
        (Q.PLAIN_SCHEMAS,),
    ),
    Case(
        "openai-max-tokens",
        has("max_tokens"),
        refusal(
            400,
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
            param="max_tokens",
        ),
        (Q.MAX_COMPLETION_TOKENS,),
    ),
    Case(
        "no-limit-by-any-name",
        has("max_tokens", "max_completion_tokens"),
        refusal(400, "max_tokens and max_completion_tokens: property is unsupported"),
        (Q.NO_MAX_TOKENS,),
        useless=1,
    ),
    Case(
        "groq-ceiling",
        has("max_tokens"),
        refusal(
            400,
            "`max_tokens` must be less than or equal to `8192`, the maximum value for `max_tokens` is less than the "
            + "`context_window` for this model",
        ),
        (Q.NO_MAX_TOKENS,),
    ),
    Case(
        "openai-temperature",
        has("temperature"),
        refusal(
            400,
            "Unsupported value: 'temperature' does not support 0.2 with this model. Only the default (1) value is "
            + "supported.",
            param="temperature",
        ),
        (Q.NO_TEMPERATURE,),
    ),
)


class Setup:
    """A model on an endpoint that refuses."""

    def __init__(
        self, endpoint: ScriptedEndpoint, *, choice: QuirkChoice | None = None, **services: Any
    ) -> None:
        self.endpoint = endpoint
        self.services: CallServices = endpoint.services(**services)
        self.records: list[ModelUsage] = []
        self.choice = choice

    def model(self, **options: Any) -> OpenAICompatibleChatModel:
        given: dict[str, Any] = {
            "parameters": Parameters(temperature=0.2, max_tokens=100),
            "quirks": self.choice,
        }
        return OpenAICompatibleChatModel(
            self.services, model="m", stage="execution", record=self.records.append, **(given | options)
        )

    async def ask(
        self,
        messages: list[Msg] | None = None,
        *,
        tool_choice: bool = False,
        tools: bool = True,
        **options: Any,
    ) -> str:
        responses: Any = await self.model(**options)(
            messages or conversation(),
            tools=[TOOL] if tools else None,
            tool_choice=ToolChoice(mode="calculate") if tool_choice else None,
        )
        answers: list[ChatResponse] = [response async for response in responses]
        return answers[-1].content[0].text  # pyright: ignore[reportAttributeAccessIssue]


def refusing(*rules: tuple[Test, Reply]) -> ScriptedEndpoint:
    endpoint = ScriptedEndpoint(otherwise=stream(said("ok"), S))
    for test, reply in rules:
        endpoint.when(lambda request, test=test: bool(test(request.body)), reply)
    return endpoint


@pytest.mark.parametrize("case", ONE, ids=lambda case: case.id)
async def test_a_refusal_is_learnt_within_the_call_and_remembered(case: Case) -> None:
    setup = Setup(refusing((case.refuses, case.reply)))
    options: dict[str, Any] = {"tool_choice": case.tool_choice, "tools": case.tools}

    with capture_logs() as log:
        assert await setup.ask(**options) == "ok"
        assert len(setup.endpoint.requests) == 1 + len(case.learns) + case.useless
        assert await setup.ask(**options) == "ok"

    # Once, and every later call is right at its first try.
    assert len(setup.endpoint.requests) == 2 + len(case.learns) + case.useless
    assert [line["quirk"] for line in log if line["event"] == "model_quirk_learnt"] == list(case.learns)
    assert not [line for line in log if line["event"] == "model_call_failed"]
    # What was refused is neither booked nor counted.
    assert [record.outcome for record in setup.records] == ["completed"] * 2


async def test_a_profile_can_say_it_before_the_first_refusal() -> None:
    for case in ONE:
        choice = parse_quirks([str(quirk) for quirk in case.learns])
        setup = Setup(refusing((case.refuses, case.reply)), choice=choice)
        assert await setup.ask(tool_choice=case.tool_choice, tools=case.tools) == "ok"
        assert len(setup.endpoint.requests) == 1, case.id


async def test_a_profile_can_forbid_a_lesson() -> None:
    case = ONE[-1]
    setup = Setup(refusing((case.refuses, case.reply)), choice=parse_quirks(["-no_temperature"]))
    with pytest.raises(ModelRejected):
        await setup.ask()


def test_a_quirk_that_does_not_exist_is_told_with_those_that_do() -> None:
    with pytest.raises(ValueError, match=r"'no_tulips' is no quirk; the quirks are .*no_tools"):
        parse_quirks(["no_tulips"])


async def test_many_quirks_are_learnt_in_one_call() -> None:
    chosen = [case for case in ONE if case.id in {"mistral-stream-options", "mistral-ids-of-nine", "mistral-roles", "null-content", "openai-temperature", "openai-max-tokens", "no-images", "no-names"}]  # fmt: skip
    setup = Setup(refusing(*((case.refuses, case.reply) for case in chosen)))

    assert await setup.ask() == "ok"
    known = len(setup.endpoint.requests)
    assert await setup.ask() == "ok"
    assert len(setup.endpoint.requests) == known + 1


async def test_lessons_are_bounded_and_a_lesson_that_did_not_help_is_forgotten() -> None:
    words = (
        "stream_options temperature max_tokens max_completion_tokens tool_choice system role not supported"
    )
    setup = Setup(refusing((lambda _body: True, refusal(400, words))))
    with pytest.raises(ModelRejected):
        await setup.ask([UserMsg(name="user", content="hi")])

    assert len(setup.endpoint.requests) <= 11
    assert setup.services.quirks.learnt("http://model.test/v1/chat/completions m") == frozenset()


async def test_a_lesson_is_for_one_model_of_one_endpoint() -> None:
    setup = Setup(refusing((has("temperature"), ONE[-1].reply)))
    await setup.ask()
    other = OpenAICompatibleChatModel(
        setup.services, model="other", stage="report", record=setup.records.append, parameters=Parameters(temperature=0.2)
    )  # fmt: skip
    _ = [response async for response in await other([UserMsg(name="user", content="hi")])]  # pyright: ignore[reportGeneralTypeIssues]
    assert ["temperature" in body for body in setup.endpoint.bodies] == [True, False, True, False]


async def test_a_lesson_is_no_retry() -> None:
    told: list[ModelRetrying] = []
    waits: list[float] = []

    async def announce(event: ModelRetrying) -> None:
        told.append(event)

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    llama = next(case for case in ONE if case.id == "llama-cpp-tools")
    setup = Setup(refusing((llama.refuses, llama.reply)), announce=announce, sleep=sleep)
    assert await setup.ask() == "ok"
    assert (told, waits) == ([], [])


@pytest.mark.parametrize(
    "message",
    [
        "unexpected error while parsing tool call",
        "unexpected end of stream",
        "tool call failed: unknown error",
        "Upstream closed: unknown stream error",
    ],
)
async def test_a_fault_of_the_server_that_passes_teaches_nothing(message: str) -> None:
    async def sleep(_seconds: float) -> None: ...

    endpoint = ScriptedEndpoint(refusal(500, message), otherwise=stream(said("ok"), S))
    setup = Setup(endpoint, sleep=sleep, settings={"max_retries": 1})

    with capture_logs() as log:
        assert await setup.ask() == "ok"

    first, second = setup.endpoint.bodies
    assert first == second
    assert not [line for line in log if line["event"] == "model_quirk_learnt"]


# --- ids, both ways -----------------------------------------------------------------------------------------


async def test_ids_are_stable_differ_and_pair_calls_with_results() -> None:
    choice = parse_quirks(["call_ids_9"])
    setup = Setup(refusing(), choice=choice)
    await setup.ask()
    await setup.ask()

    first, second = (
        [
            [call["id"] for item in body["messages"] for call in item.get("tool_calls") or ()],
            [item["tool_call_id"] for item in body["messages"] if item["role"] == "tool"],
        ]
        for body in setup.endpoint.bodies
    )
    assert first == second
    assert first[0] == first[1]
    assert len(set(first[0])) == 2


async def test_each_endpoint_gets_ids_in_its_own_form() -> None:
    first = refusing((lambda _body: True, refusal(503, "busy")))
    nine = next(case for case in ONE if case.id == "mistral-ids-of-nine")
    second = refusing((nine.refuses, nine.reply))
    setup = Setup(first)
    other = second.services(settings={"base_url": "http://other.test/v1"})
    fallback = ChatEndpoint(other.client, other.settings, "m")

    assert await setup.ask(fallback=fallback) == "ok"
    asked = first.bodies[0]["messages"][3]["tool_calls"][0]["id"]
    assert asked == LONG_ID
    assert re.fullmatch("[A-Za-z0-9]{9}", second.bodies[-1]["messages"][3]["tool_calls"][0]["id"])


# --- what no rule reads -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "Function call is missing a thought_signature in functionCall parts"),
        (400, "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`"),
        (422, "Unprocessable Entity"),
        (500, "Internal Server Error"),
    ],
)
async def test_tool_calls_that_an_endpoint_will_not_have_go_back_as_text(status: int, words: str) -> None:
    def of_others(body: dict[str, Any]) -> bool:
        return any(
            call["id"] == LONG_ID for item in body["messages"] for call in item.get("tool_calls") or ()
        )

    setup = Setup(refusing((of_others, refusal(status, words))))
    assert await setup.ask() == "ok"

    sent = setup.endpoint.bodies[-1]
    assert not any(item.get("tool_calls") or item["role"] == "tool" for item in sent["messages"])
    assert 'Called calculate with {"e": "1 + 1"}' in str(sent["messages"])
    assert "not written by the user" in str(sent["messages"])
    assert sent["tools"]


def called(call_id: str) -> list[Msg]:
    """Return a call with its result, and what the user says then."""
    blocks: list[Any] = [
        ToolCallBlock(id=call_id, name="calculate", input='{"e": "3 + 3"}'),
        ToolResultBlock(id=call_id, name="calculate", output="6"),
    ]
    return [AssistantMsg(name="assistant", content=blocks), UserMsg(name="user", content="Go on.")]


async def answers(model: OpenAICompatibleChatModel, *conversations: list[Msg]) -> None:
    for messages in conversations:
        responses: Any = await model(messages, tools=[TOOL])
        assert [response async for response in responses]


async def test_an_endpoint_without_a_role_for_results_keeps_its_tools_from_call_to_call() -> None:
    setup = Setup(
        refusing((message(lambda item: item["role"] == "tool"), refusal(400, "Unsupported role: tool")))
    )
    await answers(setup.model(), conversation(), [*conversation(), *called("c3")])

    assert all(body["tools"] for body in setup.endpoint.bodies)
    assert setup.services.quirks.learnt("http://model.test/v1/chat/completions m") == frozenset()


async def test_what_an_endpoint_takes_only_in_part_is_forgotten_when_the_conversation_is_summarised() -> None:
    setup = Setup(refusing((calls_fail(lambda call: call["id"] != LONG_ID), refusal(422, "Unprocessable"))))
    summarised = [*conversation()[:3], *called("c3")]
    await answers(setup.model(), conversation(), summarised)

    assert [bool(calls_fail(lambda _call: False)(body)) for body in setup.endpoint.bodies] == [
        True,
        False,
        True,
    ]


@pytest.mark.parametrize(
    "words",
    [
        "You uploaded an unsupported image. Please make sure your image has of one the following formats: png",
        "Invalid base64 image_url.",
        "messages.4.content.1.image.source.base64.data: At least one of the image dimensions exceed max allowed size",
        "Could not process image",
        "Failed to load image: cannot identify image file",
    ],
)
async def test_one_attachment_that_cannot_be_used_is_left_out_of_its_thread_only(words: str) -> None:
    setup = Setup(refusing((message(media), refusal(400, words))))
    model = setup.model()
    for _ in range(2):
        responses: Any = await model(conversation())
        _ = [response async for response in responses]

    assert [message(media)(body) for body in setup.endpoint.bodies] == [True, False, False]
    assert setup.services.quirks.learnt("http://model.test/v1/chat/completions m") == frozenset()
    assert setup.endpoint.bodies[1]["messages"][3]["tool_calls"]


@pytest.mark.parametrize(
    "words",
    [
        "The response was filtered due to the content management policy",
        "The model `x` does not exist",
        "Invalid API key",
    ],
)
async def test_what_is_not_about_the_form_is_not_asked_again(words: str) -> None:
    setup = Setup(refusing((lambda _body: True, refusal(400, words))))
    with pytest.raises(ContentFiltered if "filtered" in words else ModelUnavailable):
        await setup.ask()
    assert len(setup.endpoint.requests) == 1


# --- no tools, and structured output ------------------------------------------------------------------------


class Verdict(BaseModel):
    good: bool


@pytest.mark.parametrize("answer", ['{"good": true}', 'Sure:\n```json\n{"good": true}\n```'])
async def test_structured_output_without_tools_is_read_from_the_text(answer: str) -> None:
    endpoint = ScriptedEndpoint(otherwise=stream(said(answer), S))
    endpoint.when(lambda request: "tools" in request.body, refusal(400, "m does not support tools"))
    setup = Setup(endpoint)
    found = await setup.model().generate_structured_output([UserMsg(name="user", content="hi")], Verdict)

    assert found.content == {"good": True}
    assert "good" in str(endpoint.bodies[-1]["messages"])
    assert len(endpoint.requests) == 2


# --- too long -----------------------------------------------------------------------------------------------

TOO_LONG = (
    (
        400,
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
        8192,
    ),
    (400, "Please reduce the length of the messages or completion.", None),
    (400, "prompt is too long: 210000 tokens > 200000 maximum", 200000),
    (400, "the request exceeds the available context size. try increasing the context size", None),
    (400, "The prompt (total length 25938) is too long to fit into the model (context length 4096).", 4096),
    (413, "Request too large for model `x` on tokens per minute (TPM): Limit 6000, Requested 9000", 6000),
    (422, "Input length 9000 exceeds the maximum allowed token count", None),
    (500, "input is too long for requested model", None),
    (400, "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).", None),
)


async def test_a_refusal_inside_the_answer_is_judged_by_its_word() -> None:
    error = {"message": "too long", "type": "invalid_request_error", "code": "context_length_exceeded"}
    setup = Setup(refusing((lambda _body: True, stream(event({"error": error}), D))))
    with pytest.raises(ContextTooLong):
        await setup.ask()
    assert setup.records == []


@pytest.mark.parametrize(("status", "words", "limit"), TOO_LONG)
async def test_a_conversation_that_is_too_long_is_told_as_such(
    status: int, words: str, limit: int | None
) -> None:
    setup = Setup(refusing((lambda _body: True, refusal(status, words))))
    model = setup.model()
    with pytest.raises(ContextTooLong):
        _ = [response async for response in await model(conversation())]  # pyright: ignore[reportGeneralTypeIssues]

    assert len(setup.endpoint.requests) == 1
    assert model.context_size < 2500, "the agent's compaction begins at once"
    remembered = setup.services.quirks.context_tokens("http://model.test/v1/chat/completions m", 1 << 30)
    assert (remembered < (1 << 30)) == (limit is not None)
