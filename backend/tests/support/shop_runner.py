"""A runner as a user writes one: a question of its own, a tool of the profile, two agents, a stream without end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from agentscope.agent import Agent

from agentroute.agents import AgentRun, Interrupt, Step

SIZE = {"type": "object", "properties": {"size": {"type": "integer"}}, "required": ["size"]}


async def run(run: AgentRun) -> AsyncGenerator[Any, None]:
    """Answer by what the user's last message begins with."""
    if run.text.startswith("price"):
        if "size" in run.answers:
            run.state.middle_context["size"] = run.answers["size"].value["size"]
        if "size" not in run.state.middle_context:
            yield "Which size? "
            yield Interrupt("size", "Which size do you wear?", SIZE)
            return
        result = await run.call_tool("calculate", {"expression": f"{run.state.middle_context['size']}*2"})
        yield f"That is {result.content}."
    elif run.text.startswith("count"):
        while True:
            yield "one more "
            await asyncio.sleep(0.01)
    else:
        for name in ("thinker", "writer"):
            yield Step(name)
            state = run.state if name == "writer" else None
            agent = await run.agent(Agent(name, f"You are the {name}.", run.model, state=state))
            async for event in agent.reply_stream(run.messages):
                yield event
