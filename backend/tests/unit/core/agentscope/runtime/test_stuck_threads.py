"""A thread is never stuck by what a model said, or by what an older version has left in it.

Runs of one thread follow each other over their stored checkpoints, as after a restart. The endpoint is a strict one: it
refuses whatever OpenAI's would.
"""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from agentscope.message import (
    AssistantMsg,
    Msg,
    UserMsg,
)
from agentscope.state import AgentState
from pydantic import BaseModel, ConfigDict
from tests.support.scripted_endpoint import (
    STRUCTURED_TOOL,
    Reply,
    Request,
    S,
    ScriptedEndpoint,
    T,
    c,
    calls,
    has,
    has_message,
    intent,
    is_structured,
    refusal,
    said,
    stream,
)
from tests.support.stuck_conversations import LEFT, WANTS, illegal, lacks_reasoning
from tests.support.virtual_clock import VIRTUAL_CLOCK

from core.agentscope.events.state_parts import whole_text
from core.agentscope.runtime.agent.agent_kit import AgentKit
from core.agentscope.runtime.agent.compaction import EVENT_NAME
from core.agentscope.runtime.agent.state_reading import read_state
from core.agentscope.runtime.agent.thread_memory import AGENT_NAME, ThreadMemory
from core.agentscope.runtime.agent.toolkit import NO_OBJECT, ToolAccess
from core.agentscope.runtime.model.quirks import QuirkBook
from core.agentscope.runtime.orchestrator import AgentScopeOrchestrator, RunTask
from core.agentscope.runtime.profile.profile import STAGES, AgentProfile, Limits
from core.agentscope.runtime.profile.run_budget import RunBudget
from core.agentscope.runtime.stop_signal import StopSignal
from core.agentscope.schemas.agent_runtime import InternalRuntimeEvent, RunCommand
from core.agentscope.schemas.internal_events import CustomEvent, TextDelta, ToolCallArguments, ToolResult
from core.agentscope.tools.spec import Tool, ToolContext
from core.config import Settings
from core.errors import ContextTooLong, ModelUnavailable
from core.identity import Principal

CONTEXT = ToolContext(Principal("tenant", "user"), thread_id="t-1", run_id="r-1", tool_call_id="")
LONG_ID = "toolu_" + "a" * 40


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return VIRTUAL_CLOCK


class Sum(BaseModel):
    model_config = ConfigDict(extra="forbid")
    euros: int


class Thread:
    """A thread on an endpoint: each run begins with the checkpoint of the run before, in its stored form."""

    def __init__(
        self, endpoint: ScriptedEndpoint, *, context: list[Msg] | None = None, **settings: Any
    ) -> None:
        self.endpoint = endpoint
        self.settings = settings
        self.paid: list[int] = []
        self.events: list[InternalRuntimeEvent] = []
        """Of the newest run."""
        self.book = QuirkBook()
        self.state: AgentState | None = None
        if context is not None:
            self.state = AgentState(session_id="t-1", context=context)

    async def say(self, text: str, *, restarted: bool = False, stages: dict[str, str] | None = None) -> str:
        """Run once; returns what the agent said."""
        if restarted:
            self.book = QuirkBook()
        self.events = []
        services = self.endpoint.services(settings=self.settings, quirks=self.book)
        profile = AgentProfile.model_validate(
            {"name": "A", "description": "d", "stages": {"intent": "off", "report": "off"} | (stages or {})}
        )
        pay = Tool(name="pay", description="Pays.", parameters=Sum, handler=self._pay, permission="allow")
        kit = AgentKit(
            profile=profile,
            settings=Settings(model=services.settings),
            services=services,
            prompts={stage: profile.prompt_of(stage) for stage in STAGES},
            tools=(ToolAccess(pay, "allow"),),
        ).for_run(budget=RunBudget(Limits(), None, output_tokens=10), calls_ahead=None)
        command = RunCommand.model_validate(
            {"threadId": "t-1", "runId": "r", "messages": [{"id": "m", "role": "user", "content": text}]}
        )
        orchestrator = AgentScopeOrchestrator(
            kit,
            RunTask(command, CONTEXT, ThreadMemory(self.state, (), ())),
            emit=self._emit,
            durable=self._durable,
            save=lambda _checkpoint: None,
            stop=StopSignal(),
        )
        try:
            await orchestrator.run()
        finally:
            self.state = read_state(whole_text(orchestrator.checkpoint().state))
        return "".join(event.delta for event in self.of(TextDelta))

    def of(self, kind: Any) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    async def _pay(self, arguments: Sum, _context: ToolContext) -> str:
        self.paid.append(arguments.euros)
        return f"paid {arguments.euros}"

    async def _emit(self, event: InternalRuntimeEvent) -> None:
        self.events.append(event)

    async def _durable(self) -> None:
        pass


