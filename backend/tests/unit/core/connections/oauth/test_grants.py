from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from core.connections.oauth.failures import OAuthFailed
from core.connections.oauth.grants import (
    Grant,
    OAuthClient,
    authorization_url,
    client_auth,
    read_tokens,
    s256,
    with_client,
)
from core.connections.oauth.metadata import AuthorizationServer

NOW = datetime(2026, 11, 27, tzinfo=UTC)


def answer(**members: object) -> bytes:
    return json.dumps({"access_token": "canary-a", "token_type": "bearer", **members}).encode()


def test_the_challenge_is_the_one_of_the_standard() -> None:
    # RFC 7636, appendix B.
    assert (
        s256("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk") == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    )


def test_the_address_of_a_login_keeps_what_the_server_wrote_and_names_everything() -> None:
    found = AuthorizationServer(
        issuer="https://a.example",
        authorization_endpoint="https://a.example/o?tenant=t#part",
        token_endpoint="https://a.example/t",
    )

    url = authorization_url(
        found,
        "me",
        redirect_uri="https://s.example/back",
        state="s t",
        verifier="v",
        resource="https://m.example/mcp",
        scopes=("mail", "offline_access"),
    )

    parts = urlsplit(url)
    assert (parts.netloc, parts.path, parts.fragment) == ("a.example", "/o", "")
    assert parse_qs(parts.query) == {
        "tenant": ["t"],
        "response_type": ["code"],
        "client_id": ["me"],
        "redirect_uri": ["https://s.example/back"],
        "state": ["s t"],
        "code_challenge": [s256("v")],
        "code_challenge_method": ["S256"],
        "resource": ["https://m.example/mcp"],
        "scope": ["mail offline_access"],
        "prompt": ["consent"],
    }


@pytest.mark.parametrize(
    ("client", "headers", "members"),
    [
        (OAuthClient("a b"), {}, {"client_id": "a b"}),
        (
            OAuthClient("a:b", "c%d", "client_secret_basic"),
            {"Authorization": "Basic " + base64.b64encode(b"a%3Ab:c%25d").decode()},
            {"client_id": "a:b"},
        ),
        (OAuthClient("a", "c", "client_secret_post"), {}, {"client_id": "a", "client_secret": "c"}),
    ],
)
def test_a_client_shows_itself_as_the_server_wants(
    client: OAuthClient, headers: dict[str, str], members: dict[str, str]
) -> None:
    assert with_client(client, {"x": "y"}) == (headers, {"x": "y", **members})
    assert "client_secret=" not in repr(client)


def test_the_first_way_that_both_sides_have_is_taken() -> None:
    assert client_auth(("private_key_jwt", "client_secret_post"), has_secret=True) == "client_secret_post"
    assert client_auth((), has_secret=True) == "client_secret_post"
    assert client_auth(("client_secret_basic",), has_secret=False) == "none"


@pytest.mark.parametrize(
    ("members", "expires_at", "refresh_token"),
    [
        ({"expires_in": 60, "refresh_token": "r"}, NOW + timedelta(seconds=60), "r"),
        ({"expires_in": "3600"}, NOW + timedelta(hours=1), None),
        ({}, None, None),
        ({"expires_in": 0, "refresh_token": ""}, None, None),
        ({"expires_in": -1}, None, None),
        ({"expires_in": 1e300}, NOW + timedelta(days=3650), None),
    ],
)
def test_tokens_are_read(
    members: dict[str, object], expires_at: datetime | None, refresh_token: str | None
) -> None:
    found = read_tokens(200, answer(**members), NOW)

    assert (found.access_token, found.expires_at, found.refresh_token) == (
        "canary-a",
        expires_at,
        refresh_token,
    )
    assert "canary" not in repr(found)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, b'{"error": "invalid_grant", "error_description": "canary"}', "invalid-grant"),
        (401, b'{"error": "invalid_client"}', "invalid-client"),
        (401, b'{"error": "unauthorized_client"}', "invalid-client"),
        # Some answer errors with 200.
        (200, b'{"error": "invalid_grant"}', "invalid-grant"),
        (400, b'{"error": "invalid_target"}', "refused"),
        (400, b'{"error": "<canary>"}', "refused"),
        (403, b"canary", "refused"),
        (503, b'{"error": "temporarily_unavailable"}', "unreachable"),
        (500, b"canary", "unreachable"),
        (429, b"", "unreachable"),
        (200, b"<html>canary</html>", "unusable"),
        (200, b"[]", "unusable"),
        (200, answer(token_type="mac"), "unusable"),
        (200, b'{"access_token": "canary\\r\\nX: y"}', "unusable"),
        (200, b'{"access_token": ""}', "unusable"),
    ],
)
def test_answers_without_tokens_say_what_is_to_be_done_and_show_nothing(
    status: int, body: bytes, kind: str
) -> None:
    with pytest.raises(OAuthFailed) as failed:
        read_tokens(status, body, NOW)

    assert failed.value.kind == kind
    assert "canary" not in failed.value.words
    assert failed.value.__cause__ is None


def test_a_grant_is_the_same_after_it_was_stored_and_shows_nothing() -> None:
    grant = Grant(
        "canary-a",
        "https://a",
        "https://a/t",
        "https://m",
        "me",
        refresh_token="canary-r",
        client_secret="canary-s",
    )

    assert Grant.from_json(grant.to_json()) == grant
    assert "canary" not in repr(grant)
    with pytest.raises(ValueError, match="this is not a grant"):
        Grant.from_json('{"token": "x"}')
