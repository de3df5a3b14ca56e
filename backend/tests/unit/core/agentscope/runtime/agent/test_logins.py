"""Calls with the user's own identity, by a real agent behind the gate: what is asked, when, and what is made of it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from agentscope.event import ConfirmResult, UserConfirmResultEvent
from agentscope.message import ToolCallBlock, UserMsg
from tests.support.scripted_model import ScriptedModel, Turn, agent_on

from core.agentscope.runtime.agent.agent_events import AgentEventTranslator
from core.agentscope.runtime.agent.drive import drive_agent
from core.agentscope.runtime.agent.logins import ANSWER
from core.agentscope.runtime.agent.thread_memory import AGENT_NAME
from core.agentscope.runtime.agent.toolkit import (
    GateMiddleware,
    RunToolkit,
    ToolAccess,
    ToolCallCount,
    ToolGate,
    run_tools,
)
from core.agentscope.runtime.stop_signal import StopSignal
from core.agentscope.schemas.agent_runtime import InternalRuntimeEvent
from core.agentscope.schemas.internal_events import InterruptRequested, ToolResult
from core.agentscope.tools.mcp.user_access import ConnectionRequired
from core.agentscope.tools.spec import Permission, Tool, ToolContext
from core.identity import Principal
from core.schema_validator import errors_of

CONTEXT = ToolContext(Principal("tenant", "user"), thread_id="t-1", run_id="r-1", tool_call_id="")
URL = "https://login.test/1"


class Shop:
    """A server that sees the user."""

    def __init__(self) -> None:
        self.is_connected = False
        self.revoked = False
        """The service believes that the user is connected, and the server does not."""
        self.wants_more: set[int] = set()
        """Which calls the server refuses, while the user stays connected."""
        self.asked = 0
        self.links = 0
        self.made: list[dict[str, Any]] = []

    async def connected(self, principal: Principal) -> None:
        assert principal == CONTEXT.principal
        if not self.is_connected:
            self.asked += 1
            raise ConnectionRequired("shop", "oauth", URL, "Your login has ended.")

    async def login_url(self, principal: Principal) -> str:
        assert principal == CONTEXT.principal
        self.links += 1
        return f"{URL}/{self.links}"

    async def buy(self, arguments: dict[str, Any], context: ToolContext) -> str:
        if arguments["n"] in self.wants_more:
            raise ConnectionRequired("shop", "oauth", detail="shop asks for more permissions.")
        if self.revoked:
            self.is_connected = False
            raise ConnectionRequired("shop", "oauth")
        self.made.append(arguments)
        return "bought"

    def tool(self, name: str = "buy", permission: Permission = "allow") -> ToolAccess:
        made = Tool(
            name=f"shop__{name}",
            description="Buys.",
            schema={"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
            handler=self.buy,
            permission="ask",
            connected=self.connected,
            login_url=self.login_url,
        )
        return ToolAccess(made, permission)


class Thread:
    """An agent that is given the user's answers, as later runs of its thread give them."""

    def __init__(self, shop: Shop, *turns: Turn, permission: Permission = "allow") -> None:
        self.model = ScriptedModel(*turns)
        self.tools = [shop.tool(permission=permission), shop.tool("ask", "ask"), shop.tool("free")]
        self.unlisted: list[ToolAccess] = []
        self.agent: Any = None
        self.events: list[InternalRuntimeEvent] = []

    async def run(self, *confirmed: ToolCallBlock, may_ask: bool = True) -> None:
        stop = StopSignal()
        gate = ToolGate(stop, ToolCallCount(9))
        gate.logins.may_ask = may_ask
        tools, unlisted = (
            run_tools(some, (), CONTEXT, logins=gate.logins) for some in (self.tools, self.unlisted)
        )
        before = None if self.agent is None else self.agent.state
        self.agent = agent_on(self.model, RunToolkit(tools, unlisted), [GateMiddleware(gate)])
        inputs: Any = UserMsg(name="user", content="Buy.")
        if before is not None:
            self.agent.state = before
            results = [ConfirmResult(confirmed=True, tool_call=call) for call in confirmed]
            inputs = UserConfirmResultEvent(reply_id=before.reply_id, confirm_results=results)
            for call in confirmed:
                gate.open(call.id)
        translator = AgentEventTranslator(
            approval_schema=lambda _: {"type": "object"},
            expires_at=lambda: datetime(2026, 11, 27, tzinfo=UTC),
            max_result_bytes=1000,
            login=gate.logins.required,
        )
        self.events = []
        async with asyncio.timeout(60):
            await drive_agent(
                self.agent, inputs, translator, emit=self._emit, save=None, gate=gate, stop=stop
            )

    async def _emit(self, event: InternalRuntimeEvent) -> None:
        self.events.append(event)

    @property
    def waiting(self) -> list[ToolCallBlock]:
        return list(self.agent.state.get_awaiting_tool_calls(AGENT_NAME))

    @property
    def asked(self) -> list[tuple[str, str | None]]:
        return [
            (event.reason, event.tool_call_id)
            for event in self.events
            if isinstance(event, InterruptRequested)
        ]

    @property
    def results(self) -> list[tuple[str, str, str]]:
        return [
            (event.tool_call_id, event.state, event.content)
            for event in self.events
            if isinstance(event, ToolResult)
        ]


def call(call_id: str = "c1", arguments: str = '{"n": 5}', name: str = "buy") -> ToolCallBlock:
    return ToolCallBlock(id=call_id, name=f"shop__{name}", input=arguments)