def strict(*script: Reply) -> ScriptedEndpoint:
    return ScriptedEndpoint(*script, otherwise=stream(said("ok"), S)).when(illegal, refusal(400, "illegal"))


# --- what the model said --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["functions.pay", "pay<|channel|>json", "p" * 200, "pay now", "zahle_über", "ns/pay", "pay:1"]
)
async def test_a_call_of_a_tool_that_is_not_there_is_told_and_goes_back_legally(name: str) -> None:
    thread = Thread(strict(stream(calls(name, '{"euros": 5}'), T)))

    assert await thread.say("pay") == "ok"
    (told,) = thread.of(ToolResult)
    assert told.state == "error"
    assert told.content.startswith(f"There is no tool {name[:100]!r}. The tools are: pay.")
    assert await thread.say("and now?", restarted=True) == "ok"
    assert thread.paid == []
    assert not any(map(illegal, thread.endpoint.requests))


@pytest.mark.parametrize(
    "arguments",
    ["null", "[]", '[{"euros": 5}]', '"five"', "5", "true", '"[5]"', '"\\"{}\\""', '{"euros": 5', "pay 5"],
)
async def test_arguments_that_are_no_object_are_told_and_an_object_goes_back(arguments: str) -> None:
    thread = Thread(strict(stream(calls("pay", arguments), T)))

    assert await thread.say("pay") == "ok"
    (told,) = thread.of(ToolResult)
    assert told.state in ("error", "denied")
    assert await thread.say("and now?", restarted=True) == "ok"
    assert thread.paid == []
    assert not any(map(illegal, thread.endpoint.requests))


def test_what_is_told_of_arguments_says_what_to_write() -> None:
    assert "must be one JSON object" in NO_OBJECT


@pytest.mark.parametrize("cut", [1, 2, 5, 12])
async def test_arguments_in_a_json_string_are_decoded_once_before_anybody_sees_them(cut: int) -> None:
    text = json.dumps('{"euros": 5}')
    pieces = [text[at : at + cut] for at in range(0, len(text), cut)]
    head = {"index": 0, "id": "c1", "type": "function", "function": {"name": "pay", "arguments": ""}}
    frames = [c({"tool_calls": [head]})]
    frames += [c({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}) for piece in pieces]
    thread = Thread(strict(stream(*frames, T)))

    assert await thread.say("pay") == "ok"
    assert thread.paid == [5]
    assert "".join(event.delta for event in thread.of(ToolCallArguments)) == '{"euros": 5}'
    (asked,) = thread.endpoint.bodies[-1]["messages"][-2]["tool_calls"]
    assert asked["function"]["arguments"] == '{"euros": 5}'


async def test_reasoning_goes_back_in_the_run_in_the_next_and_after_a_restart() -> None:
    thinks = stream(
        c({"reasoning_content": "I "}), c({"reasoning_content": "add."}), calls("pay", '{"euros": 5}'), T
    )
    silent = stream(calls("pay", '{"euros": 6}', id="c2"), T)
    endpoint = strict(thinks, stream(said("paid"), S), silent).when(lacks_reasoning, refusal(400, WANTS))
    thread = Thread(endpoint)

    assert await thread.say("pay") == "paid"
    assert await thread.say("again") == "ok"
    assert await thread.say("thanks", restarted=True) == "ok"
    assert thread.paid == [5, 6]

    sent = [message for message in endpoint.bodies[-1]["messages"] if message.get("tool_calls")]
    # What was thought, and an empty text where nothing was.
    assert [message["reasoning_content"] for message in sent] == ["I add.", ""]
    # Learnt once in each process: 2 + 1 calls, 2 calls, 1 + 1 calls.
    assert len(endpoint.requests) == 3 + 2 + 2


# --- a run that failed, and roles -----------------------------------------------------------------------------


async def test_a_message_after_a_run_that_failed_before_its_first_word() -> None:
    def two_users(request: Request) -> bool:
        roles = [message["role"] for message in request.body["messages"]]
        return any(pair == ("user", "user") for pair in itertools.pairwise(roles))

    endpoint = ScriptedEndpoint(refusal(401, "no"), otherwise=stream(said("ok"), S))
    endpoint.when(
        two_users, refusal(500, "Conversation roles must alternate user/assistant/user/assistant/...")
    )
    thread = Thread(endpoint)
    with pytest.raises(ModelUnavailable):
        await thread.say("first")

    assert await thread.say("second", restarted=True) == "ok"
    assert endpoint.bodies[-1]["messages"][-1] == {"role": "user", "content": "first\n\nsecond"}


