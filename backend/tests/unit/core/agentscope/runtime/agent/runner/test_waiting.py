"""A runner that waits for the user is called again: nothing acts twice, nothing is lost, and nothing goes on behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast

import pytest
from agentscope.agent import Agent
from agentscope.permission import PermissionBehavior, PermissionDecision
from agentscope.tool import FunctionTool, ToolBase, Toolkit
from structlog.testing import capture_logs
from tests.support.model_in_memory import Asks
from tests.support.stage_run import PICK, YES, Run, after, user

from agentroute.agents import AgentRun, Interrupt, ToolCall
from core.agentscope.runtime import stop_signal
from core.agentscope.runtime.agent.thread_memory import Answered, GatedCall, ThreadMemory
from core.agentscope.runtime.profile.profile import Limits
from core.agentscope.runtime.stop_signal import RunStopped
from core.agentscope.schemas import internal_events as internal
from core.agentscope.schemas.internal_events import InterruptRequested
from core.agentscope.tools.foreign_tools import of_agentscope
from core.agentscope.tools.function_tool import tool
from core.errors import AgentFailed

ALLOW = PermissionDecision(PermissionBehavior.ALLOW, "ours")
Runner = Callable[[AgentRun], Any]


def decisions(run: Run, *, approved: bool = True, edited: Any = None) -> tuple[GatedCall, ...]:
    return tuple(
        GatedCall(each.tool_call_id, each.tool_name, each.arguments, approved=approved, edited=edited)
        for each in run.of(InterruptRequested)
        if each.tool_name
    )


def tools_of(function: Any, **more: Any) -> Toolkit:
    return Toolkit(tools=[FunctionTool(function, **more)])


class Desk:
    """Tools, and runs that follow each other until nothing is asked any more."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.acted: list[str] = []
        self.asked: list[list[str]] = []

        @tool(permission="allow", description="d")
        async def note(x: int) -> str:
            self.acted.append(f"note {x}")
            return f"noted {x}"

        @tool(permission="allow", description="d")
        async def slow(x: int) -> str:
            await asyncio.sleep(0.02)
            self.acted.append(f"slow {x}")
            return f"slow {x}"

        self.tools = [note, slow]

    async def run(self, *, approves: Callable[[str], bool] = lambda _: True) -> Run:
        """Answer what is asked until a run asks nothing."""
        run = Run(runner=self.runner, permission="ask", more_tools=self.tools)
        for _ in range(6):
            await run.run()
            self.acted += [line.split(" for ")[0] for line in run.log if line.startswith("paid")]
            questions = run.of(InterruptRequested)
            if not questions:
                return run
            self.asked.append([each.arguments for each in questions])
            told = tuple(
                each
                for question in decisions(run)
                for each in decisions(run, approved=approves(question.arguments))
                if each.tool_call_id == question.tool_call_id
            )
            memory = after(run, gated_calls=told)
            run = Run(
                runner=self.runner,
                permission="ask",
                more_tools=self.tools,
                messages=[],
                resume=YES,
                memory=memory,
            )
        raise AssertionError("it asks without end")


async def two_approvals(run: AgentRun) -> AsyncGenerator[Any, None]:
    first = await run.call_tool("pay", {"euros": 5})
    second = await run.call_tool("pay", {"euros": 6})
    yield f"{first.content}, {second.content}"


async def the_same_twice(run: AgentRun) -> AsyncGenerator[Any, None]:
    for _ in range(2):
        yield (await run.call_tool("pay", {"euros": 5})).content


async def allowed_before(run: AgentRun) -> AsyncGenerator[Any, None]:
    yield (await run.call_tool("note", {"x": 1})).content
    yield (await run.call_tool("pay", {"euros": 5})).content


async def beside_each_other(run: AgentRun) -> AsyncGenerator[Any, None]:
    results = await asyncio.gather(run.call_tool("pay", {"euros": 5}), run.call_tool("slow", {"x": 1}))
    yield ", ".join(each.content for each in results)


