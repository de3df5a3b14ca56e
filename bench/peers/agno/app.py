"""Agno behind its AG-UI interface, without a database: it keeps nothing."""

import os

from agno.agent import Agent
from agno.models.openai.like import OpenAILike
from agno.os import AgentOS
from agno.os.interfaces.agui import AGUI

agent = Agent(
    name="bench",
    model=OpenAILike(id="bench", api_key="bench", base_url=os.environ["MODEL_BASE_URL"]),
    instructions="You are a helpful assistant.",
    telemetry=False,
)
app = AgentOS(agents=[agent], interfaces=[AGUI(agent=agent)], telemetry=False).get_app()
