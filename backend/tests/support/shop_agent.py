"""An agent as a user writes one: a model class of its own, a skill, a middleware, and a subagent in a tool."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
from agentscope.agent import Agent
from agentscope.credential import OpenAICredential
from agentscope.message import UserMsg
from agentscope.middleware import MiddlewareBase
from agentscope.model import OpenAIChatModel
from agentscope.permission import PermissionBehavior, PermissionDecision
from agentscope.skill import Skill
from agentscope.tool import FunctionTool, Toolkit
from pydantic import SecretStr

from agentroute.agents import AgentRun, lifespan

ADDRESS = "SHOP_MODEL_URL"
"""Environment variable with the address of the shop's model."""
FREE = PermissionDecision(PermissionBehavior.ALLOW, "it only reads")
REFUNDS = Skill(
    name="refunds",
    description="How to refund.",
    dir=str(Path(__file__).parent),
    markdown="Ask first.",
    updated_at=0,
)


class ShopModel(OpenAIChatModel):
    """The model of the shop."""


class HouseStyle(MiddlewareBase):
    """Adds a line to the prompt."""

    async def on_system_prompt(self, agent: Any, current_prompt: str) -> str:
        return f"{current_prompt}\nBe brief."


@lifespan
async def model() -> AsyncGenerator[ShopModel, None]:
    """Make the model once per worker."""
    credential = OpenAICredential(api_key=SecretStr("shop"), base_url=os.environ[ADDRESS])
    async with httpx.AsyncClient(timeout=60) as client:
        options = {"http_client": client, "max_retries": 0}
        yield ShopModel(credential, "shop-model", max_retries=0, client_kwargs=options)


async def create_agent(run: AgentRun) -> Agent:
    """Make the agent of one run."""

    def refund(order: str) -> str:
        """Refund an order."""
        return f"refunded {order} for {run.claims.get('sub')}"

    async def research(question: str) -> str:
        """Let another agent find something out."""
        child = Agent("researcher", "Find it out.", run.meter(run.resources))
        answer = await child.reply(UserMsg("user", question))
        return answer.get_text_content() or ""

    make: Any = FunctionTool
    tools = [make(refund), make(research, permission=FREE)]
    return Agent(
        name="shop",
        system_prompt="You help customers of a shoe shop.",
        model=run.resources,
        toolkit=Toolkit(tools=tools, skills_or_loaders=[REFUNDS]),
        middlewares=[HouseStyle()],
    )