async def in_a_group(run: AgentRun) -> AsyncGenerator[Any, None]:
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(run.call_tool("pay", {"euros": 5})),
            group.create_task(run.call_tool("slow", {"x": 1})),
        ]
    yield ", ".join(task.result().content for task in tasks)


async def in_order_of_the_day(run: AgentRun) -> AsyncGenerator[Any, None]:
    """Asks for two at once, and comes to the second one only after a third one."""
    seen = run.state.middle_context
    seen["runs"] = seen.get("runs", 0) + 1
    if seen["runs"] == 1:
        await asyncio.gather(run.call_tool("pay", {"euros": 5}), run.call_tool("pay", {"euros": 6}))
    results = [await run.call_tool("pay", {"euros": each}) for each in (5, 7, 6)]
    yield ", ".join(each.content for each in results)


async def swallows(run: AgentRun) -> AsyncGenerator[Any, None]:
    results = await asyncio.gather(run.call_tool("pay", {"euros": 5}), return_exceptions=True)
    yield cast("Any", results[0]).content


ROWS: list[tuple[str, Runner, list[str], str, int]] = [
    ("two-approvals", two_approvals, ["paid 5", "paid 6"], "paid 5, paid 6", 2),
    ("the-same-twice", the_same_twice, ["paid 5", "paid 5"], "paid 5paid 5", 2),
    ("allowed-before", allowed_before, ["note 1", "paid 5"], "noted 1paid 5", 1),
    ("gathered", beside_each_other, ["slow 1", "paid 5"], "paid 5, slow 1", 1),
    ("in-a-group", in_a_group, ["slow 1", "paid 5"], "paid 5, slow 1", 1),
    ("decision-kept", in_order_of_the_day, ["paid 5", "paid 7", "paid 6"], "paid 5, paid 7, paid 6", 2),
    ("swallowed", swallows, ["paid 5"], "paid 5", 1),
]


