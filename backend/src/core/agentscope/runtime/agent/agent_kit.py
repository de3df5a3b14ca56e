"""What all runs of a worker process share: profile, prompts, tools, and the services of model calls.

A run works with a copy of the kit that has the run's own budget and ledger (``for_run``). An agent, its models and
its toolkit are made for one run; they are cheap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import httpx

from core.agentscope.events.ledger.calls_ahead import CallsAhead
from core.agentscope.prompts.loader import Prompt
from core.agentscope.runtime.agent.agentscope_schemas import build_schemas_once
from core.agentscope.runtime.agent.compaction import CompactionModel
from core.agentscope.runtime.agent.factory.user_factory import UserFactory
from core.agentscope.runtime.agent.factory.user_middleware import UserMiddleware
from core.agentscope.runtime.agent.knowledge.retrieval import Retrieval
from core.agentscope.runtime.agent.runner.user_runner import UserRunner
from core.agentscope.runtime.agent.skills import VIEWER, FolderSkill, load_skills
from core.agentscope.runtime.agent.subagents import SubagentKit, subagent_kit
from core.agentscope.runtime.agent.toolkit import ToolAccess
from core.agentscope.runtime.model.call_budget import CallBudget
from core.agentscope.runtime.model.call_services import Announce, CallServices
from core.agentscope.runtime.model.chat_endpoint import ChatEndpoint
from core.agentscope.runtime.model.chat_model import OpenAICompatibleChatModel
from core.agentscope.runtime.model.chat_opaque import OpaqueValue
from core.agentscope.runtime.model.file_contents import LoadFiles
from core.agentscope.runtime.model.prices import load_prices
from core.agentscope.runtime.profile.profile import STAGES, AgentProfile
from core.agentscope.runtime.profile.profile_tools import profile_tools
from core.agentscope.schemas.internal_events import CallStage, ModelUsage, StageName
from core.agentscope.tools.errors import ToolDefinitionError
from core.agentscope.tools.mcp.calls import OfferedAs
from core.agentscope.tools.mcp.toolset import McpToolset
from core.agentscope.tools.memory_store import MemoryStore
from core.config import Settings
from core.identity import Principal
from core.store_clock import StoreClock

ModelKind = TypeVar("ModelKind", bound=OpenAICompatibleChatModel)


@dataclass(frozen=True, slots=True)
class AgentKit:
    """The parts of the agent that hold no state of a run."""

    profile: AgentProfile
    settings: Settings
    services: CallServices
    """What the model calls share. Budget and ledger are those of one run, or absent (``for_run``)."""
    prompts: dict[StageName, Prompt]
    tools: tuple[ToolAccess, ...]
    subagents: tuple[SubagentKit, ...] = ()
    fallbacks: Mapping[CallStage, ChatEndpoint] = field(default_factory=dict)
    unlisted: tuple[ToolAccess, ...] = ()
    """Tools of calls that the run has to make although no list has them. The model is not offered them."""
    mcp: McpToolset | None = None
    """Tools that come and go while the worker lives. A run has those that are there when it begins."""
    clock: StoreClock = field(default_factory=StoreClock)
    user_factory: UserFactory | None = None
    """Makes the agent of each run; ``None`` for the agent that the profile describes."""
    user_runner: UserRunner | None = None
    """Takes the place of the agent; ``None`` without a runner."""
    retrieval: Retrieval | None = None
    """The search function that the profile names."""
    own_factory: UserFactory | None = None
    """Makes the agent that the profile describes; ``None`` if no code of users is around it."""
    middlewares: tuple[UserMiddleware, ...] = ()
    """Of the profile, around whatever agent there is; the first is the outermost."""
    skills: tuple[FolderSkill, ...] = ()

    @property
    def maker(self) -> UserFactory | None:
        """What makes an agent with code of users in it; ``None`` if there is no such code."""
        return self.user_factory or self.own_factory

    @property
    def max_result_bytes(self) -> int:
        """Maximum size of a tool result for the client. JSON escapes can make it six times as large in an event."""
        return min(self.settings.tools.max_event_bytes, self.settings.worker.max_event_bytes // 8)

    def for_run(
        self,
        *,
        budget: CallBudget | None,
        calls_ahead: CallsAhead | None,
        announce: Announce | None = None,
        files: LoadFiles | None = None,
        mcp_tools: Sequence[OfferedAs] | None = None,
        decided: Iterable[str] = (),
    ) -> AgentKit:
        """Return the kit of one run: its model calls have its budget, are written ahead, tell of retries, read files.

        Args:
            budget: Of the run.
            calls_ahead: Where model calls are written before they leave.
            announce: Takes the retries of model calls.
            files: Reads the files of messages.
            mcp_tools: As of ``tools_for``; those that need no user when absent.
            decided: Names of the tools whose calls the user has answered for.
        """
        services = replace(
            self.services, budget=budget, calls_ahead=calls_ahead, announce=announce, files=files
        )
        tools = (*self.tools, *self._accessible(mcp_tools))
        listed = {item.tool.name for item in tools}
        unlisted = () if self.mcp is None else map(self.mcp.unlisted, set(decided) - listed)
        hidden = tuple(ToolAccess(tool, tool.permission) for tool in unlisted if tool is not None)
        return replace(self, services=services, tools=tools, unlisted=hidden)

    async def tools_for(self, principal: Principal) -> list[OfferedAs]:
        """Return the tools of MCP servers for a run of this user, those that see the user among them.

        Raises:
            StoreUnavailable: The user's connections could not be read.
        """
        return [] if self.mcp is None else await self.mcp.tools_for(principal)

    def is_server_tool(self, name: str) -> bool:
        """Return whether a call of this name is made here, and not by the client."""
        return (
            any(item.tool.name == name for item in self.tools)
            or any(item.profile.name == name for item in self.subagents)
            or bool(self.skills and name == VIEWER)
            # Also if its server is away at the moment.
            or (self.mcp is not None and self.mcp.owns(name))
        )

    def _accessible(self, mcp_tools: Sequence[OfferedAs] | None) -> list[ToolAccess]:
        if mcp_tools is None:
            mcp_tools = self.mcp.tools() if self.mcp is not None else []
        # The profile's own tools go first.
        own = {item.tool.name for item in self.tools} | {item.profile.name for item in self.subagents}
        return [ToolAccess(tool, permission) for tool, permission in mcp_tools if tool.name not in own]

    def announcing(self, announce: Announce) -> AgentKit:
        """Return the kit whose model calls tell of their retries here."""
        return replace(self, services=replace(self.services, announce=announce))

    def model(
        self,
        stage: CallStage,
        record: Callable[[ModelUsage], None],
        keep: Callable[[OpaqueValue], None] = lambda _value: None,
    ) -> OpenAICompatibleChatModel:
        """Return a stage's model; ``record`` and ``keep`` are those of ``OpenAICompatibleChatModel``."""
        return self._build(OpenAICompatibleChatModel, stage, stage, record, keep)

    def compaction_model(self, stage: StageName, record: Callable[[ModelUsage], None]) -> CompactionModel:
        """Return the stage's model as it summarises that stage's context."""
        return self._build(CompactionModel, stage, "compaction", record, lambda _value: None)

    def _build(
        self,
        kind: type[ModelKind],
        stage: CallStage,
        booked: CallStage,
        record: Callable[[ModelUsage], None],
        keep: Callable[[OpaqueValue], None],
    ) -> ModelKind:
        chosen = self.profile.model_of(stage, self.settings.model.name)
        return kind(
            self.services,
            model=chosen.name or self.settings.model.name,
            stage=booked,
            record=record,
            keep=keep,
            parameters=kind.Parameters(temperature=chosen.temperature, max_tokens=chosen.max_tokens),
            fallback=self.fallbacks.get(stage),
            quirks=chosen.quirk_choice(),
        )


