"""The HTTP client of the model endpoint: one for a process, shared by every call of every run."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address
from urllib.request import getproxies

import httpx

from core.aiohttp_transport import AiohttpTransport
from core.config import ModelSettings

# Longer than most tools run, so that the next model call of a run finds its connection open. Shorter than the idle
# timeout of common load balancers, so that they do not close it first.
_KEEPALIVE_SECONDS = 30.0
_WRITE_SECONDS = 30.0


def create_model_client(settings: ModelSettings) -> httpx.AsyncClient:
    """Build the client. The caller closes it.

    The client holds the key. It follows no redirects, which would send the key elsewhere, and asks for no compression,
    which would delay deltas. It has no read timeout: the chat model keeps its own deadlines. Proxies and certificates
    come from the usual environment variables, except for a loopback endpoint, which no proxy can reach.

    Raises:
        ValueError: ``base_url`` is missing or is not an HTTP URL.
    """
    url = _endpoint(settings)
    headers = {
        "accept": "text/event-stream, application/json",
        "accept-encoding": "identity",
        "content-type": "application/json",
        "user-agent": "agentroute",
    }
    if key := settings.api_key.get_secret_value():
        headers["authorization"] = f"Bearer {key}"
    limits = httpx.Limits(
        max_connections=settings.max_connections,
        max_keepalive_connections=settings.max_connections,
        keepalive_expiry=_KEEPALIVE_SECONDS,
    )
    trust_env = not _is_loopback(url.host)
    return httpx.AsyncClient(
        headers=headers,
        timeout=httpx.Timeout(
            connect=settings.connect_timeout_seconds,
            read=None,
            write=_WRITE_SECONDS,
            pool=settings.connect_timeout_seconds,
        ),
        limits=limits,
        follow_redirects=False,
        trust_env=trust_env,
        # Proxies are left to httpx: it knows their exceptions, and those by SOCKS.
        transport=None if trust_env and _has_proxy() else AiohttpTransport(limits, trust_env=trust_env),
    )


def _has_proxy() -> bool:
    return not {"http", "https", "all"}.isdisjoint(getproxies())


def completions_url(settings: ModelSettings) -> httpx.URL:
    """Return the URL of chat completions; a query in ``base_url`` is kept."""
    return _completions_url(settings.base_url)


# A URL is parsed once, not in each run: a process has few endpoints.
@lru_cache(maxsize=64)
def _completions_url(base_url: str) -> httpx.URL:
    url = _parsed(base_url)
    return url.copy_with(path=url.path.rstrip("/") + "/chat/completions")


@lru_cache(maxsize=64)
def without_secrets(url: httpx.URL) -> str:
    """Return a URL as it may be shown: without a query, which may hold a key, and without a password."""
    return str(url.copy_with(query=None, userinfo=b""))


def provider_name(settings: ModelSettings) -> str:
    """Return the name usage is booked under: the configured one, else the endpoint's host."""
    return settings.provider or _endpoint(settings).host


def _endpoint(settings: ModelSettings) -> httpx.URL:
    return _parsed(settings.base_url)


@lru_cache(maxsize=64)
def _parsed(base_url: str) -> httpx.URL:
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as exc:
        raise ValueError("AGENT_MODEL__BASE_URL is not a URL") from exc
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError("AGENT_MODEL__BASE_URL must be like https://api.example.com/v1")
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
