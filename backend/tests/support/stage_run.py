"""One run through its stages: the orchestrator with AgentScope's agent and the chat model, over a model in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ConfigDict
from tests.support.model_in_memory import Answer, Asks, ModelInMemory

from core.agentscope.events.checkpoints import Checkpoint
from core.agentscope.events.state_parts import whole_text
from core.agentscope.runtime.agent.agent_kit import AgentKit
from core.agentscope.runtime.agent.factory.agent_run import AgentRun
from core.agentscope.runtime.agent.factory.user_factory import UserFactory, profile_s_agent
from core.agentscope.runtime.agent.factory.user_middleware import UserMiddleware
from core.agentscope.runtime.agent.knowledge.retrieval import Retrieval
from core.agentscope.runtime.agent.runner.user_runner import UserRunner
from core.agentscope.runtime.agent.skills import load_skills
from core.agentscope.runtime.agent.state_reading import read_state
from core.agentscope.runtime.agent.subagents import subagent_kit
from core.agentscope.runtime.agent.thread_memory import GatedCall, ThreadMemory
from core.agentscope.runtime.agent.toolkit import ToolAccess
from core.agentscope.runtime.model.call_services import CallServices
from core.agentscope.runtime.orchestrator import AgentScopeOrchestrator, RunTask
from core.agentscope.runtime.profile.profile import STAGES, AgentProfile, Limits
from core.agentscope.runtime.profile.profile_tools import profile_tools
from core.agentscope.runtime.profile.run_budget import RunBudget
from core.agentscope.runtime.stop_signal import StopSignal
from core.agentscope.schemas.agent_runtime import InternalRuntimeEvent, RunCommand
from core.agentscope.schemas.internal_events import RunFinished, StepFinished, StepStarted, TextDelta
from core.agentscope.tools.mcp.user_access import ConnectionRequired
from core.agentscope.tools.memory_store import InMemoryMemoryStore
from core.agentscope.tools.spec import ConnectionCheck, Permission, Tool, ToolContext
from core.config import Settings, ToolSettings
from core.identity import Principal

CONTEXT = ToolContext(Principal("tenant", "user"), thread_id="t-1", run_id="r-1", tool_call_id="")
PAY = Asks("pay", '{"euros": 5}')
PICK = {"name": "pick", "description": "Picks.", "parameters": {"type": "object", "properties": {}}}
EMPTY = ThreadMemory(state=None, later_messages=(), gated_calls=())
YES = [{"interruptId": "i1", "status": "resolved", "payload": {"approved": True}}]


async def no_login(principal: Principal) -> None:
    """Say that the user has to log in at the shop."""
    raise ConnectionRequired("shop", "oauth", "https://login.test/")


class Payment(BaseModel):
    model_config = ConfigDict(extra="forbid")
    euros: int


def user(text: str, message_id: str = "m1") -> dict[str, Any]:
    return {"id": message_id, "role": "user", "content": text}


HELLO = [user("hello")]
_CODE: tuple[dict[str, Any], ...] = (
    {"name": "A", "description": "d"},
    {"name": "A", "description": "d", "agent": {"runner": "shop:run"}},
)


class Run:
    """One run; what it emits, saves and pays is kept in order."""

    def __init__(
        self,
        *script: Answer,
        structured: Answer | None = None,
        messages: list[dict[str, Any]] | None = None,
        memory: ThreadMemory = EMPTY,
        permission: Permission = "allow",
        budget: Limits | None = None,
        resume: list[dict[str, Any]] | None = None,
        tools: list[dict[str, Any]] | None = None,
        options: dict[str, Any] | None = None,
        situation: list[dict[str, Any]] | None = None,
        services: CallServices | None = None,
        factory: Callable[[AgentRun], Any] | None = None,
        runner: Callable[[AgentRun], Any] | None = None,
        claims: dict[str, Any] | None = None,
        middlewares: Sequence[Any] = (),
        progress: str = "",
        login: ConnectionCheck | None = None,
        more_tools: Sequence[Tool] = (),
        caller: str = "user",
        tenant: str = "tenant",
        search: Callable[[str, AgentRun], Any] | None = None,
        **profile: Any,
    ) -> None:
        """Prepare a run.

        Args:
            script: What the model in memory says, one answer a call.
            structured: Its answer to the intent stage, which is on if there is one.
            messages: The request's; a greeting when absent.
            memory: What the thread remembers.
            permission: Of the tool ``pay``.
            budget: The run's own.
            resume: The request's.
            tools: The client's.
            options: The request's ``forwardedProps``.
            situation: The request's ``context``.
            services: Of another endpoint than the model in memory.
            factory: Makes the agent of the run, as a user's code does.
            runner: Is the run, as a user's code.
            claims: Of the caller's token.
            middlewares: Of the profile: what makes each, given the run.
            caller: Id of the user.
            tenant: Of the user.
            search: The search function of the profile, whose ``[knowledge]`` says the rest.
            more_tools: Of the profile, beside ``pay``.
            progress: What the tool ``pay`` reports before it pays.
            login: What the tool ``pay`` asks about the user's own identity.
            profile: Members of the profile.
        """
        if structured is not None:
            profile.setdefault("stages", {"intent": "model"})
        self.model = ModelInMemory(*script, structured=500 if structured is None else structured)
        self._progress = progress
        self._login = login
        self._more_tools = more_tools
        self._runner = runner
        self._services = services or self.model.services()
        self._factory = factory
        self._search = search
        if search is not None:
            profile["knowledge"] = {"retrieve": "shop.kb:search"} | profile.get("knowledge", {})
        self._middlewares = middlewares
        self.stop = StopSignal()
        self.events: list[InternalRuntimeEvent] = []
        self.saved: list[Checkpoint] = []
        self.payers: list[str] = []
        """The users on whose behalf the tool ``pay`` was called."""
        self.log: list[str] = []
        """What became durable, and what was paid."""
        self.before: Callable[[InternalRuntimeEvent], Awaitable[None]] | None = None
        """Called before an event is taken."""
        command = RunCommand.model_validate(
            {
                "threadId": "t-1",
                "runId": "r-1",
                "messages": HELLO if messages is None else messages,
                "resume": resume or [],
                "tools": tools or [],
                "forwardedProps": options or {},
                "context": situation or [],
            }
        )
        self.kit = self._kit(
            AgentProfile.model_validate(_CODE[runner is not None] | profile), permission, budget
        )
        context = replace(CONTEXT, principal=Principal(tenant, caller))
        self.orchestrator = AgentScopeOrchestrator(
            self.kit,
            RunTask(command, context, memory, claims or {}),
            emit=self._emit,
            durable=self._durable,
            save=self.saved.append,
            stop=self.stop,
        )

    def _kit(self, profile: AgentProfile, permission: Permission, budget: Limits | None) -> AgentKit:
        services = self._services
        pay = Tool(
            name="pay",
            description="Pays.",
            parameters=Payment,
            handler=self._pay,
            permission="allow",
            connected=self._login,
        )
        named = profile_tools(profile, ToolSettings(), InMemoryMemoryStore())
        tools = (
            ToolAccess(pay, permission),
            *(ToolAccess(*each) for each in named),
            *(ToolAccess(each, "allow") for each in self._more_tools),
        )
        client = self._services.client
        return AgentKit(
            profile=profile,
            settings=Settings(model=services.settings),
            services=services,
            prompts={stage: profile.prompt_of(stage) for stage in STAGES},
            tools=tools,
            subagents=tuple(subagent_kit(item, tools) for item in profile.subagents),
            user_factory=self._factory
            and UserFactory("shop:create_agent", self._factory, client, resources="a pool"),
            user_runner=self._runner and UserRunner("shop:run", self._runner, client, resources="a pool"),
            retrieval=self._search
            and Retrieval("shop.kb:search", self._search, client, resources="an index"),
            own_factory=UserFactory("the profile's agent", profile_s_agent, self._services.client)
            if self._middlewares and self._factory is None
            else None,
            middlewares=tuple(
                UserMiddleware("middlewares[0]: shop:create", each, self._services.client, {}, run_name="run")
                for each in self._middlewares
            ),
            skills=load_skills(profile.skills.paths),
        ).for_run(
            budget=RunBudget(budget or Limits(), None, output_tokens=10),
            calls_ahead=None,
            announce=self._emit,
        )

    async def _pay(self, arguments: Payment, context: ToolContext) -> str:
        if self._progress:
            await context.progress(self._progress)
        self.payers.append(context.principal.user_id)
        self.log.append(f"paid {arguments.euros} for {context.idempotency_key}")
        return f"paid {arguments.euros}"

    async def _emit(self, event: InternalRuntimeEvent) -> None:
        if self.before is not None:
            await self.before(event)
        self.events.append(event)

    async def _durable(self) -> None:
        self.log.append("durable")

    async def run(self) -> RunFinished:
        async with asyncio.timeout(3600):
            return await self.orchestrator.run()

    def of(self, kind: Any) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def steps(self) -> list[str]:
        """The stages, each as ``+name`` and ``-name``."""
        marks = {StepStarted: "+", StepFinished: "-"}
        return [
            marks[type(event)] + event.name
            for event in self.events
            if isinstance(event, StepStarted | StepFinished)
        ]

    @property
    def text(self) -> str:
        return "".join(event.delta for event in self.of(TextDelta))

    @property
    def remembered(self) -> list[tuple[str, str]]:
        """The conversation as the run's checkpoint has it."""
        return conversation(self.orchestrator.checkpoint())


def conversation(checkpoint: Checkpoint) -> list[tuple[str, str]]:
    state = read_state(whole_text(checkpoint.state))
    return [(message.role, message.get_text_content() or "") for message in state.context]


def after(run: Run, *, gated_calls: tuple[GatedCall, ...] = (), goes_on: bool = True) -> ThreadMemory:
    """Return what the thread remembers after a run."""
    state = read_state(whole_text(run.orchestrator.checkpoint().state))
    return ThreadMemory(state, (), gated_calls, goes_on=goes_on)


def said_to_the_model(body: dict[str, Any]) -> list[tuple[str, str]]:
    return [(item["role"], str(item.get("content") or "")) for item in body["messages"][1:]]


NO_INTENT: dict[str, Any] = {"stages": {"intent": "off"}}
