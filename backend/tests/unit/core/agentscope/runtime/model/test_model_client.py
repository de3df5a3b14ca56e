"""The shared HTTP client: what it sends, where, and what it refuses to start with."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from core.agentscope.runtime.model.model_client import completions_url, create_model_client, provider_name
from core.aiohttp_transport import AiohttpTransport
from core.config import ModelSettings


def settings(base_url: str, **values: Any) -> ModelSettings:
    return ModelSettings(base_url=base_url, **values)


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        ("https://api.example.com/v1", "https://api.example.com/v1/chat/completions"),
        ("https://api.example.com/v1/", "https://api.example.com/v1/chat/completions"),
        ("https://api.example.com", "https://api.example.com/chat/completions"),
        ("https://x.example.com/v1?api-version=2", "https://x.example.com/v1/chat/completions?api-version=2"),
    ],
)
def test_the_route_is_put_after_the_path(base_url: str, url: str) -> None:
    assert str(completions_url(settings(base_url))) == url


@pytest.mark.parametrize(
    "base_url", ["", "api.example.com/v1", "ftp://example.com", "http://", "http://a:b:c"]
)
def test_a_base_url_that_is_none_is_refused_by_the_name_of_its_variable(base_url: str) -> None:
    with pytest.raises(ValueError, match="AGENT_MODEL__BASE_URL"):
        # A copy is not validated: a fallback's address comes from the profile.
        create_model_client(settings("").model_copy(update={"base_url": base_url}))


def test_the_provider_is_the_configured_name_or_the_host() -> None:
    assert provider_name(settings("https://api.example.com:8443/v1")) == "api.example.com"
    assert provider_name(settings("https://api.example.com/v1", provider="acme")) == "acme"


async def test_the_key_is_sent_as_a_bearer_token_and_only_if_there_is_one() -> None:
    async with create_model_client(settings("https://a.example/v1", api_key=SecretStr("k-1"))) as client:
        assert client.headers["authorization"] == "Bearer k-1"
        assert client.headers["accept-encoding"] == "identity"
    async with create_model_client(settings("https://a.example/v1")) as client:
        assert "authorization" not in client.headers


@pytest.mark.parametrize(
    ("host", "uses_environment"),
    [
        ("127.0.0.1:9", False),
        ("[::1]:9", False),
        ("localhost:9", False),
        ("10.0.0.1", True),
        ("a.example", True),
    ],
)
async def test_a_loopback_endpoint_is_reached_without_a_proxy(host: str, uses_environment: bool) -> None:
    async with create_model_client(settings(f"http://{host}/v1")) as client:
        assert client.trust_env is uses_environment


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "http_proxy", "ALL_PROXY"])
async def test_proxies_are_left_to_httpx(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for known in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(known, raising=False)
        monkeypatch.delenv(known.upper(), raising=False)
    async with create_model_client(settings("https://a.example/v1")) as client:
        assert isinstance(client._transport, AiohttpTransport)
    monkeypatch.setenv(name, "http://proxy.example:3128")
    async with create_model_client(settings("https://a.example/v1")) as client:
        assert isinstance(client._transport, httpx.AsyncHTTPTransport)
        assert client._mounts
    async with create_model_client(settings("http://127.0.0.1:9/v1")) as client:
        assert isinstance(client._transport, AiohttpTransport)
