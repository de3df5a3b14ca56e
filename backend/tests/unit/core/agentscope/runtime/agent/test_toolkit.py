"""Tools as the agent gets them, and the gate before every call."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from agentscope.event import ConfirmResult, UserConfirmResultEvent
from agentscope.exception import ToolNotFoundError
from agentscope.message import ToolCallBlock, UserMsg
from agentscope.permission import PermissionBehavior, PermissionContext, PermissionDecision
from agentscope.tool import ToolBase, ToolChunk
from jsonschema import Draft202012Validator
from jsonschema.validators import validator_for
from pydantic import BaseModel, ConfigDict
from structlog.testing import capture_logs
from tests.support.scripted_model import ScriptedModel, Turn, agent_on
from tests.support.virtual_clock import VIRTUAL_CLOCK

from core.agentscope.runtime.agent.agent_events import AgentEventTranslator
from core.agentscope.runtime.agent.drive import drive_agent
from core.agentscope.runtime.agent.emit import Emit
from core.agentscope.runtime.agent.thread_memory import AGENT_NAME
from core.agentscope.runtime.agent.toolkit import (
    BROKEN_ARGUMENTS,
    NO_CALLS_LEFT,
    ClientTool,
    GateMiddleware,
    RunToolkit,
    ServerTool,
    ToolAccess,
    ToolCallCount,
    ToolGate,
    approval_schemas,
    run_tools,
    tool_chunk,
)
from core.agentscope.runtime.stop_signal import RunStopped, StopSignal
from core.agentscope.schemas.agent_runtime import ClientToolDefinition, InternalRuntimeEvent
from core.agentscope.schemas.internal_events import InterruptRequested, ToolCallEnded, ToolResult
from core.agentscope.tools.errors import ToolError
from core.agentscope.tools.foreign_tools import of_agentscope
from core.agentscope.tools.spec import Permission, Tool, ToolContext
from core.identity import Principal
from core.schema_validator import BoundedValidator, bounded

CONTEXT = ToolContext(Principal("tenant", "user"), thread_id="t-1", run_id="r-1", tool_call_id="")
PICK = ClientToolDefinition(
    name="pick", description="Picks.", parameters={"properties": {"from": {"type": "array"}}}
)


class Payment(BaseModel):
    model_config = ConfigDict(extra="forbid")
    euros: int


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return VIRTUAL_CLOCK


def call(call_id: str, arguments: str = '{"euros": 5}', name: str = "pay") -> ToolCallBlock:
    return ToolCallBlock(id=call_id, name=name, input=arguments)


@dataclass
class Till:
    """A tool that notes each payment, and whose money it was."""

    paid: list[tuple[str, int]] = field(default_factory=list)

    async def pay(self, arguments: Payment, context: ToolContext) -> str:
        self.paid.append((context.idempotency_key, arguments.euros))
        await asyncio.sleep(1)
        if arguments.euros > 100:
            raise ToolError("Too much.")
        return f"paid {arguments.euros}"

    def access(
        self, permission: Permission = "allow", *, name: str = "pay", editable: bool = False
    ) -> ToolAccess:
        tool = Tool(
            name=name,
            description="Pays.",
            parameters=Payment,
            handler=self.pay,
            permission="allow",
            editable=editable,
        )
        return ToolAccess(tool, permission)


class Run:
    """A real agent on a scripted model, with our tools behind the gate."""

    def __init__(
        self,
        *turns: Turn,
        tools: list[ToolAccess],
        client_tools: list[ClientToolDefinition] | None = None,
        max_calls: int = 10,
        asks_nobody: bool = False,
    ) -> None:
        self.stop = StopSignal()
        self.gate = ToolGate(self.stop, ToolCallCount(max_calls))
        self.model = ScriptedModel(*turns)
        self.agent = agent_on(
            self.model,
            RunToolkit(run_tools(tools, client_tools or [], CONTEXT, asks_nobody=asks_nobody)),
            [GateMiddleware(self.gate)],
        )
        self.schemas = approval_schemas(tools)
        self.events: list[InternalRuntimeEvent] = []

    async def emit(self, event: InternalRuntimeEvent) -> None:
        self.events.append(event)

    async def drive(self, inputs: Any = None, emit: Emit | None = None) -> None:
        translator = AgentEventTranslator(
            approval_schema=self.schemas,
            expires_at=lambda: datetime(2026, 11, 23, tzinfo=UTC),
            max_result_bytes=1000,
        )
        async with asyncio.timeout(3600):
            await drive_agent(
                self.agent,
                inputs or UserMsg(name="user", content="Pay."),
                translator,
                emit=emit or self.emit,
                save=None,
                gate=self.gate,
                stop=self.stop,
            )

    @property
    def results(self) -> list[tuple[str, str, str]]:
        return [
            (event.tool_call_id, event.state, event.content)
            for event in self.events
            if isinstance(event, ToolResult)
        ]

    @property
    def interrupts(self) -> list[InterruptRequested]:
        return [event for event in self.events if isinstance(event, InterruptRequested)]


@pytest.fixture
def till() -> Till:
    return Till()


# --- the gate -----------------------------------------------------------------------------------


async def test_a_call_waits_at_the_gate_until_it_is_durable() -> None:
    gate = ToolGate(StopSignal(), ToolCallCount(9))
    waiting = asyncio.create_task(gate.enter("c1"))
    gate.open("c2")
    await asyncio.sleep(60)
    assert not waiting.done()
    gate.open("c1")

    assert await waiting


async def test_a_call_that_is_durable_already_goes_through() -> None:
    gate = ToolGate(StopSignal(), ToolCallCount(9))
    gate.open("c1")
    gate.open("c2")

    assert [await gate.enter("c1"), await gate.enter("c2")] == [True, True]


async def test_calls_that_wait_side_by_side_each_go_through_at_their_own_time() -> None:
    gate = ToolGate(StopSignal(), ToolCallCount(9))
    waiting = {name: asyncio.create_task(gate.enter(name)) for name in ("c1", "c2", "c3")}
    await asyncio.sleep(0)
    for name in ("c2", "c3", "c1"):
        gate.open(name)
        await waiting.pop(name)
        await asyncio.sleep(0)
        assert not any(task.done() for task in waiting.values())


async def test_nothing_goes_through_once_the_run_is_to_stop() -> None:
    stop = StopSignal()
    gate = ToolGate(stop, ToolCallCount(9))
    gate.open("c1")
    waiting = asyncio.create_task(gate.enter("c2"))
    await asyncio.sleep(0)
    stop.set("user")
    gate.open("c2")
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with pytest.raises(asyncio.CancelledError):
        await gate.enter("c1")


async def test_a_run_has_so_many_calls_and_no_more() -> None:
    gate = ToolGate(StopSignal(), ToolCallCount(2))
    gate.open("c1")

    assert [await gate.enter("c1") for _ in range(4)] == [True, True, False, False]


# --- the gate before a real agent's tools -----------------------------------------------------------


async def test_a_tool_starts_only_after_its_call_is_durable(till: Till) -> None:
    run = Run([call("c1")], ["Paid."], tools=[till.access()])
    at_the_store, committed = asyncio.Event(), asyncio.Event()

    async def commit(event: InternalRuntimeEvent) -> None:
        if isinstance(event, ToolCallEnded):
            at_the_store.set()
            await committed.wait()
        await run.emit(event)

    driving = asyncio.create_task(run.drive(emit=commit))
    await at_the_store.wait()
    await asyncio.sleep(60)
    assert till.paid == []
    committed.set()
    await driving

    assert till.paid == [("r-1:c1", 5)]
    assert run.results == [("c1", "success", "paid 5")]


async def test_parallel_calls_know_which_call_they_are(till: Till) -> None:
    run = Run([call("c1"), call("c2", '{"euros": 7}')], ["Paid."], tools=[till.access()])
    await run.drive()

    assert sorted(till.paid) == [("r-1:c1", 5), ("r-1:c2", 7)]
    assert sorted(run.results) == [("c1", "success", "paid 5"), ("c2", "success", "paid 7")]


@pytest.mark.parametrize("calls", [1, 2])
async def test_no_tool_starts_after_a_stop(till: Till, calls: int) -> None:
    run = Run([call(f"c{place}") for place in range(calls)], tools=[till.access()])

    async def stop_at_the_commit(event: InternalRuntimeEvent) -> None:
        if isinstance(event, ToolCallEnded):
            run.stop.set("user")
        await run.emit(event)

    with pytest.raises(RunStopped):
        await run.drive(emit=stop_at_the_commit)
    await asyncio.sleep(60)

    assert till.paid == []
    assert all(state == "interrupted" for _, state, _ in run.results)


async def test_no_tool_starts_when_the_stop_comes_while_it_waits_to_be_durable(till: Till) -> None:
    run = Run([call("c1"), call("c2")], tools=[till.access()])
    at_the_store = asyncio.Event()

    async def never_commit(event: InternalRuntimeEvent) -> None:
        if isinstance(event, ToolCallEnded):
            at_the_store.set()
            await asyncio.sleep(30)
        await run.emit(event)

    driving = asyncio.create_task(run.drive(emit=never_commit))
    await at_the_store.wait()
    await asyncio.sleep(1)
    run.stop.set("user")
    with pytest.raises(RunStopped):
        await driving

    assert till.paid == []


async def test_a_run_without_calls_left_tells_the_model_so(till: Till) -> None:
    run = Run([call("c1")], [call("c2")], ["Enough."], tools=[till.access()], max_calls=1)
    await run.drive()

    assert run.results == [("c1", "success", "paid 5"), ("c2", "error", NO_CALLS_LEFT)]
    assert till.paid == [("r-1:c1", 5)]


@pytest.mark.parametrize("arguments", ['{"euros": 5', '{"euros": 1234', "five"])
async def test_a_call_that_was_cut_in_its_arguments_is_not_made(till: Till, arguments: str) -> None:
    run = Run([call("c1", arguments)], ["Sorry."], tools=[till.access()])
    await run.drive()

    assert till.paid == []
    ((call_id, state, content),) = run.results
    assert (call_id, state in ("denied", "error")) == ("c1", True)
    assert content == BROKEN_ARGUMENTS or arguments == "five"


async def test_a_tool_s_own_failure_is_told_and_the_run_goes_on(till: Till) -> None:
    run = Run([call("c1", '{"euros": 500}')], ["Sorry."], tools=[till.access()])
    await run.drive()

    assert run.results == [("c1", "error", "Too much.")]
    assert run.events[-1].kind == "text_ended"


# --- permissions ----------------------------------------------------------------------------------------


async def test_an_allowed_tool_asks_nobody(till: Till) -> None:
    run = Run([call("c1")], ["Paid."], tools=[till.access("allow")])
    await run.drive()

    assert (run.interrupts, till.paid) == ([], [("r-1:c1", 5)])


async def test_a_tool_that_asks_waits_for_the_user_with_the_call_as_the_model_wrote_it(till: Till) -> None:
    run = Run([call("c1", '{"euros":   5}')], tools=[till.access("ask")])
    await run.drive()

    (interrupt,) = run.interrupts
    assert (interrupt.tool_call_id, interrupt.tool_name, interrupt.arguments) == (
        "c1",
        "pay",
        '{"euros":   5}',
    )
    assert interrupt.response_schema == till.access("ask").approval_schema()
    assert till.paid == []
    assert [waiting.id for waiting in run.agent.state.get_awaiting_tool_calls(AGENT_NAME)] == ["c1"]


async def test_each_of_two_calls_of_one_tool_asks_for_itself(till: Till) -> None:
    run = Run([call("c1"), call("c2")], tools=[till.access("ask")])
    await run.drive()

    assert sorted(interrupt.tool_call_id or "" for interrupt in run.interrupts) == ["c1", "c2"]
    assert till.paid == []


@pytest.mark.parametrize("approved", [True, False])
async def test_an_answer_decides_over_the_call_once(till: Till, approved: bool) -> None:
    run = Run([call("c1")], ["Thanks."], tools=[till.access("ask")])
    await run.drive()
    (waiting,) = run.agent.state.get_awaiting_tool_calls(AGENT_NAME)
    if approved:
        run.gate.open("c1")
    await run.drive(
        UserConfirmResultEvent(
            reply_id=run.agent.state.reply_id,
            confirm_results=[ConfirmResult(confirmed=approved, tool_call=waiting)],
        )
    )

    assert till.paid == ([("r-1:c1", 5)] if approved else [])
    assert [(call_id, state) for call_id, state, _ in run.results] == [
        ("c1", "success" if approved else "denied")
    ]


async def test_a_denied_tool_is_not_there(till: Till) -> None:
    run = Run([call("c1")], ["Sorry."], tools=[till.access("deny")])
    await run.drive()

    assert till.paid == []
    assert [(call_id, state) for call_id, state, _ in run.results] == [("c1", "error")]


# --- the client's tools ------------------------------------------------------------------------------------


async def test_a_client_s_tool_stays_open_and_ends_the_agent_s_turn(till: Till) -> None:
    run = Run([call("c1", "{}", name="pick")], tools=[till.access()], client_tools=[PICK])
    await run.drive()

    assert (run.results, run.interrupts) == ([], [])
    assert [waiting.id for waiting in run.agent.state.get_awaiting_tool_calls(AGENT_NAME)] == ["c1"]


async def test_a_stop_answers_no_client_s_call(till: Till) -> None:
    run = Run([call("c1"), call("c2", "{}", name="pick")], tools=[till.access()], client_tools=[PICK])
    driving = asyncio.create_task(run.drive())
    await asyncio.sleep(0.5)
    assert till.paid
    run.stop.set("user")
    with pytest.raises(RunStopped):
        await driving

    assert [(call_id, state) for call_id, state, _ in run.results] == [("c1", "interrupted")]


async def test_a_client_s_call_that_never_goes_out_to_it_says_so(till: Till) -> None:
    run = Run(
        [call("c1", '{"colour": "bl', name="pick")], ["Sorry."], tools=[till.access()], client_tools=[PICK]
    )
    await run.drive()

    # Without a result the client would take it for its own to answer.
    assert [(call_id, content) for call_id, _, content in run.results] == [("c1", BROKEN_ARGUMENTS)]


async def test_a_server_tool_wins_over_a_client_s_of_the_same_name(till: Till) -> None:
    toolkit = RunToolkit(run_tools([till.access()], [ClientToolDefinition(name="pay"), PICK], CONTEXT))

    assert type(await toolkit.get_tool("pay")) is ServerTool
    assert type(await toolkit.get_tool("pick")) is ClientTool


async def test_a_client_s_tool_takes_the_place_of_a_denied_one(till: Till) -> None:
    toolkit = RunToolkit(run_tools([till.access("deny")], [ClientToolDefinition(name="pay")], CONTEXT))

    assert type(await toolkit.get_tool("pay")) is ClientTool


def test_a_client_s_tool_always_has_a_description_and_an_object_for_arguments() -> None:
    bare = ClientTool(ClientToolDefinition(name="bare"))

    assert (bare.description, bare.input_schema) == ("bare", bounded({"type": "object", "properties": {}}))
    assert ClientTool(PICK).input_schema == bounded(
        {"type": "object", "properties": {"from": {"type": "array"}}}
    )
    nullable = ClientTool(ClientToolDefinition(name="n", parameters={"type": ["object", "null"]}))
    assert nullable.input_schema["type"] == "object"


def test_arguments_of_every_tool_are_checked_by_the_validator_with_a_bound(till: Till) -> None:
    # AgentScope validates in the event loop, with the class that `$schema` names.
    for made in (ClientTool(PICK), ServerTool(till.access(), CONTEXT)):
        assert validator_for(made.input_schema) is BoundedValidator


# --- approval ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "editable", "fits"),
    [
        ({"approved": True}, False, True),
        ({"approved": False}, False, True),
        ({}, False, False),
        ({"approved": "yes"}, False, False),
        ({"approved": True, "input": {"euros": 1}}, False, False),
        ({"approved": True, "input": {"euros": 1}}, True, True),
        ({"approved": True, "input": {"euros": "many"}}, True, False),
        ({"approved": True, "input": {"euros": 1, "to": "Eve"}}, True, False),
        ({"approved": True, "colour": "red"}, True, False),
        (None, True, False),
    ],
)
def test_an_answer_has_to_fit_what_the_tool_allows(
    till: Till, answer: Any, editable: bool, fits: bool
) -> None:
    schema = till.access("ask", editable=editable).approval_schema()

    Draft202012Validator.check_schema(schema)
    assert Draft202012Validator(schema).is_valid(answer) is fits


def test_approval_schemas_are_found_by_tool(till: Till) -> None:
    plain, editable = till.access("ask"), till.access("ask", name="order", editable=True)
    schemas = approval_schemas([plain, editable])

    assert (schemas("pay"), schemas("order")) == (plain.approval_schema(), editable.approval_schema())


@pytest.mark.parametrize(("name", "away"), [("shop__refund", True), ("refund", False)])
async def test_a_model_that_calls_a_tool_of_a_server_that_is_away_is_told_so(name: str, away: bool) -> None:
    with pytest.raises(ToolNotFoundError) as refused:
        await RunToolkit().check_tool_available(name, [])

    assert ("the server is away at the moment" in str(refused.value)) == away


class Careful(ToolBase):
    """Looks at each call."""

    name = "pay"
    description = "Pays."
    is_concurrency_safe = True
    is_read_only = True

    def __init__(self) -> None:
        super().__init__()
        self.input_schema = {"type": "object", "properties": {"euros": {"type": "integer"}}}

    async def check_permissions(
        self, tool_input: dict[str, Any], context: PermissionContext
    ) -> PermissionDecision:
        euros = tool_input["euros"]
        kinds = (PermissionBehavior.PASSTHROUGH, PermissionBehavior.ALLOW, PermissionBehavior.ASK)
        return PermissionDecision(PermissionBehavior.DENY if euros > 9 else kinds[euros], "mine")

    async def call(self, euros: int) -> ToolChunk:
        return tool_chunk("success", f"paid {euros}")


@pytest.mark.parametrize(
    ("permission", "euros", "what_happens"),
    [
        ("allow", 0, "success"),
        ("allow", 1, "success"),
        ("allow", 2, "asked"),
        ("allow", 3, "asked"),  # its check fails: who cannot decide asks
        ("allow", 10, "denied"),
        ("ask", 1, "asked"),
        ("ask", 10, "denied"),
    ],
)
@pytest.mark.parametrize("asks_nobody", [False, True])
async def test_the_stricter_of_the_profile_and_the_tool_holds(
    permission: Permission, euros: int, what_happens: str, asks_nobody: bool
) -> None:
    access = ToolAccess(of_agentscope(Careful()), permission)
    run = Run([call("c-1", f'{{"euros": {euros}}}')], ["ok"], tools=[access], asks_nobody=asks_nobody)

    with capture_logs():
        await run.drive()

    if what_happens == "asked" and not asks_nobody:
        assert [interrupt.tool_call_id for interrupt in run.interrupts] == ["c-1"]
    else:
        assert not run.interrupts
        assert [state for _, state, _ in run.results] == [
            "denied" if what_happens == "asked" else what_happens
        ]
