"""A runner is a whole run: what it yields is shown and kept, its tools wait, its questions are answered, it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from agentscope.agent import Agent
from agentscope.message import TextBlock, UserMsg
from agentscope.model import ChatResponse
from agentscope.permission import PermissionBehavior, PermissionDecision
from agentscope.tool import FunctionTool, Toolkit
from pydantic import BaseModel, ConfigDict, computed_field
from structlog.testing import capture_logs
from tests.support.foreign_models import foreign_model
from tests.support.model_in_memory import HANG, Asks
from tests.support.nested import nested
from tests.support.stage_run import PICK, YES, Run, after, conversation, user

from agentroute.agents import (
    AgentRun,
    Custom,
    Interrupt,
    MessageEnd,
    Passage,
    Reasoning,
    StatePatch,
    StateSnapshot,
    Step,
    Text,
    ToolCall,
    ToolProgress,
    ToolResult,
)
from core.agentscope.runtime import stop_signal
from core.agentscope.runtime.agent.thread_memory import Answered, GatedCall, ThreadMemory
from core.agentscope.runtime.profile.profile import Limits
from core.agentscope.runtime.stop_signal import RunStopped
from core.agentscope.schemas import internal_events as internal
from core.agentscope.schemas.internal_events import (
    InterruptRequested,
    ModelUsage,
    TextEnded,
    TextStarted,
    ToolCallEnded,
)
from core.agentscope.tools.mcp.user_access import ConnectionRequired
from core.agentscope.tools.spec import Tool
from core.errors import AgentFailed, BudgetExhausted, ModelEmpty


class NoArguments(BaseModel):
    """Of a tool."""

    model_config = ConfigDict(extra="forbid")


ALLOW = PermissionDecision(PermissionBehavior.ALLOW, "ours")
SHIP = Asks("ship", '{"order": "7"}', id="s1")


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[Any]]:
    with capture_logs() as taken:
        yield taken


def says(*yields: Any) -> Callable[[AgentRun], AsyncGenerator[Any, None]]:
    async def run(_run: AgentRun) -> AsyncGenerator[Any, None]:
        for each in yields:
            yield each

    return run


def ship(order: str) -> str:
    """Ship an order."""
    return f"shipped {order}"


def tools_of(function: Any, **more: Any) -> Toolkit:
    return Toolkit(tools=[FunctionTool(function, **more)])


async def two_agents(run: AgentRun) -> AsyncGenerator[Any, None]:
    """Think first, with a state of its own; then write into the conversation."""
    if run.messages:
        thinker = await run.agent(Agent("thinker", "Think.", run.model))
        async for event in thinker.reply_stream(run.messages):
            yield event
    tools = tools_of(ship)
    writer = Agent("writer", "Write.", run.model, toolkit=run.toolkit(tools), state=run.state)
    async for event in (await run.agent(writer)).reply_stream(run.inputs):
        yield event


def summary(run: Run) -> list[str]:
    """What was emitted, in a word each; deltas are joined."""
    told: list[str] = []
    for event in run.events:
        words = {"text_delta": "delta", "reasoning_delta": "thought", "tool_call_arguments": "arguments"}
        said = getattr(event, "delta", None) if event.kind in words else None
        name = getattr(event, "name", None)
        said = said.replace(" ", "") if isinstance(said, str) else None
        told.append(said if said is not None else f"{event.kind}:{name}" if name else event.kind)
    return told[1:-1] if told[:1] == ["step_started:execution"] else told


# --- its own words ---------------------------------------------------------------


async def by_async_generator(run: AgentRun) -> AsyncGenerator[str, None]:
    yield f"you said {run.text}"


def by_generator(run: AgentRun) -> Iterator[str]:
    assert threading.current_thread() is not threading.main_thread()
    yield "you said "
    yield run.text


async def by_function(run: AgentRun) -> str:
    return f"you said {run.text}"


def by_plain_function(run: AgentRun) -> str:
    assert threading.current_thread() is not threading.main_thread()
    return f"you said {run.text}"


def by_list(run: AgentRun) -> list[Any]:
    return ["you said ", Text(run.text)]


class Callee:
    async def __call__(self, run: AgentRun) -> AsyncGenerator[str, None]:
        yield f"you said {run.text}"


@pytest.mark.parametrize(
    "runner",
    [by_async_generator, by_generator, by_function, by_plain_function, by_list, Callee()],
    ids=["async-generator", "generator", "async-function", "function", "list", "object"],
)
async def test_strings_are_enough_for_a_chat(runner: Any) -> None:
    first = Run(runner=runner)
    await first.run()
    second = Run(runner=runner, memory=after(first), messages=[user("more", "m2")])

    await second.run()

    assert (first.text, second.text) == ("you said hello", "you said more")
    assert first.steps == ["+execution", "-execution"]
    assert second.remembered == [
        ("user", "hello"),
        ("assistant", "you said hello"),
        ("user", "more"),
        ("assistant", "you said more"),
    ]
    assert len(first.of(TextStarted)) == len(first.of(TextEnded)) == 1


CALL = ToolCall("look", {"q": "é"}, id="c1")
_CALLED = 'text_started tool_call_started:look {"q":"é"} tool_call_ended'
SHOWN: list[tuple[str, list[Any], str]] = [
    ("a message ends", ["a", MessageEnd(), "", "b"], "text_started a text_ended text_started b text_ended"),
    (
        "reasoning",
        [Reasoning("hm"), Reasoning("!"), "a", Reasoning("oh")],
        "reasoning_started hm ! reasoning_ended text_started a text_ended reasoning_started oh reasoning_ended",
    ),
    (
        "a call with its result",
        [CALL, ToolProgress("c1", "half"), CALL.result({"n": 1}), "b"],
        f"{_CALLED} tool_progress text_ended tool_result text_started b text_ended",
    ),
    ("a call without a result", [CALL, "b"], f"{_CALLED} text_ended text_started b text_ended tool_result"),
    (
        "steps and events",
        [Step("one"), "a", Step("two"), Custom("shop.cart", {"n": 1})],
        "step_started:one text_started a text_ended step_finished:one step_started:two custom:shop.cart step_finished:two",
    ),
    (
        "state",
        [StateSnapshot({"a": 1}), StatePatch([{"op": "add", "path": "/b", "value": 2}])],
        "state_snapshot state_delta",
    ),
]


@pytest.mark.parametrize(("yields", "shown"), [row[1:] for row in SHOWN], ids=[row[0] for row in SHOWN])
async def test_what_a_runner_yields_is_shown_in_legal_order(yields: list[Any], shown: str) -> None:
    run = Run(runner=says(*yields))

    await run.run()

    assert summary(run) == shown.split()


async def test_calls_of_the_runner_are_in_the_conversation_with_their_results() -> None:
    run = Run(runner=says("a", CALL, CALL.result("found"), "b", ToolCall("look", id="c2")))
    await run.run()

    (_, first, second) = after(run).state.context  # pyright: ignore[reportOptionalMemberAccess]

    assert [block.type for block in first.content] == ["text", "tool_call", "tool_result"]
    assert [block.type for block in second.content] == ["text", "tool_call", "tool_result"]
    assert [each.content for each in run.of(internal.ToolResult)] == [
        "found",
        "The call was interrupted; it has no result.",
    ]


class Leaks(BaseModel):
    """Cannot be written, and says too much about why."""

    @computed_field
    def database(self) -> str:
        raise ValueError("postgres://sk-123@db")


REFUSED: list[tuple[str, list[Any], str]] = [
    ("a number", [7], "it yielded int; yield a string"),
    ("nothing", [None], "it yielded NoneType"),
    ("bytes", [b"a"], "it yielded bytes"),
    ("an agent", [Agent], "it yielded type"),
    ("text that is none", [Text(7)], "Text.text is int"),  # pyright: ignore[reportArgumentType]
    ("a call twice", [CALL, CALL.result("a"), CALL], "of the id 'c1' already"),
    ("a result of nothing", [ToolResult("c9", "x")], "a call that is not open ('c9')"),
    ("two results", [CALL, CALL.result("a"), CALL.result("b")], "a call that is not open ('c1')"),
    ("a result in no state", [CALL, ToolResult("c1", "x", "done")], "ToolResult.state is 'done'"),  # pyright: ignore[reportArgumentType]
    ("arguments that are none", [ToolCall("look", "{}")], "ToolCall.arguments is str"),  # pyright: ignore[reportArgumentType]
    (
        "arguments without JSON",
        [ToolCall("look", {"a": object()})],
        "ToolCall.arguments is dict, and it cannot be written as JSON",
    ),
    (
        "a value that is nested too deeply",
        [Custom("shop", nested(65))],
        "Custom.value is nested more than 64",
    ),
    ("a schema without end", [Interrupt("a", "b", {"default": nested(400)})], "response_schema is dict, and"),
    ("a name of ours", [Custom("agentroute.data")], "does not begin with agentroute."),
    ("a step of ours", [Step("execution")], "Step.name is 'execution'"),
    (
        "a reason of ours",
        [Interrupt("a", "b", reason="tool_approval")],
        "the reason 'tool_approval' is taken",
    ),
    ("a question twice", [Interrupt("a", "b"), Interrupt("a", "b")], "asked the Interrupt 'a' already"),
    ("a schema that is none", [Interrupt("a", "b", {"type": "money"})], "response_schema is no JSON Schema"),
    (
        "a patch that does not fit",
        [StatePatch([{"op": "remove", "path": "/x"}])],
        "StatePatch: The patch does not fit",
    ),
    ("a patch that is none", [StatePatch([{}])], "StatePatch"),
    ("a state that is too large", [StateSnapshot("a" * 200_000)], "StateSnapshot: The state would be larger"),
]


@pytest.mark.parametrize(("yields", "words"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
async def test_what_cannot_be_shown_fails_the_run_and_names_the_mistake(
    yields: list[Any], words: str, logs: list[Any]
) -> None:
    run = Run(runner=says("before", *yields))

    with pytest.raises(AgentFailed) as failed:
        await run.run()

    assert words in failed.value.detail
    assert logs[-1]["event"] == "runner_yield_refused"
    assert logs[-1]["runner"] == "shop:run"
    # What was said is kept, and so is what the user said.
    assert len(run.of(TextStarted)) == len(run.of(TextEnded)) > 0
    assert run.remembered[:2] == [("user", "hello"), ("assistant", "before")]


@pytest.mark.parametrize(
    "yields",
    [[], ["", " \n"], [Reasoning("hm")], [CALL, CALL.result("x")]],
    ids=["nothing", "blank", "thought", "call"],
)
async def test_a_runner_that_says_nothing_ends_without_an_answer(yields: list[Any]) -> None:
    run = Run(runner=says(*yields))

    with pytest.raises(ModelEmpty):
        await run.run()

    assert run.remembered[0] == ("user", "hello")


class Secret(Exception):
    """Of the user's own code."""


