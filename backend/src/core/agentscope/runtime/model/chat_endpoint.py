"""One model of one endpoint: the address a call goes to, the model's name, and the options sent."""

from __future__ import annotations

from typing import Any

import httpx

from core.agentscope.runtime.model.model_client import completions_url, provider_name, without_secrets
from core.agentscope.runtime.model.quirks import Quirk, QuirkBook, QuirkChoice
from core.config import ModelSettings
from core.redaction import Redactor, secret_forms

_MAX_REASON_CHARACTERS = 300
_NO_CHOICE = QuirkChoice()


class ChatEndpoint:
    """One model of an OpenAI-compatible endpoint. Immutable, shared by calls."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        settings: ModelSettings,
        model: str,
        chosen: QuirkChoice = _NO_CHOICE,
    ) -> None:
        """Bind a model to its endpoint.

        Args:
            client: From ``create_model_client`` with the same settings; not closed here.
            settings: Address, timeouts and retries.
            model: Name sent.
            chosen: What the profile says of the model's quirks.

        Raises:
            ValueError: ``settings.base_url`` is not an HTTP URL.
        """
        self.client = client
        self.settings = settings
        self.model = model
        self.provider = provider_name(settings)
        self.origin = f"{self.provider}/{model}"
        self.chosen = chosen
        self._url = completions_url(settings)
        self.place = f"{without_secrets(self._url)} {model}"
        """What is learnt is remembered under this: address and model."""

    def quirks(self, book: QuirkBook) -> frozenset[Quirk]:
        """Return what is known of the model: by its host, by the profile, and by its refusals."""
        known = book.learnt(self.place) | self.chosen.has
        if knows_max_completion_tokens(self._url.host):
            known |= {Quirk.MAX_COMPLETION_TOKENS}
        return known - self.chosen.never

    def safe(self, text: str) -> str:
        """Return the endpoint's own words for the log: shortened, and without the key."""
        key = self.settings.api_key.get_secret_value()
        return Redactor(secret_forms(key)).text(text)[:_MAX_REASON_CHARACTERS]

    def body(
        self, rest: dict[str, Any], *, temperature: float | None, max_tokens: int | None
    ) -> dict[str, Any]:
        """Return the request's body: the model's name and options, and the rest of it. ``request_form`` adapts it."""
        options = {"temperature": temperature, "max_tokens": max_tokens}
        given = {name: value for name, value in options.items() if value is not None}
        return {"model": self.model, **given, **rest}

    def request(self, content: bytes, *, call_id: str) -> httpx.Request:
        """Return the request with an encoded body."""
        # The ledger's line by its name in the provider's own logs. Source: OpenAI, API reference, debugging requests.
        headers = {"X-Client-Request-Id": call_id}
        return self.client.build_request("POST", self._url, content=content, headers=headers)


def knows_max_completion_tokens(host: str) -> bool:
    """Whether an endpoint is known to call the longest answer ``max_completion_tokens``.

    OpenAI's reasoning models refuse the old name; most compatible servers know only that one.
    """
    return host.endswith(("openai.com", "openai.azure.com"))