def build_kit(
    profile: AgentProfile,
    settings: Settings,
    client: httpx.AsyncClient,
    memory: MemoryStore,
    fallbacks: Mapping[CallStage, ChatEndpoint],
    mcp: McpToolset | None = None,
) -> AgentKit:
    """Put the process' parts together.

    Raises:
        ToolDefinitionError: The profile names a tool that is not there.
        ProfileInvalid: A skill cannot be used.
        PricesInvalid: The price table cannot be read.
    """
    build_schemas_once()
    tools = tuple(ToolAccess(*named) for named in profile_tools(profile, settings.tools, memory))
    return AgentKit(
        profile=profile,
        settings=settings,
        services=CallServices(client, settings.model, load_prices(settings.model.prices_path)),
        prompts={stage: profile.prompt_of(stage) for stage in STAGES},
        tools=tools,
        subagents=tuple(subagent_kit(subagent, tools) for subagent in profile.subagents),
        fallbacks=fallbacks,
        mcp=mcp,
        skills=_skills(profile, tools),
    )


def _skills(profile: AgentProfile, tools: tuple[ToolAccess, ...]) -> tuple[FolderSkill, ...]:
    skills = load_skills(profile.skills.paths)
    if skills and any(item.tool.name == VIEWER for item in tools):
        raise ToolDefinitionError(
            f"tools: the name {VIEWER} is taken by the tool that reads skills; rename the other one"
        )
    return skills