async def raises_exit(_run: AgentRun) -> AsyncGenerator[str, None]:
    yield "a"
    raise SystemExit(3)


async def raises_own(_run: AgentRun) -> AsyncGenerator[str, None]:
    yield "a"
    raise Secret("sk-123")


def raises_in_thread(_run: AgentRun) -> Iterator[str]:
    yield "a"
    raise Secret("sk-123")


@pytest.mark.parametrize("runner", [raises_exit, raises_own, raises_in_thread], ids=["exit", "own", "thread"])
async def test_an_exception_of_the_runner_fails_the_run_without_its_words(
    runner: Any, logs: list[Any]
) -> None:
    run = Run(runner=runner)

    with pytest.raises(AgentFailed) as failed:
        await run.run()

    assert "sk-123" not in failed.value.detail
    assert (logs[-1]["event"], logs[-1]["code"]) == ("agent_failed", "shop:run")
    assert run.remembered == [("user", "hello"), ("assistant", "a")]


@pytest.mark.parametrize(
    "yields",
    [
        [Custom("shop", Leaks())],
        [ToolCall("look", {"a": Leaks()})],
        [ToolCall("look", {}, "l1"), ToolResult("l1", Leaks())],
        [StatePatch([{"op": "add", "path": "", "value": Leaks()}])],
        [StateSnapshot(Leaks())],
    ],
    ids=["custom", "call", "result", "patch", "snapshot"],
)
async def test_words_of_the_author_s_values_are_only_in_the_log(yields: list[Any], logs: list[Any]) -> None:
    run = Run(runner=says(*yields))

    with pytest.raises(AgentFailed) as failed:
        await run.run()

    assert "sk-123" not in failed.value.detail
    assert "agent's code has a mistake" in failed.value.detail
    assert "Error" in logs[-1]["cause"]