@pytest.mark.parametrize(
    ("runner", "acted", "text", "rounds"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
async def test_each_call_acts_once_however_often_the_runner_is_called(
    runner: Runner, acted: list[str], text: str, rounds: int
) -> None:
    desk = Desk(runner)

    last = await desk.run()

    assert desk.acted == acted
    assert last.text.endswith(text)
    assert len(desk.asked) == rounds
    assert not [name for name in after(last).state.middle_context if name.startswith("agentroute_")]  # pyright: ignore[reportOptionalMemberAccess]


async def test_a_no_is_a_result_that_is_kept_too() -> None:
    desk = Desk(two_approvals)

    last = await desk.run(approves=lambda arguments: "6" in arguments)

    assert desk.acted == ["paid 6"]
    assert last.text == "The user has not approved the call., paid 6"


async def test_a_new_message_begins_anew_and_its_calls_act() -> None:
    first = Run(runner=allowed_before, permission="ask", more_tools=(desk := Desk(allowed_before)).tools)
    await first.run()
    second = Run(
        runner=allowed_before,
        permission="ask",
        more_tools=desk.tools,
        messages=[user("again", "m2")],
        memory=after(first),
    )
    await second.run()

    assert desk.acted == ["note 1", "note 1"]


def asks(run: AgentRun) -> list[Any]:
    return [] if run.answers else [Interrupt("q", "Sure?")]


def hands_out(run: AgentRun) -> list[Any]:
    return [] if run.results else [ToolCall("pick", {}, id="p1")]


@pytest.mark.parametrize("rest", [asks, hands_out])
async def test_calls_before_a_question_of_its_own_are_made_again_and_asked_again(
    rest: Callable[[AgentRun], list[Any]],
) -> None:
    """A runner may ask the same question again and again, and act after each answer."""

    async def run(run: AgentRun) -> AsyncGenerator[Any, None]:
        yield (await run.call_tool("pay", {"euros": 5})).content
        for each in rest(run):
            yield each

    first = Run(runner=run, permission="ask", tools=[PICK])
    await first.run()
    memory = after(first, gated_calls=decisions(first))
    second = Run(runner=run, permission="ask", tools=[PICK], messages=[], resume=YES, memory=memory)
    await second.run()
    told = tuple(Answered(each.interrupt_id, "resolved", {}) for each in second.of(InterruptRequested))
    third = Run(
        runner=run,
        permission="ask",
        tools=[PICK],
        messages=[] if told else [{"id": "t1", "role": "tool", "toolCallId": "p1", "content": "red"}],
        resume=YES if told else [],
        memory=replace(after(second), answered=told),
    )
    await third.run()

    assert [line.split(" for ")[0] for line in second.log if "paid" in line] == ["paid 5"]
    assert [each.tool_name for each in third.of(InterruptRequested)] == ["pay"]


async def test_what_is_said_before_an_agent_that_waits_is_not_in_its_way() -> None:
    shipped: list[str] = []

    def ship(order: str) -> str:
        """Ship an order."""
        shipped.append(order)
        return f"shipped {order}"

    async def run(run: AgentRun) -> AsyncGenerator[Any, None]:
        yield "I "
        yield "look."
        call = ToolCall("look", {})
        yield call
        yield call.result("found")
        thinker = await run.agent(Agent("thinker", "Think.", run.model))
        async for event in thinker.reply_stream(list(run.messages)):
            yield event
        agent = Agent("writer", "Write.", run.model, toolkit=tools_of(ship), state=run.state)
        async for event in (await run.agent(agent)).reply_stream(run.inputs):
            yield event

    first = Run(["plan"], [Asks("ship", '{"order": "7"}', id="s1")], runner=run)
    await first.run()
    memory = after(first, gated_calls=decisions(first))
    second = Run(["again"], ["done"], runner=run, messages=[], resume=YES, memory=memory)
    await second.run()

    assert shipped == ["7"]
    assert [words for _, words in second.remembered] == [
        "hello",
        "I look.",
        "plan",
        "I look.",
        "again",
        "done",
    ]


@pytest.mark.parametrize("of_client", [True, False])
async def test_calls_before_an_agent_that_waits_act_once(of_client: bool) -> None:
    shipped: list[str] = []

    def ship(order: str) -> str:
        """Ship an order."""
        shipped.append(order)
        return f"shipped {order}"

    async def run(run: AgentRun) -> AsyncGenerator[Any, None]:
        yield (await run.call_tool("pay", {"euros": 5})).content
        tools = run.toolkit(tools_of(ship))
        agent = await run.agent(Agent("a", "A.", run.model, toolkit=tools, state=run.state))
        async for event in agent.reply_stream(run.inputs):
            yield event

    asked = Asks("pick", "{}", id="s1") if of_client else Asks("ship", '{"order": "7"}', id="s1")
    first = Run(runner=run, permission="ask", tools=[PICK])
    await first.run()
    memory = after(first, gated_calls=decisions(first))
    second = Run([asked], runner=run, permission="ask", tools=[PICK], messages=[], resume=YES, memory=memory)
    await second.run()
    third = Run(
        ["done"],
        runner=run,
        permission="ask",
        tools=[PICK],
        messages=[{"id": "t1", "role": "tool", "toolCallId": "s1", "content": "red"}] if of_client else [],
        resume=[] if of_client else YES,
        memory=after(second, gated_calls=decisions(second)),
    )
    await third.run()

    paid = [line for line in (*second.log, *third.log) if line.startswith("paid")]
    assert (len(paid), shipped) == (1, [] if of_client else ["7"])
    assert third.text == "paid 5done"
    assert not [name for name in after(third).state.middle_context if name.startswith("agentroute_")]  # pyright: ignore[reportOptionalMemberAccess]


async def test_what_was_called_before_the_budget_was_spent_is_not_called_again() -> None:
    desk = Desk(two_approvals)

    async def run(run: AgentRun) -> AsyncGenerator[Any, None]:
        for _ in range(2):
            async for chunk in cast("Any", await run.model(run.conversation)):
                yield chunk
            yield (await run.call_tool("note", {"x": 1})).content

    limits: dict[str, Any] = {"limits": {"when_exhausted": "ask"}}
    first = Run(["a"], ["b"], runner=run, more_tools=desk.tools, budget=Limits(max_tokens=280), **limits)
    assert (await first.run()).outcome == "interrupt"
    script: list[Any] = [["c"], ["d"]]
    second = Run(
        *script, runner=run, more_tools=desk.tools, messages=[], resume=YES, memory=after(first), **limits
    )
    await second.run()

    assert desk.acted == ["note 1", "note 1"]
    assert second.text == "cnoted 1dnoted 1"


@pytest.mark.parametrize("of_agent", [True, False])
async def test_a_decision_that_the_budget_was_too_small_for_waits_for_more(of_agent: bool) -> None:
    shipped: list[str] = []

    def ship(order: str) -> str:
        """Ship an order."""
        shipped.append(order)
        return f"shipped {order}"

    async def run(run: AgentRun) -> AsyncGenerator[Any, None]:
        for _ in range(2):
            async for chunk in cast("Any", await run.model(run.conversation)):
                yield chunk
        if not of_agent:
            yield (await run.call_tool("pay", {"euros": 5})).content
            return
        agent = Agent("a", "A.", run.model, toolkit=tools_of(ship), state=run.state)
        async for event in (await run.agent(agent)).reply_stream(run.inputs):
            yield event

    limits: dict[str, Any] = {"limits": {"when_exhausted": "ask"}, "permission": "ask"}
    script: list[Any] = [["a"], ["b"]]
    first = Run(*script, [Asks("ship", '{"order": "7"}', id="s1")], runner=run, **limits)
    await first.run()
    memory = after(first, gated_calls=decisions(first))
    second = Run(
        *script,
        runner=run,
        messages=[],
        resume=YES,
        memory=memory,
        budget=Limits(max_tokens=283),
        **limits,
    )
    await second.run()
    third = Run(*script, ["done"], runner=run, messages=[], resume=YES, memory=after(second), **limits)
    end = await third.run()

    assert [each.reason for each in second.of(InterruptRequested)] == ["budget_exhausted"]
    assert (end.outcome, second.of(internal.ToolResult)) == ("success", [])
    assert [each.content for each in third.of(internal.ToolResult)] == ["shipped 7" if of_agent else "paid 5"]


# --- a tool's own no -------------------------------------------------------------


class Danger(ToolBase):
    """Denies what is dangerous."""

    name = "danger"
    description = "d"
    is_concurrency_safe = True
    is_read_only = False

    def __init__(self) -> None:
        super().__init__()
        self.input_schema = {"type": "object", "properties": {"x": {"type": "string"}}}
        self.did: list[str] = []

    async def check_permissions(self, tool_input: dict[str, Any], context: Any) -> PermissionDecision:
        if tool_input["x"] == "bad":
            return PermissionDecision(PermissionBehavior.DENY, "never")
        return PermissionDecision(PermissionBehavior.ASK, "perhaps")

    async def call(self, x: str) -> Any:
        self.did.append(x)


@pytest.mark.parametrize("edited", [False, True], ids=["at-once", "edited"])
async def test_what_a_tool_denies_is_not_asked_and_not_done(edited: bool) -> None:
    danger = Danger()

    async def run(run: AgentRun) -> AsyncGenerator[Any, None]:
        result = await run.call_tool("danger", {"x": "fine" if edited else "bad"})
        yield f"{result.state}: {result.content}"

    made = Run(runner=run, more_tools=[of_agentscope(danger)])
    await made.run()
    if edited:
        memory = after(made, gated_calls=decisions(made, edited={"x": "bad"}))
        made = Run(runner=run, more_tools=[of_agentscope(danger)], messages=[], resume=YES, memory=memory)
        await made.run()

    assert made.text == "denied: never"
    assert made.of(InterruptRequested) == []
    assert [each.state for each in made.of(internal.ToolResult)] == ["denied"]
    assert danger.did == []


# --- beside the runner -----------------------------------------------------------


@pytest.mark.parametrize("fails", [False, True], ids=["ends", "fails"])
async def test_nothing_that_a_runner_has_started_goes_on_behind_its_end(fails: bool) -> None:
    did: list[str] = []
    began = asyncio.Event()
    tasks: list[asyncio.Task[Any]] = []

    @tool(permission="allow", description="d")
    async def hang() -> str:
        began.set()
        await asyncio.sleep(0.05)
        did.append("tool")
        return "x"

    async def work() -> str:
        """Works."""
        await hang_too.wait()
        await asyncio.sleep(0.05)
        did.append("agent's tool")
        return "x"

    hang_too = asyncio.Event()

    async def run(run: AgentRun) -> AsyncGenerator[Any, None]:
        toolkit = tools_of(work, permission=ALLOW)
        agent = await run.agent(Agent("a", "b", run.model, toolkit=toolkit))
        tasks.append(asyncio.create_task(agent.reply(list(run.messages))))
        tasks.append(asyncio.create_task(run.call_tool("hang", {})))
        await began.wait()
        hang_too.set()
        yield "bye"
        if fails:
            raise ValueError("x")

    made = Run([Asks("work", "{}", id="w1")], ["done"], runner=run, more_tools=[hang])
    if fails:
        with pytest.raises(AgentFailed):
            await made.run()
    else:
        await made.run()
    told = len(made.events)
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0.1)

    assert did == []
    assert len(made.model.asked) <= 1
    assert len(made.events) == told


async def test_a_call_or_an_agent_that_begins_behind_the_end_does_nothing() -> None:
    over = asyncio.Event()
    late: list[asyncio.Task[Any]] = []
    desk = Desk(two_approvals)

    async def run(run: AgentRun) -> AsyncGenerator[Any, None]:
        agent = await run.agent(Agent("a", "b", run.model))

        async def later(work: Callable[[], Any]) -> None:
            await over.wait()
            await work()

        late.append(asyncio.create_task(later(lambda: run.call_tool("note", {"x": 1}))))
        late.append(asyncio.create_task(later(lambda: agent.reply(list(run.messages)))))
        yield "bye"

    made = Run(["x"], runner=run, more_tools=desk.tools)
    await made.run()
    over.set()
    ends = await asyncio.gather(*late, return_exceptions=True)

    assert [isinstance(each, asyncio.CancelledError) for each in ends] == [True, True]
    assert (desk.acted, made.model.asked) == ([], [])


async def test_a_stop_ends_the_calls_that_a_waiting_run_lets_act() -> None:
    did: list[int] = []

    @tool(permission="allow", description="d")
    async def endless() -> str:
        made.stop.set("user")
        await asyncio.Event().wait()
        did.append(1)
        return "x"

    async def run(run: AgentRun) -> AsyncGenerator[Any, None]:
        await asyncio.gather(run.call_tool("pay", {"euros": 5}), run.call_tool("endless", {}))
        yield "x"

    made = Run(runner=run, permission="ask", more_tools=[endless])
    with pytest.raises(RunStopped):
        await made.run()

    assert did == []


async def test_a_runner_that_does_not_end_behind_a_refused_yield_is_left_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stop_signal, "CANCEL_AGAIN_SECONDS", 0.001)
    monkeypatch.setattr(stop_signal, "ABANDON_SECONDS", 0.005)
    over = asyncio.Event()

    async def run(_run: AgentRun) -> AsyncGenerator[Any, None]:
        try:
            yield 7
        finally:
            while not over.is_set():
                with suppress(asyncio.CancelledError):
                    await over.wait()

    with capture_logs() as logs, pytest.raises(AgentFailed, match="it yielded int"):
        await Run(runner=run).run()
    over.set()

    assert "runner_ignored_cancel" in [line["event"] for line in logs]


