"""One model of one endpoint: the address a call goes to, the model's name, and the options sent."""

from __future__ import annotations

from typing import Any

import httpx

from core.agentscope.runtime.model.model_client import completions_url, provider_name
from core.config import ModelSettings


class ChatEndpoint:
    """One model of an OpenAI-compatible endpoint. Immutable, shared by calls."""

    def __init__(self, client: httpx.AsyncClient, settings: ModelSettings, model: str) -> None:
        """Bind a model to its endpoint.

        Args:
            client: From ``create_model_client`` with the same settings; not closed here.
            settings: Address, timeouts and retries.
            model: Name sent.

        Raises:
            ValueError: ``settings.base_url`` is not an HTTP URL.
        """
        self.client = client
        self.settings = settings
        self.model = model
        self.provider = provider_name(settings)
        self.origin = f"{self.provider}/{model}"
        self._url = completions_url(settings)

    def body(
        self, rest: dict[str, Any], *, temperature: float | None, max_tokens: int | None
    ) -> dict[str, Any]:
        """Return the request's body: the model's name and options, and the rest of it."""
        options = {"temperature": temperature, max_tokens_member(self._url.host): max_tokens}
        given = {name: value for name, value in options.items() if value is not None}
        return {"model": self.model, **given, **rest}

    def request(self, content: bytes, *, call_id: str) -> httpx.Request:
        """Return the request with an encoded body."""
        # The ledger's line by its name in the provider's own logs. Source: OpenAI, API reference, debugging requests.
        headers = {"X-Client-Request-Id": call_id}
        return self.client.build_request("POST", self._url, content=content, headers=headers)


def max_tokens_member(host: str) -> str:
    """Return what an endpoint calls the longest answer.

    OpenAI's reasoning models refuse the old name; most compatible servers know only that one.
    """
    new = host.endswith(("openai.com", "openai.azure.com"))
    return "max_completion_tokens" if new else "max_tokens"