async def test_a_long_string_and_half_a_character_are_shown_and_kept() -> None:
    run = Run(runner=says("x" * 40_000, "\ud83d"))

    await run.run()

    assert max(len(event.delta) for event in run.of(internal.TextDelta)) <= 16 << 10
    assert run.remembered[1][1].startswith("x" * 40_000)


# --- models and agents -----------------------------------------------------------


async def test_a_model_of_the_run_is_metered_and_its_answer_can_be_yielded() -> None:
    async def run(run: AgentRun) -> AsyncGenerator[Any, None]:
        answer: Any = await run.model(run.conversation)
        async for chunk in answer:
            yield chunk

    made = Run(["one ", "two"], runner=run)
    await made.run()

    assert made.text == "one two"
    (usage,) = made.of(ModelUsage)
    (end,) = made.of(TextEnded)
    assert usage.message_id == end.message_id
    assert end.metadata["model"] == usage.model
    assert [message["role"] for message in made.model.asked[-1]["messages"]] == ["system", "user"]


def piece(text: str, *, last: bool = False, answer: str = "") -> ChatResponse:
    return ChatResponse([TextBlock(text=text)], is_last=last, id=answer or uuid4().hex)


ANSWERS: list[tuple[str, list[Any], str]] = [
    (
        "a stream",
        [piece("Hel", answer="a"), piece("lo", answer="a"), piece("Hello", last=True, answer="a")],
        "Hello",
    ),
    ("a whole answer", [piece("Hello", last=True)], "Hello"),
    ("a stream without an id", [piece("Hel"), piece("Hello", last=True)], "Hello"),
    ("after a broken one", [piece("Hm", answer="a"), piece("Hello", last=True, answer="b")], "HmHello"),
    (
        "interrupted",
        [piece("Hello", answer="a"), MessageEnd(), Custom("c"), piece("Hello", last=True, answer="a")],
        "Hello",
    ),
    ("with a rest", [piece("Hel", answer="a"), Step("s"), piece("Hello", last=True, answer="a")], "Hello"),
    (
        "two at the same time",
        [
            piece("a", answer="a"),
            piece("b", answer="b"),
            piece("a", last=True, answer="a"),
            piece("b", last=True, answer="b"),
        ],
        "ab",
    ),
    ("the same twice", [piece("Hello", last=True), piece("Hello", last=True)], "HelloHello"),
]


