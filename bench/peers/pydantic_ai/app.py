"""Pydantic AI behind its AG-UI adapter: it keeps nothing."""

import os

from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.ui.ag_ui import AGUIAdapter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

model = OpenAIChatModel(
    "bench", provider=OpenAIProvider(base_url=os.environ["MODEL_BASE_URL"], api_key="bench")
)
agent = Agent(model, instructions="You are a helpful assistant.")


async def run(request: Request) -> Response:
    return await AGUIAdapter.dispatch_request(request, agent=agent)


async def healthz(_request: Request) -> Response:
    return Response("ok")


app = Starlette(routes=[Route("/agui", run, methods=["POST"]), Route("/healthz", healthz)])
