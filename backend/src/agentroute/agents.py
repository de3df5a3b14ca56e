"""The imports for an agent of your own: AgentScope code behind this service.

    from agentroute.agents import AgentRun, lifespan
    from agentscope.agent import Agent
    from agentscope.tool import Toolkit


    @lifespan
    async def resources():
        async with open_shop_database() as database:
            yield database


    async def create_agent(run: AgentRun) -> Agent:
        return Agent(
            name="shop",
            system_prompt="You sell shoes.",
            model=run.model,
            toolkit=run.toolkit(Toolkit(tools=[...])),
            state=run.state,
            middlewares=run.middlewares,
        )

A profile names the function: ``[agent] factory = "shop.agent:create_agent"``. ``agentroute check`` says what is missing.

A search function is named as ``[knowledge] retrieve = "shop.kb:search"``, for any agent:

    async def search(query: str, run: AgentRun) -> list[Passage]:
        rows = await run.resources.fetch(SEARCH, query, run.tenant, run.user)
        return [Passage(text=row["text"], title=row["title"], url=row["url"]) for row in rows]

A runner is a whole run, for code that is no single agent: ``[agent] runner = "shop.flow:run"``. It yields strings, the
events below, or the events of AgentScope's agents.

    async def run(run: AgentRun):
        writer = await run.agent(Agent("writer", "You write.", run.model, state=run.state))
        async for event in writer.reply_stream(run.inputs):
            yield event

These names are stable. Everything below ``core`` may change with any release. Only workers import the module of a
factory or a runner, so it may import AgentScope and whatever else it needs.
"""

from __future__ import annotations

from core.agentscope.runtime.agent.factory.agent_run import AgentRun
from core.agentscope.runtime.agent.factory.lifespan import lifespan
from core.agentscope.runtime.agent.knowledge.found_passages import passages_text
from core.agentscope.runtime.agent.runner.events import (
    Answer,
    Custom,
    Interrupt,
    MessageEnd,
    Reasoning,
    StatePatch,
    StateSnapshot,
    Step,
    Text,
    ToolCall,
    ToolProgress,
    ToolResult,
)
from core.agentscope.schemas.passages import Passage

__all__ = [
    "AgentRun",
    "Answer",
    "Custom",
    "Interrupt",
    "MessageEnd",
    "Passage",
    "Reasoning",
    "StatePatch",
    "StateSnapshot",
    "Step",
    "Text",
    "ToolCall",
    "ToolProgress",
    "ToolResult",
    "lifespan",
    "passages_text",
]