@pytest.mark.parametrize(("yields", "text"), [row[1:] for row in ANSWERS], ids=[row[0] for row in ANSWERS])
async def test_of_an_answer_of_a_model_everything_is_said_once(yields: list[Any], text: str) -> None:
    run = Run(runner=says(*yields))

    await run.run()

    assert run.text == text


@pytest.mark.parametrize("hosted", [True, False], ids=["hosted", "by itself"])
async def test_an_agent_whose_events_are_not_shown_has_each_message_once(hosted: bool) -> None:
    async def run(run: AgentRun) -> AsyncGenerator[Any, None]:
        agent = Agent("shop", "Sell.", run.model, state=run.state)
        yield await (await run.agent(agent) if hosted else agent).reply(run.inputs)
        yield "!"

    first = Run(["hi"], runner=run)
    await first.run()
    second = Run(["again"], runner=run, memory=after(first), messages=[user("more", "m2")])
    await second.run()

    if hosted:
        assert [message["role"] for message in first.model.asked[0]["messages"]] == ["system", "user"]
    for saved in (*first.saved, *second.saved):
        assert conversation(saved).count(("user", "hello")) == 1
    assert [words for role, words in second.remembered if role == "user"] == ["hello", "more"]


async def test_models_that_tools_ask_by_themselves_are_in_the_ledger() -> None:
    async def run(run: AgentRun) -> AsyncGenerator[Any, None]:
        theirs = foreign_model(made.model)

        async def research(question: str) -> str:
            """Find."""
            asked = UserMsg("user", question)
            return (await Agent("child", "Research.", theirs).reply(asked)).get_text_content() or ""

        tools = tools_of(research, permission=ALLOW)
        agent = await run.agent(Agent("shop", "Sell.", theirs, toolkit=tools, state=run.state))
        async for event in agent.reply_stream(run.inputs):
            yield event
        yield await research("by the runner itself")

    made = Run([Asks("research", '{"question": "q"}')], ["found"], ["done"], ["more"], runner=run)
    await made.run()

    assert len(made.model.asked) == len(made.of(ModelUsage)) == 4


@pytest.mark.parametrize("by_agent", [False, True], ids=["model", "agent"])
async def test_passages_for_the_message_are_in_what_a_model_is_given(by_agent: bool) -> None:
    async def search(query: str, run: AgentRun) -> list[Passage]:
        return [Passage(text=f"about {query}")]

    async def run(run: AgentRun) -> AsyncGenerator[Any, None]:
        if by_agent:
            agent = await run.agent(Agent("shop", "Sell.", run.model))
            async for event in agent.reply_stream(run.conversation[1:]):
                yield event
            return
        answer: Any = await run.model(run.conversation)
        async for chunk in answer:
            yield chunk

    made = Run(["hi"], runner=run, search=search, knowledge={"when": "always"})
    await made.run()

    (request,) = made.model.asked
    assert str(request["messages"]).count("about hello") == 1
    assert made.remembered == [("user", "hello"), ("assistant", "hi")]