# --- too long -------------------------------------------------------------------------------------------------

SUMMARY = stream(
    calls(
        STRUCTURED_TOOL,
        json.dumps(
            dict.fromkeys(
                (
                    "task_overview",
                    "current_state",
                    "important_discoveries",
                    "next_steps",
                    "context_to_preserve",
                ),
                "short",
            )
        ),
    ),
    T,
)
TOO_LONG = refusal(400, "too long", code="context_length_exceeded")


def longer_than(characters: int) -> Any:
    return lambda request: len(str(request.body["messages"])) > characters


def talk(count: int, size: int) -> list[Msg]:
    return [
        (UserMsg if number % 2 == 0 else AssistantMsg)(
            name="user" if number % 2 == 0 else AGENT_NAME, content=f"{number} " + "word " * size
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("messages", [20, 200])
@pytest.mark.parametrize(
    "words", [TOO_LONG, refusal(413), refusal(400, "maximum context length is 4000 tokens")]
)
async def test_a_conversation_that_is_too_long_is_compacted_once_and_goes_on(
    words: Reply, messages: int
) -> None:
    endpoint = ScriptedEndpoint(otherwise=stream(said("ok"), S)).when(longer_than(20_000), words)
    endpoint.when(is_structured, SUMMARY)
    thread = Thread(endpoint, context=talk(messages, 400))

    assert await thread.say("go on") == "ok"
    (event,) = [event for event in thread.of(CustomEvent) if event.name == EVENT_NAME]
    assert event.value["messagesKept"] < messages
    asked = len(endpoint.requests)
    assert await thread.say("and again", restarted=True) == "ok"
    assert len(endpoint.requests) == asked + 1


async def test_a_model_without_tools_writes_the_summary_as_text() -> None:
    summary = dict.fromkeys(
        ("task_overview", "current_state", "important_discoveries", "next_steps", "context_to_preserve"),
        "brief",
    )
    endpoint = ScriptedEndpoint(otherwise=stream(said("ok"), S))
    endpoint.when(has("tools"), refusal(400, "m does not support tools")).when(longer_than(20_000), TOO_LONG)
    endpoint.when(
        has_message(lambda message: "Answer with one JSON object" in str(message["content"])),
        stream(said(f"Here it is: {json.dumps(summary)}"), S),
    )
    thread = Thread(endpoint, context=talk(20, 400))

    assert await thread.say("go on") == "ok"
    assert [event.name for event in thread.of(CustomEvent)] == [EVENT_NAME]
    assert "brief" in str(endpoint.bodies[-1]["messages"])


async def test_what_cannot_be_shortened_ends_with_a_clear_error_and_the_thread_goes_on() -> None:
    endpoint = ScriptedEndpoint(otherwise=stream(said("ok"), S)).when(longer_than(20_000), TOO_LONG)
    endpoint.when(is_structured, SUMMARY)
    thread = Thread(endpoint)
    with pytest.raises(ContextTooLong) as caught:
        await thread.say("word " * 8000)

    assert caught.value.code == "context-too-long"
    assert len(endpoint.requests) == 1
    assert await thread.say("short then", restarted=True) == "ok"


async def test_the_intent_of_a_conversation_that_is_too_long_is_not_asked_again() -> None:
    endpoint = ScriptedEndpoint(otherwise=stream(said("ok"), S)).when(is_structured, TOO_LONG)
    thread = Thread(endpoint)

    assert await thread.say("hello", stages={"intent": "model"}) == "ok"
    assert len(endpoint.requests) == 2


# --- what an older version left -----------------------------------------------------------------------------


@pytest.mark.parametrize("wants_reasoning", [False, True], ids=["", "reasoning"])
@pytest.mark.parametrize("context", LEFT.values(), ids=LEFT.keys())
async def test_a_thread_that_an_older_version_left_stuck_goes_on(
    context: list[Msg], wants_reasoning: bool
) -> None:
    endpoint = strict().when(is_structured, intent())
    if wants_reasoning:
        endpoint.when(lacks_reasoning, refusal(400, WANTS))
    thread = Thread(endpoint, context=context)

    assert await thread.say("go on", stages={"intent": "model"}) == "ok"
    assert await thread.say("and again", restarted=True) == "ok"
