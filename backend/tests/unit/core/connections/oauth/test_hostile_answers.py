"""Whatever another server answers, a login or a refresh ends in words: no answer raises anything else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.connections.oauth.challenge import bearer_challenge
from core.connections.oauth.discovery import LoginPlace, discover
from core.connections.oauth.failures import OAuthFailed
from core.connections.oauth.grants import authorization_url, raise_error, read_tokens
from core.connections.oauth.http_edge import Answer, OAuthHttp
from core.connections.oauth.metadata import MOST_SCOPES, AuthorizationServer
from core.connections.oauth.registration import register
from core.connections.oauth.server import OAuthServer

SERVER = OAuthServer("mail", "https://m.example/mcp")
GOOD: dict[str, Any] = {
    "issuer": "https://a.example",
    "authorization_endpoint": "https://a.example/a",
    "token_endpoint": "https://a.example/t",
    "registration_endpoint": "https://a.example/r",
    "code_challenge_methods_supported": ["S256"],
}
PLACE = LoginPlace(AuthorizationServer.model_validate(GOOD), SERVER.resource, ())
NOW = datetime(2026, 11, 27, tzinfo=UTC)
DEEP = b"[" * 200_000
NUMBERS = (
    "0",
    "-1e12",
    "9999999999999",
    "253402300800",
    "1e400",
    "-1e400",
    "NaN",
    "1" * 5000,
    "null",
    "true",
    '"never"',
)

ADDRESSES = st.sampled_from(
    [
        "https://[as.example",
        "https://a.example:99999",
        "https://a.example:x",
        "https://m.example:99999/mcp",
        "\x00https://a.example",
        "https://a.example\x00",
        "https://ä.example",
        "https://u:p@a.example",
        "https://",
        "//",
        "javascript:alert(1)",
        "https://a.example",
        "https://m.example/mcp",
    ]
)
VALUES = st.recursive(
    ADDRESSES | st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = (
    *GOOD,
    "resource",
    "authorization_servers",
    "scopes_supported",
    "token_endpoint_auth_methods_supported",
    "access_token",
    "token_type",
    "expires_in",
    "refresh_token",
    "scope",
    "error",
    "client_id",
    "client_secret",
    "client_secret_expires_at",
    "token_endpoint_auth_method",
)
USUAL: dict[str, Any] = {
    **GOOD,
    "resource": SERVER.url,
    "authorization_servers": ["https://a.example"],
    "access_token": "t",
    "client_id": "c",
}
CHANGED = st.dictionaries(st.sampled_from(NAMES), VALUES | st.lists(ADDRESSES, max_size=3), max_size=4).map(
    lambda members: json.dumps({**USUAL, **members}).encode()
)
BODIES = (
    CHANGED | st.binary(max_size=64) | VALUES.map(lambda value: json.dumps(value).encode()) | st.just(DEEP)
)
STATUSES = st.sampled_from([200, 201, 204, 301, 400, 401, 404, 429, 500, 599])


class Answers(OAuthHttp):
    """The same answer to everything; the addresses are checked as far as that needs no network."""

    def __init__(self, answer: Answer) -> None:
        async def nobody(host: str, port: int) -> list[str]:
            return []

        super().__init__(resolve=nobody)
        self.answer = answer

    async def get(self, url: str, server: OAuthServer) -> Answer:
        with suppress(OAuthFailed):
            await super().get(url, server)
        return self.answer

    async def post_json(
        self,
        url: str,
        server: OAuthServer,
        members: Mapping[str, object],
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        with suppress(OAuthFailed):
            await super().post_json(url, server, members, headers)
        return self.answer


@given(
    STATUSES,
    BODIES,
    st.text(st.characters(max_codepoint=255), max_size=40)
    | ADDRESSES.map("Bearer resource_metadata={}".format),
)
async def test_no_answer_raises_anything_but_a_failed_login(status: int, body: bytes, challenge: str) -> None:
    http = Answers(Answer(status, body, challenge))
    bearer_challenge(challenge)
    with suppress(OAuthFailed):
        place = await discover(http, SERVER)
        found = place.authorization_server
        # What is stored as text, and sent to the browser.
        assert "\x00" not in found.issuer + "".join(place.scopes)
        names = {"redirect_uri": "https://s.example/back", "state": "s", "verifier": "v"}
        authorization_url(found, "me", resource=place.resource, scopes=place.scopes, **names)
    with suppress(OAuthFailed):
        client, _ = await register(http, SERVER, PLACE, name="Shop", redirect_uri="https://s.example/back")
        assert client.client_id.isprintable()
        assert client.client_id.isascii()
    with suppress(OAuthFailed):
        raise_error(status, body)
    with suppress(OAuthFailed):
        read_tokens(status, body, NOW)


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number[:20])
async def test_the_end_of_a_secret_that_no_calendar_has_is_never(number: str) -> None:
    http = Answers(Answer(201, f'{{"client_id": "c", "client_secret_expires_at": {number}}}'.encode()))
    if number in ('"never"', "1" * 5000):
        with suppress(OAuthFailed):
            await register(http, SERVER, PLACE, name="Shop", redirect_uri="https://s.example/back")
        return

    _, ends = await register(http, SERVER, PLACE, name="Shop", redirect_uri="https://s.example/back")

    assert ends in (None, datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC))


def test_an_error_without_end_is_told_by_its_status() -> None:
    with pytest.raises(OAuthFailed, match="HTTP 500") as failed:
        raise_error(500, DEEP)
    assert failed.value.kind == "unreachable"


@pytest.mark.parametrize("first", ["https://[as.example", "https://b.example:99999", "\x00https://b.example"])
async def test_a_good_authorization_server_is_found_after_one_that_is_none(first: str) -> None:
    class World(Answers):
        async def get(self, url: str, server: OAuthServer) -> Answer:
            if "protected-resource" in url:
                return Answer(
                    200, json.dumps({**USUAL, "authorization_servers": [first, "https://a.example"]}).encode()
                )
            return Answer(200, json.dumps(GOOD).encode()) if "a.example" in url else Answer(404, b"")

    assert (
        await discover(World(Answer(401, b"")), SERVER)
    ).authorization_server.issuer == "https://a.example"


@pytest.mark.parametrize("host", ["mcp-s\u00e9rver.example", "m example", "-"])
async def test_an_address_of_the_profile_that_cannot_be_asked_is_told(host: str) -> None:
    with pytest.raises(OAuthFailed) as failed:
        await OAuthHttp().get("https://a.example/", OAuthServer("mail", f"https://{host}/mcp"))
    assert failed.value.kind in ("unusable", "unreachable")


async def test_a_resource_that_is_no_address_is_told() -> None:
    body = json.dumps({**USUAL, "resource": "https://m.example:99999/mcp"}).encode()
    with pytest.raises(OAuthFailed, match="address that is none") as failed:
        await discover(Answers(Answer(200, body)), SERVER)
    assert failed.value.kind == "unusable"


async def test_scopes_that_are_none_are_not_asked_for_and_a_list_has_an_end() -> None:
    many = ["a b", "\x00", "é", '"', "ok", *(f"s{number}" for number in range(1000))]
    body = json.dumps({**USUAL, "scopes_supported": many}).encode()

    scopes = (await discover(Answers(Answer(200, body)), SERVER)).scopes

    assert (scopes[0], len(scopes)) == ("ok", MOST_SCOPES)