async def test_two_agents_in_sequence_speak_in_messages_of_their_own_and_are_remembered() -> None:
    run = Run(["a plan"], ["an answer"], runner=two_agents)

    await run.run()

    ids = [event.message_id for event in run.of(TextStarted)]
    assert len(set(ids)) == 2
    assert [usage.message_id for usage in run.of(ModelUsage)] == ids
    # The message of the user is there once, though it is in the state and was given to the agent.
    assert run.remembered == [("user", "hello"), ("assistant", "a plan"), ("assistant", "an answer")]
    # The tools of the profile are only the writer's: it was given them.
    assert run.model.offered == [[], ["ship", "pay"]]


async def test_two_agents_at_the_same_time_do_not_mix_their_words() -> None:
    async def run(run: AgentRun) -> AsyncGenerator[Any, None]:
        queue: asyncio.Queue[Any] = asyncio.Queue()

        async def ask(name: str) -> None:
            agent = await run.agent(Agent(name, name, run.model))
            async for event in agent.reply_stream(run.messages):
                queue.put_nowait(event)
                await asyncio.sleep(0)
            queue.put_nowait(None)

        tasks = [asyncio.create_task(ask("a")), asyncio.create_task(ask("b"))]
        left = len(tasks)
        while left:
            event = await queue.get()
            if event is None:
                left -= 1
            else:
                yield event
                yield "."

    made = Run(["one ", "two"], ["one ", "two"], runner=run)
    await made.run()

    assert made.model.offered == [[], []]
    words: dict[str, str] = {}
    for delta in made.of(internal.TextDelta):
        words[delta.message_id] = words.get(delta.message_id, "") + delta.delta
    assert sorted(text for text in words.values() if text.strip(".")) == ["one two", "one two"]
    assert len(made.of(ModelUsage)) == 2


async def test_a_tool_that_asks_ends_the_run_and_the_agent_that_waited_goes_on() -> None:
    told: list[Any] = []

    async def run(run: AgentRun) -> AsyncGenerator[Any, None]:
        told.append((run.waiting_agent, len(run.messages), type(run.inputs).__name__))
        async for event in two_agents(run):
            yield event
        told.append(run.waits)

    parked = Run(["a plan"], [SHIP], runner=run)
    end = await parked.run()
    assert end.outcome == "interrupt"
    (question,) = parked.of(InterruptRequested)
    assert (question.tool_call_id, question.tool_name) == ("s1", "ship")
    yes = GatedCall("s1", "ship", '{"order": "7"}', approved=True, edited=None)
    resumed = Run(["sent"], runner=run, messages=[], resume=YES, memory=after(parked, gated_calls=(yes,)))

    end = await resumed.run()

    assert end.outcome == "success"
    assert [each.content for each in resumed.of(internal.ToolResult)] == ["shipped 7"]
    assert resumed.text == "sent"
    assert resumed.log == ["durable"]
    assert told == [(None, 1, "list"), True, ("writer", 0, "UserConfirmResultEvent"), False]


async def test_a_new_message_beside_a_decision_is_answered_after_it() -> None:
    parked = Run(["a plan"], [SHIP], runner=two_agents)
    await parked.run()
    yes = GatedCall("s1", "ship", '{"order": "7"}', approved=True, edited=None)
    memory = after(parked, gated_calls=(yes,))
    both = Run(
        ["sent"],
        ["a plan"],
        ["fine"],
        runner=two_agents,
        messages=[user("and?", "m2")],
        resume=YES,
        memory=memory,
    )

    await both.run()

    assert both.remembered[-4:] == [
        ("assistant", "sent"),
        ("user", "and?"),
        ("assistant", "a plan"),
        ("assistant", "fine"),
    ]


async def test_an_agent_with_a_state_of_its_own_cannot_ask_and_the_run_says_what_to_do() -> None:
    async def run(run: AgentRun) -> AsyncGenerator[Any, None]:
        tools = tools_of(ship)
        agent = await run.agent(Agent("a", "b", run.model, toolkit=tools))
        async for event in agent.reply_stream(run.messages):
            yield event

    with pytest.raises(AgentFailed, match=r"give it state=run\.state"):
        await Run([SHIP], runner=run).run()