# --- a new message beside answers ------------------------------------------------


async def test_a_question_behind_a_decision_is_answered_before_the_new_message_is_heard() -> None:
    async def run(run: AgentRun) -> AsyncGenerator[Any, None]:
        if run.text == "and?" and run.messages:
            yield f"answer to {run.text}"
        elif "receipt" in run.answers:
            yield "a receipt. "
        else:
            await run.call_tool("pay", {"euros": 5})
            yield Interrupt("receipt", "A receipt?")

    first = Run(runner=run, permission="ask")
    await first.run()
    both = Run(
        runner=run,
        permission="ask",
        messages=[user("and?", "m2")],
        resume=YES,
        memory=after(first, gated_calls=decisions(first)),
    )
    assert (await both.run()).outcome == "interrupt"
    (question,) = both.of(InterruptRequested)
    assert (both.text, both.saved) == ("", [])
    told = (Answered(question.interrupt_id, "resolved", {"approved": True}),)
    last = Run(
        runner=run,
        permission="ask",
        messages=[],
        resume=YES,
        memory=ThreadMemory(after(both).state, (), (), answered=told),
    )
    await last.run()

    assert last.text == "a receipt. answer to and?"
    assert [role for role, _ in last.remembered].count("user") == 2
    assert after(last).state.middle_context == {}  # pyright: ignore[reportOptionalMemberAccess]


