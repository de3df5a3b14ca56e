"""The agent of the fault tests as a user's own code: its model, its tools, a skill and a middleware.

Nothing in it knows of the gate, of checkpoints or of the ledger.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncGenerator, Callable
from typing import Any

import httpx
from agentscope.agent import Agent
from agentscope.credential import OpenAICredential
from agentscope.middleware import MiddlewareBase
from agentscope.model import OpenAIChatModel
from agentscope.permission import PermissionBehavior, PermissionDecision
from agentscope.skill import Skill
from agentscope.tool import FunctionTool, Toolkit
from pydantic import SecretStr
from tests.faults.effects import record

from agentroute.agents import AgentRun, lifespan
from core.agentscope.runtime.agent.toolkit import current_tool_call

_TLS = ssl.create_default_context()
"""Made once, before the workers are forked: it takes longer than the rest of a worker's start."""
_ALLOW = PermissionDecision(PermissionBehavior.ALLOW, "it is counted")
_SKILL = Skill(name="counting", description="How to count.", dir="/", markdown="One, two.", updated_at=0)


class OwnModel(OpenAIChatModel):
    """A subclass of a model of AgentScope, as users have them."""


class Passes(MiddlewareBase):
    """Stands around everything, and changes nothing."""

    async def on_reply(
        self, agent: Any, input_kwargs: dict[str, Any], next_handler: Callable[..., AsyncGenerator[Any, None]]
    ) -> AsyncGenerator[Any, None]:
        async for item in next_handler(**input_kwargs):
            yield item


@lifespan
async def model() -> AsyncGenerator[OwnModel, None]:
    """Open the connections of a worker's model: it is shared by all runs."""
    async with httpx.AsyncClient(timeout=60, verify=_TLS) as client:
        yield OwnModel(
            OpenAICredential(
                api_key=SecretStr(os.environ["AGENT_MODEL__API_KEY"]),
                base_url=os.environ["AGENT_MODEL__BASE_URL"],
            ),
            os.environ["AGENT_MODEL__NAME"],
            max_retries=2,
            retry_delay=0.05,
            client_kwargs={"http_client": client, "max_retries": 0},
        )


async def create_agent(run: AgentRun) -> Agent:
    """Make the agent of one run."""

    def effect(note: str) -> str:
        """Do something that cannot be undone."""
        return record(note, run.run_id, current_tool_call())

    def approved_effect(note: str) -> str:
        """Do something that cannot be undone, with the user's approval."""
        return record(note, run.run_id, current_tool_call())

    make: Any = FunctionTool
    tools = [make(effect, permission=_ALLOW), make(approved_effect)]
    return Agent(
        name="counter",
        system_prompt="You answer as you are told.",
        model=run.resources,
        toolkit=Toolkit(tools=tools, skills_or_loaders=[_SKILL]),
        middlewares=[Passes()],
    )
