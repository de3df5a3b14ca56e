"""Asks an issuer for its metadata and its public keys. The addresses are the operator's, or those of the metadata.

An answer comes within ``ANSWER_SECONDS`` and has at most ``MAX_ANSWER_BYTES``. Redirects are not followed. The
connection is protected: https, or plain http to this machine.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson

from core.identity_settings import IdentitySettings, is_protected
from core.loopback import is_loopback
from core.pinned_request import system_trust
from core.tokens.fetched_keys import FetchedKeys, KeysUnavailable
from core.tokens.key_set import KeySetInvalid, parse_key_set

ANSWER_SECONDS = 10.0
MAX_ANSWER_BYTES = 256 << 10
_CONNECT_SECONDS = 3.0
_HEADERS = {"User-Agent": "AgentRoute", "Accept": "application/json", "Accept-Encoding": "identity"}
_METADATA = "/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True)
class _Answer:
    document: Any
    max_age_seconds: float | None
    clock_skew_seconds: float | None


async def fetch_keys(settings: IdentitySettings) -> FetchedKeys:
    """Return the keys of the configured source.

    Raises:
        KeysUnavailable: The source does not answer, or answers something else.
    """
    try:
        if settings.jwks_path is not None:
            document = await asyncio.to_thread(read_key_file, settings.jwks_path)
            return FetchedKeys(parse_key_set(document, settings.jwt_algorithms), None, None)
        async with asyncio.timeout(ANSWER_SECONDS), await _client(settings) as client:
            url = settings.jwks_url or await discover(client, settings.oidc_issuer)
            answer = await _get(client, url)
    except TimeoutError:
        raise KeysUnavailable(f"{_source(settings)} does not answer in time") from None
    except KeySetInvalid as exc:
        raise KeysUnavailable(f"{_source(settings)} {exc}") from None
    try:
        keys = parse_key_set(answer.document, settings.jwt_algorithms)
    except KeySetInvalid as exc:
        raise KeysUnavailable(f"{url} {exc}") from None
    return FetchedKeys(keys, answer.max_age_seconds, answer.clock_skew_seconds)


def read_key_file(path: Path) -> Any:
    """Return the parsed file of keys.

    Raises:
        KeysUnavailable: It cannot be read, or is no JSON.
    """
    try:
        if path.stat().st_size > MAX_ANSWER_BYTES:
            raise KeysUnavailable(f"{path} is larger than {MAX_ANSWER_BYTES} bytes")
        return orjson.loads(path.read_bytes())
    except OSError as exc:
        raise KeysUnavailable(f"{path} cannot be read: {exc.strerror}") from None
    except orjson.JSONDecodeError:
        raise KeysUnavailable(f"{path} is no JSON") from None


async def _client(settings: IdentitySettings) -> httpx.AsyncClient:
    host = _host(settings.jwks_url or settings.oidc_issuer)
    return httpx.AsyncClient(
        verify=await asyncio.to_thread(system_trust),
        # Many issuers are on the other side of a company's proxy.
        trust_env=not is_loopback(host),
        follow_redirects=False,
        headers=_HEADERS,
        timeout=httpx.Timeout(None, connect=_CONNECT_SECONDS),
    )


async def discover(client: httpx.AsyncClient, issuer: str) -> str:
    """Return the address of the keys (OpenID Connect Discovery 1.0, section 4).

    Raises:
        KeysUnavailable: The metadata is that of another issuer, or its address of the keys is not protected.
    """
    url = issuer.rstrip("/") + _METADATA
    metadata = (await _get(client, url)).document
    found = metadata.get("issuer") if isinstance(metadata, dict) else None
    if found != issuer:
        # Section 4.3: otherwise one issuer could speak for another.
        shown = str(found)[:200]
        raise KeysUnavailable(
            f"{url} names the issuer {shown!r}, not {issuer!r}; they must be equal to the last slash"
        )
    keys = metadata.get("jwks_uri")
    if not isinstance(keys, str) or not keys.startswith(("http://", "https://")):
        raise KeysUnavailable(f"{url} has no jwks_uri")
    try:
        # Plain http to this machine is for an issuer of this machine: another one must not choose what is asked here.
        protected = is_protected(keys) and (keys.startswith("https://") or is_loopback(_host(issuer)))
    except ValueError:
        protected = False
    if not protected:
        raise KeysUnavailable(f"{url} has a jwks_uri that is not https")
    return keys


async def _get(client: httpx.AsyncClient, url: str) -> _Answer:
    try:
        async with client.stream("GET", url) as response:
            if response.status_code != HTTPStatus.OK:
                raise KeysUnavailable(f"{url} answers {response.status_code}")
            body = bytearray()
            async for piece in response.aiter_raw():
                body += piece
                if len(body) > MAX_ANSWER_BYTES:
                    raise KeysUnavailable(f"{url} answers more than {MAX_ANSWER_BYTES} bytes")
            return _Answer(orjson.loads(bytes(body)), _max_age(response), _skew(response))
    except orjson.JSONDecodeError:
        raise KeysUnavailable(f"{url} answers no JSON") from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as exc:
        raise KeysUnavailable(f"{url} cannot be reached ({type(exc).__name__})") from None


def _max_age(response: httpx.Response) -> float | None:
    for directive in response.headers.get("cache-control", "").lower().split(","):
        name, _, value = directive.strip().partition("=")
        if name == "max-age" and value.isascii() and value.isdigit() and len(value) < 10:
            return float(value)
    return None


def _skew(response: httpx.Response) -> float | None:
    try:
        return parsedate_to_datetime(response.headers["date"]).timestamp() - time.time()
    except (KeyError, ValueError, TypeError, OverflowError):
        return None


def _host(address: str) -> str:
    return urlsplit(address).hostname or ""


def _source(settings: IdentitySettings) -> str:
    return str(settings.jwks_path or settings.jwks_url or settings.oidc_issuer)