@pytest.mark.parametrize("how", ["hosted", "by hand", "hidden"])
async def test_no_tool_acts_before_its_call_was_emitted_however_the_agent_was_made(how: str) -> None:
    seen: list[bool] = []

    def look() -> str:
        """Look."""
        seen.append(bool(made.of(ToolCallEnded)))
        return "seen"

    async def run(run: AgentRun) -> AsyncGenerator[Any, None]:
        tools = tools_of(look, permission=ALLOW)
        agent = Agent("a", "b", run.model, toolkit=tools)
        if how != "by hand":
            agent = await run.agent(agent)
        if how == "hidden":
            yield await agent.reply(run.messages)
            return
        async for event in agent.reply_stream(run.messages):
            yield event

    made = Run([Asks("look", "{}", id="l1")], ["done"], runner=run)
    await made.run()

    assert seen == [True]
    assert [each.content for each in made.of(internal.ToolResult)] == ["seen"]
    assert made.text == "done"


@pytest.mark.parametrize("uses_state", [False, True], ids=["own-state", "run-state"])
async def test_an_agent_that_is_kept_has_nothing_of_another_run(uses_state: bool) -> None:
    kept: list[Agent] = []

    async def run(run: AgentRun) -> AsyncGenerator[Any, None]:
        if not kept:
            kept.append(Agent("a", "b", run.model, state=run.state if uses_state else None))
        agent = await run.agent(kept[0])
        async for event in agent.reply_stream(run.messages):
            yield event

    await Run(["one"], runner=run, messages=[user("my secret")]).run()
    second = Run(["two"], runner=run, messages=[user("hi", "m2")], caller="another")
    await second.run()

    assert "my secret" not in str(second.model.asked)
    assert second.remembered == [("user", "hi"), ("assistant", "two")]


async def test_a_runner_searches_as_the_profile_says() -> None:
    async def search(query: str, run: AgentRun) -> list[Passage]:
        return [Passage(text=f"{query} for {run.user}")]

    async def run(run: AgentRun) -> AsyncGenerator[Any, None]:
        yield (await run.retrieve("refunds"))[0].text
        yield (await run.call_tool("search_knowledge", {"query": "returns"})).content

    made = Run(runner=run, search=search)
    await made.run()

    assert "refunds for user" in made.text
    assert "returns for user" in made.text


# --- tools that the runner calls -------------------------------------------------


async def pays(run: AgentRun) -> AsyncGenerator[Any, None]:
    result = await run.call_tool("pay", {"euros": 5})
    yield f"{result.state}: {result.content}"


async def test_a_tool_of_the_profile_is_called_behind_the_gate() -> None:
    run = Run(runner=pays)

    await run.run()

    assert run.text == "success: paid 5"
    assert [event.kind for event in run.events if event.kind.startswith("tool")] == [
        "tool_call_started",
        "tool_call_arguments",
        "tool_call_ended",
        "tool_result",
    ]
    assert run.payers == ["user"]
    assert run.of(internal.ToolResult)[0].duration_ms is not None


@pytest.mark.parametrize("approved", [True, False])
async def test_a_tool_that_asks_is_called_once_when_it_is_approved(approved: bool) -> None:
    parked = Run(runner=pays, permission="ask")
    end = await parked.run()
    (question,) = parked.of(InterruptRequested)
    assert (end.outcome, question.reason, question.tool_name) == ("interrupt", "tool_approval", "pay")
    assert parked.log == []
    call = GatedCall(
        str(question.tool_call_id), "pay", str(question.arguments), approved=approved, edited=None
    )
    memory = after(parked, gated_calls=(call,))

    resumed = Run(runner=pays, permission="ask", messages=[], resume=YES, memory=memory)
    end = await resumed.run()

    assert end.outcome == "success"
    assert [each.tool_call_id for each in resumed.of(internal.ToolResult)] == [question.tool_call_id]
    assert resumed.of(ToolCallEnded) == []
    assert resumed.log == (["durable", f"paid 5 for r-1:{question.tool_call_id}"] if approved else [])
    assert resumed.text == ("success: paid 5" if approved else "denied: The user has not approved the call.")


@pytest.mark.parametrize("logs_in", [True, False])
async def test_a_call_with_the_users_own_identity_waits_for_the_login(logs_in: bool) -> None:
    logged_in = False

    async def connected(_principal: Any) -> None:
        if not logged_in:
            raise ConnectionRequired("bank", "user-token")

    async def handle(_arguments: Any, _context: Any) -> str:
        return "12 euros"

    balance = Tool(
        name="bank__balance",
        description="d",
        parameters=NoArguments,
        handler=handle,
        permission="allow",
        connected=connected,
    )

    async def run(run: AgentRun) -> AsyncGenerator[Any, None]:
        result = await run.call_tool("bank__balance")
        yield f"{result.state}: {result.content}"

    parked = Run(runner=run, more_tools=[balance])
    await parked.run()
    (question,) = parked.of(InterruptRequested)
    assert question.reason == "connection_required"
    call = GatedCall(
        str(question.tool_call_id), "bank__balance", "{}", approved=logs_in, edited=None, about_login=True
    )
    logged_in = logs_in
    resumed = Run(
        runner=run, more_tools=[balance], messages=[], resume=YES, memory=after(parked, gated_calls=(call,))
    )
    await resumed.run()

    assert [each.tool_call_id for each in resumed.of(internal.ToolResult)] == [question.tool_call_id]
    assert resumed.text == (
        "success: 12 euros" if logs_in else "denied: The user did not connect to bank. The call was not made."
    )