async def test_an_approval_behind_a_decision_is_found_by_the_next_run() -> None:
    async def run(run: AgentRun) -> AsyncGenerator[Any, None]:
        if run.messages and run.text == "and?":
            yield "heard"
            return
        async for each in two_approvals(run):
            yield each

    first = Run(runner=run, permission="ask")
    await first.run()
    memory = after(first, gated_calls=decisions(first))
    both = Run(runner=run, permission="ask", messages=[user("and?", "m2")], resume=YES, memory=memory)
    assert (await both.run()).outcome == "interrupt"
    memory = after(both, gated_calls=decisions(both))
    last = Run(runner=run, permission="ask", messages=[], resume=YES, memory=memory)
    await last.run()

    assert last.text == "paid 5, paid 6heard"
    assert [line.split(" for ")[0] for line in (*both.log, *last.log) if "paid" in line] == [
        "paid 5",
        "paid 6",
    ]


async def test_a_new_message_is_kept_if_the_runner_fails_at_the_decision_before_it() -> None:
    async def run(run: AgentRun) -> AsyncGenerator[Any, None]:
        yield (await run.call_tool("pay", {"euros": 5})).content
        raise ValueError("x")

    first = Run(runner=run, permission="ask")
    await first.run()
    memory = after(first, gated_calls=decisions(first))
    both = Run(runner=run, permission="ask", messages=[user("and?", "m2")], resume=YES, memory=memory)
    with pytest.raises(AgentFailed):
        await both.run()

    assert both.remembered[-1] == ("user", "and?")