async def test_a_call_without_a_login_asks_and_is_made_once_after_it() -> None:
    shop = Shop()
    thread = Thread(shop, [call()], ["Done."])
    await thread.run()

    (question,) = [event for event in thread.events if isinstance(event, InterruptRequested)]
    assert (question.reason, question.tool_call_id, question.arguments) == (
        "connection_required",
        "c1",
        '{"n": 5}',
    )
    assert question.message == "Your login has ended. Connect your account at shop: shop__buy needs it."
    assert question.metadata == {"server": "shop", "auth": "oauth", "url": URL}
    assert question.response_schema == ANSWER

    # Back without a login: asked again, as often as the user comes back.
    for _ in range(2):
        await thread.run(*thread.waiting)
        assert (thread.asked, thread.results) == ([("connection_required", "c1")], [])
    shop.is_connected = True
    await thread.run(*thread.waiting)

    assert (thread.asked, thread.results) == ([], [("c1", "success", "bought")])
    assert shop.made == [{"n": 5}]


@pytest.mark.parametrize("answer", [None, {}, {"approved": True}, {"approved": False}])
def test_an_application_needs_no_payload(answer: Any) -> None:
    assert list(errors_of(ANSWER, answer)) == []
    assert list(errors_of(ANSWER, {"token": "x"})) != []


async def test_the_approval_comes_first_and_once_and_its_edit_stays() -> None:
    shop = Shop()
    thread = Thread(shop, [call()], ["Done."], permission="ask")
    await thread.run()
    assert (thread.asked, shop.asked) == ([("tool_approval", "c1")], 0)

    (waiting,) = thread.waiting
    await thread.run(waiting.model_copy(update={"input": '{"n": 7}'}))
    assert thread.asked == [("connection_required", "c1")]
    assert thread.waiting[0].input == '{"n": 7}'

    shop.is_connected = True
    await thread.run(*thread.waiting)
    assert (thread.asked, shop.made) == ([], [{"n": 7}])


@pytest.mark.parametrize("permission", ["allow", "ask"])
async def test_a_login_that_the_server_refuses_is_asked_for_again_and_the_call_did_nothing(
    permission: Permission,
) -> None:
    shop = Shop()
    shop.is_connected = shop.revoked = True
    thread = Thread(shop, [call()], ["Done."], permission=permission)
    await thread.run()
    if permission == "ask":
        assert thread.asked == [("tool_approval", "c1")]
        await thread.run(*thread.waiting)

    assert (thread.asked, thread.results, shop.made) == ([("connection_required", "c1")], [], [])

    shop.is_connected, shop.revoked = True, False
    await thread.run(*thread.waiting)
    assert (thread.results, shop.made) == ([("c1", "success", "bought")], [{"n": 5}])


async def test_several_calls_ask_for_one_login_and_an_approval_beside_it_is_its_own() -> None:
    shop = Shop()
    thread = Thread(
        shop, [call("c1"), call("c2", '{"n": 6}'), call("c3", name="ask"), call("c4", "5")], ["Done."]
    )
    await thread.run()

    assert sorted(thread.asked) == [
        ("connection_required", "c1"),
        ("connection_required", "c2"),
        ("tool_approval", "c3"),
    ]
    assert shop.asked == 1
    # A call that nobody can make is not asked about.
    assert [(call_id, state in ("denied", "error")) for call_id, state, _ in thread.results] == [("c4", True)]

    await thread.run(*thread.waiting)
    assert sorted(thread.asked) == [("connection_required", f"c{number}") for number in (1, 2, 3)]
    shop.is_connected = True
    await thread.run(*thread.waiting)
    assert sorted(thread.results) == [(f"c{number}", "success", "bought") for number in (1, 2, 3)]
    assert len(shop.made) == 3


async def test_only_the_calls_that_a_server_refuses_ask_for_more_and_with_one_address() -> None:
    shop = Shop()
    shop.is_connected = True
    shop.wants_more = {5, 6}
    thread = Thread(shop, [call("c1"), call("c2", '{"n": 6}')], [call("c3", '{"n": 7}')], ["Done."])
    await thread.run()

    questions = [event for event in thread.events if isinstance(event, InterruptRequested)]
    assert sorted(str(question.tool_call_id) for question in questions) == ["c1", "c2"]
    for question in questions:
        assert question.message.startswith("shop asks for more permissions. Connect your account at shop")
        assert question.metadata == {"server": "shop", "auth": "oauth", "url": f"{URL}/1"}
    assert shop.made == []

    # One login is enough for the first one; the other one is asked about again.
    shop.wants_more = {6}
    await thread.run(*thread.waiting)
    assert (thread.asked, shop.made) == ([("connection_required", "c2")], [{"n": 5}])
    shop.wants_more = set()
    await thread.run(*thread.waiting)
    assert shop.made == [{"n": 5}, {"n": 6}, {"n": 7}]


async def test_a_stored_call_is_made_although_the_model_is_not_offered_its_tool() -> None:
    shop = Shop()
    thread = Thread(shop, [call()], ["Done."])
    await thread.run()
    # A new worker, that knows no list.
    thread.unlisted, thread.tools = thread.tools[:1], []

    await thread.run(*thread.waiting)
    assert thread.asked == [("connection_required", "c1")]
    shop.is_connected = True
    await thread.run(*thread.waiting)

    assert (thread.results, shop.made) == ([("c1", "success", "bought")], [{"n": 5}])
    assert await thread.agent.toolkit.get_tool_schemas([]) == []


async def test_a_user_who_has_moved_on_is_not_asked_again() -> None:
    shop = Shop()
    thread = Thread(shop, [call()], ["Done."])
    await thread.run()

    await thread.run(*thread.waiting, may_ask=False)

    assert (thread.asked, shop.made) == ([], [])
    assert thread.results == [("c1", "denied", "The user did not connect to shop. The call was not made.")]