async def test_an_approved_call_that_is_not_made_again_has_a_result_that_says_so() -> None:
    parked = Run(runner=pays, permission="ask")
    await parked.run()
    (question,) = parked.of(InterruptRequested)
    call = GatedCall(str(question.tool_call_id), "pay", str(question.arguments), approved=True, edited=None)
    resumed = Run(
        runner=says("no more"),
        permission="ask",
        messages=[],
        resume=YES,
        memory=after(parked, gated_calls=(call,)),
    )

    await resumed.run()

    assert resumed.payers == []
    assert [each.state for each in resumed.of(internal.ToolResult)] == ["interrupted"]


@pytest.mark.parametrize(
    ("name", "words"),
    [("fly", "there is no tool 'fly'; the tools are: pay"), ("pick", "is the client's: yield a ToolCall")],
)
async def test_a_tool_that_is_not_there_is_an_error_for_the_runner(name: str, words: str) -> None:
    async def run(run: AgentRun) -> AsyncGenerator[Any, None]:
        try:
            await run.call_tool(name)
        except ValueError as exc:
            yield str(exc)

    made = Run(runner=run, tools=[PICK])
    await made.run()

    assert words in made.text


async def test_a_client_tool_is_handed_to_the_client_and_its_result_comes_with_the_next_run() -> None:
    async def run(run: AgentRun) -> AsyncGenerator[Any, None]:
        if run.results:
            yield f"picked {run.results['p1'].content}"
        else:
            yield "pick one"
            yield ToolCall("pick", id="p1")

    first = Run(runner=run, tools=[PICK])
    end = await first.run()
    assert end.pending_tool_call_ids == ("p1",)
    assert first.of(internal.ToolResult) == []
    told = {"id": "t1", "role": "tool", "toolCallId": "p1", "content": "red"}
    second = Run(runner=run, tools=[PICK], messages=[told], memory=after(first))

    await second.run()

    assert second.text == "picked red"
    assert second.of(internal.ToolResult) == []
    (_, message, answer) = after(second).state.context  # pyright: ignore[reportOptionalMemberAccess]
    assert [block.type for block in message.content] == ["text", "tool_call", "tool_result"]
    assert answer.get_text_content() == "picked red"


# --- questions -------------------------------------------------------------------


async def test_a_question_ends_the_run_and_its_answer_is_given_to_the_next_call() -> None:
    schema = {"type": "object", "properties": {"size": {"type": "integer"}}, "required": ["size"]}

    async def run(run: AgentRun) -> AsyncGenerator[Any, None]:
        if "size" in run.answers:
            answer = run.answers["size"]
            yield f"{answer.status} {answer.value} {answer.approved} {run.state.middle_context['shop']}"
            return
        run.state.middle_context["shop"] = "boots"
        yield "Let me ask."
        yield Interrupt("size", "Which size?", schema)

    parked = Run(runner=run)
    end = await parked.run()
    (question,) = parked.of(InterruptRequested)
    assert (end.outcome, question.response_schema, question.tool_call_id) == ("interrupt", schema, None)
    memory = after(parked)
    answered = (Answered(question.interrupt_id, "resolved", {"size": 42}),)
    resumed = Run(
        runner=run, messages=[], resume=YES, memory=ThreadMemory(memory.state, (), (), answered=answered)
    )

    await resumed.run()

    assert resumed.text == "resolved {'size': 42} False boots"
    assert "agentroute_questions" not in after(resumed).state.middle_context  # pyright: ignore[reportOptionalMemberAccess]


async def test_a_run_that_may_go_on_after_its_budget_calls_the_runner_again() -> None:
    async def run(run: AgentRun) -> AsyncGenerator[Any, None]:
        yield f"{run.text} {len(run.messages)}"

    first = Run(runner=says("x"))
    await first.run()
    made = Run(runner=run, messages=[], resume=YES, memory=after(first))
    await made.run()

    assert made.text == "hello 0"


