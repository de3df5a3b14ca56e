"""The transcription endpoint: its address, its key and its HTTP client."""

from __future__ import annotations

from dataclasses import dataclass, field

import httpx

from core.config import ModelSettings, TranscriptionSettings
from core.errors import ConfigurationError
from core.loopback import is_loopback

# As the model's client: shorter than the idle timeout of common load balancers.
_KEEPALIVE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One OpenAI-compatible endpoint for speech."""

    url: httpx.URL
    api_key: str = field(repr=False)
    model: str
    connect_timeout_seconds: float
    timeout_seconds: float


def find_endpoint(settings: TranscriptionSettings, model: ModelSettings) -> Endpoint | None:
    """Return the endpoint: one of its own, else the chat model's; ``None`` when neither is set.

    The chat model's key is sent only to the chat model's address.

    Raises:
        ConfigurationError: The address is not a URL.
    """
    base = settings.base_url or model.base_url
    if not base:
        return None
    own = settings.api_key.get_secret_value()
    key = own if own or settings.base_url else model.api_key.get_secret_value()
    variable = "AGENT_TRANSCRIPTION__BASE_URL" if settings.base_url else "AGENT_MODEL__BASE_URL"
    try:
        url = httpx.URL(base)
    except httpx.InvalidURL as exc:
        raise ConfigurationError(f"{variable} is not a URL.") from exc
    return Endpoint(
        url=url.copy_with(path=url.path.rstrip("/") + "/audio/transcriptions"),
        api_key=key,
        model=settings.name,
        connect_timeout_seconds=settings.connect_timeout_seconds,
        timeout_seconds=settings.timeout_seconds,
    )


def create_client(endpoint: Endpoint) -> httpx.AsyncClient:
    """Build the client of an endpoint. Whoever builds it closes it.

    It follows no redirect, which would carry the key away. Proxies and
    certificates come from the usual environment variables, except for a loopback
    address, which no proxy can reach.
    """
    headers = {"accept": "application/json", "user-agent": "agentroute"}
    if endpoint.api_key:
        headers["authorization"] = f"Bearer {endpoint.api_key}"
    return httpx.AsyncClient(
        headers=headers,
        timeout=httpx.Timeout(endpoint.timeout_seconds, connect=endpoint.connect_timeout_seconds),
        limits=httpx.Limits(keepalive_expiry=_KEEPALIVE_SECONDS),
        follow_redirects=False,
        trust_env=not is_loopback(endpoint.url.host),
    )