async def test_an_answer_waits_until_the_runner_is_called() -> None:
    async def run(run: AgentRun) -> AsyncGenerator[Any, None]:
        if run.answers and run.results:
            yield f"{run.answers['q'].approved} {run.results['p1'].content}"
        else:
            yield ToolCall("pick", {}, id="p1")
            yield Interrupt("q", "Sure?")

    first = Run(runner=run, tools=[PICK])
    await first.run()
    (question,) = first.of(InterruptRequested)
    told = (Answered(question.interrupt_id, "resolved", {"approved": True}),)
    second = Run(
        runner=run,
        tools=[PICK],
        messages=[],
        resume=YES,
        memory=ThreadMemory(after(first).state, (), (), answered=told),
    )
    assert (await second.run()).pending_tool_call_ids == ("p1",)
    picked = {"id": "t1", "role": "tool", "toolCallId": "p1", "content": "red"}
    third = Run(runner=run, tools=[PICK], messages=[picked], memory=after(second))
    await third.run()

    assert third.text == "True red"


async def test_client_calls_with_text_between_them_are_all_the_clients() -> None:
    async def run(_run: AgentRun) -> AsyncGenerator[Any, None]:
        yield ToolCall("pick", {}, id="p1")
        yield "and"
        yield ToolCall("pick", {}, id="p2")

    end = await Run(runner=run, tools=[PICK]).run()

    assert sorted(end.pending_tool_call_ids) == ["p1", "p2"]