# --- the end ---------------------------------------------------------------------


async def test_a_stop_closes_the_runner_and_keeps_what_was_said() -> None:
    closed: list[str] = []

    async def run(_run: AgentRun) -> AsyncGenerator[Any, None]:
        try:
            yield "half"
            yield CALL
            await asyncio.Event().wait()
        finally:
            closed.append("closed")

    made = Run(runner=run)

    async def stop(event: Any) -> None:
        if event.kind == "tool_call_ended":
            made.stop.set("user")

    made.before = stop
    with pytest.raises(RunStopped):
        await made.run()

    assert closed == ["closed"]
    assert [each.state for each in made.of(internal.ToolResult)] == ["interrupted"]
    assert made.of(TextEnded)[-1].metadata == {"incomplete": True}
    assert made.remembered == [("user", "hello"), ("assistant", "half")]


async def test_a_runner_that_ignores_its_cancellation_is_left_behind_and_named(
    monkeypatch: pytest.MonkeyPatch, logs: list[Any]
) -> None:
    monkeypatch.setattr(stop_signal, "CANCEL_AGAIN_SECONDS", 0.001)
    monkeypatch.setattr(stop_signal, "ABANDON_SECONDS", 0.005)
    over = asyncio.Event()

    async def run(_run: AgentRun) -> AsyncGenerator[Any, None]:
        yield "half"
        made.stop.set("user")
        while not over.is_set():
            try:
                await over.wait()
            except asyncio.CancelledError:
                continue
        yield "too late"

    made = Run(runner=run)
    with pytest.raises(RunStopped):
        await made.run()
    over.set()
    await asyncio.sleep(0)

    assert ("runner_ignored_cancel", "shop:run") in [(line["event"], line.get("runner")) for line in logs]
    assert made.text == "half"
    assert made.remembered == [("user", "hello"), ("assistant", "half")]


async def test_a_runner_that_swallows_its_cancellation_is_stopped_at_its_next_yield() -> None:
    async def run(_run: AgentRun) -> AsyncGenerator[Any, None]:
        made.stop.set("user")
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
            yield "x"

    made = Run(runner=run)
    with pytest.raises(RunStopped):
        await made.run()

    assert made.text == ""


async def test_an_agent_in_a_runner_is_cancelled_with_it() -> None:
    made = Run([HANG], runner=two_agents)

    def stop_when_asked() -> None:
        if made.model.asked:
            made.stop.set("user")
        else:
            asyncio.get_running_loop().call_later(0.001, stop_when_asked)

    stop_when_asked()
    with pytest.raises(RunStopped):
        await made.run()

    assert [usage.outcome for usage in made.of(ModelUsage)] == ["cancelled"]
    assert made.remembered[0] == ("user", "hello")


async def test_a_runner_pays_from_the_budget_of_its_run() -> None:
    async def run(run: AgentRun) -> AsyncGenerator[Any, None]:
        for _ in range(100):
            answer: Any = await run.model(run.conversation)
            async for chunk in answer:
                yield chunk

    script: list[Any] = [["one"]] * 100
    made = Run(*script, runner=run, budget=Limits(max_tokens=400))

    with pytest.raises(BudgetExhausted):
        await made.run()

    assert "one" in made.text


async def test_checkpoints_in_the_middle_have_everything_that_was_said_before() -> None:
    run = Run(runner=says("a", CALL, CALL.result("found"), "b"))
    await run.run()

    assert conversation(run.saved[-1]) == [("user", "hello"), ("assistant", "a")]


async def test_a_factory_has_no_use_for_what_is_for_runners() -> None:
    async def create(run: AgentRun) -> Agent:
        with pytest.raises(TypeError, match="for runners"):
            await run.call_tool("pay")
        agent = Agent("shop", "Sell.", run.model, state=run.state)
        with pytest.raises(TypeError, match="for runners"):
            await run.agent(agent)
        return agent

    run = Run(["hello"], factory=create)
    await run.run()

    assert run.text == "hello"


async def test_what_a_checkpoint_cannot_hold_fails_the_run_and_the_rest_is_kept(logs: list[Any]) -> None:
    async def run(run: AgentRun) -> AsyncGenerator[str, None]:
        run.state.middle_context |= {"good": [1], "bad": object()}
        yield "a"

    made = Run(runner=run)
    with pytest.raises(AgentFailed, match="middle_context cannot be written as JSON"):
        await made.run()

    assert logs[-1]["names"] == ["bad"]
    assert after(made).state.middle_context == {"good": [1]}  # pyright: ignore[reportOptionalMemberAccess]
