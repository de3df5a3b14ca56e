"""Models of AgentScope's own, as a user would bring them, over the model in memory."""

from __future__ import annotations

from typing import Any

from agentscope.credential import OpenAICredential
from agentscope.model import OpenAIChatModel
from pydantic import SecretStr
from tests.support.model_in_memory import ModelInMemory


class ShopModel(OpenAIChatModel):
    """A subclass, as users write them: it counts its calls."""

    calls: int = 0

    async def _call_api(self, *args: Any, **more: Any) -> Any:
        self.calls += 1
        return await super()._call_api(*args, **more)


def foreign_model(endpoint: ModelInMemory, kind: type[ShopModel] = ShopModel, **more: Any) -> ShopModel:
    """Return a model of a user that asks the endpoint in memory."""
    options: dict[str, Any] = {"max_retries": 0} | more
    return kind(
        credential=OpenAICredential(api_key=SecretStr("sk-shop"), base_url="http://their-model/v1"),
        model="theirs",
        client_kwargs={"http_client": endpoint.client(), "max_retries": 0},
        **options,
    )
