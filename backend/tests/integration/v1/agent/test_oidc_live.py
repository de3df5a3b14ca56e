"""The whole service behind a real OpenID Connect provider: Authlib's, with logins, machines and keys that change."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from authlib.integrations.httpx_client import AsyncOAuth2Client
from joserfc import jwt
from joserfc.jws import JWSRegistry
from tests.support.limits import HUNG_SECONDS
from tests.support.oidc_provider import AUDIENCE, REDIRECT, OidcProvider, new_key, serve_provider
from tests.support.stack import BASE, EventStream, OpenStack, Stack

from core.tokens.key_source import KeySource
from v1.agent.open_streams import SIGNER_WITHDRAWN

# RFC 9864 calls it Ed25519; providers sign, and this service checks, by the older name.
pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated via RFC 9864")
ACCEPT = {"Accept": "text/event-stream"}
_VERIFIER = "a-verifier-of-at-least-forty-three-characters-"


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[OidcProvider]:
    # Both sides of Authlib ask for https, except on this machine when told so.
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    with serve_provider() as served:
        yield served


@pytest.fixture
async def stack(open_stack: OpenStack, provider: OidcProvider) -> AsyncIterator[Stack]:
    identity = {"jwt_secret": "", "oidc_issuer": provider.url, "jwt_audience": AUDIENCE}
    async with open_stack(identity=identity) as opened:
        yield opened


def source_of(stack: Stack) -> KeySource:
    """Return what the API process keeps of the provider's keys."""
    tokens = stack.apis[0].app.state.container.authenticator._tokens
    assert tokens is not None
    return tokens.source


async def fetched_again(stack: Stack) -> None:
    """Have the keys fetched, as their time would."""
    source = source_of(stack)
    await source._begin_fetch()


async def for_machine(provider: OidcProvider, scope: str = "run read") -> str:
    """Return the token that the robot gets."""
    robot = provider.clients["robot"]
    oauth: Any = AsyncOAuth2Client(
        robot.client_id, robot.secret, token_endpoint_auth_method="client_secret_basic", trust_env=False
    )
    async with oauth as client:
        token = await client.fetch_token(
            f"{provider.url}/token", grant_type="client_credentials", scope=scope
        )
    return token["access_token"]


async def for_ada(provider: OidcProvider) -> dict[str, Any]:
    """Return the tokens that the app gets when Ada logs in: authorization code, PKCE, nonce."""
    app = provider.clients["app"]
    oauth: Any = AsyncOAuth2Client(
        app.client_id,
        app.secret,
        redirect_uri=REDIRECT,
        scope="openid profile",
        code_challenge_method="S256",
        trust_env=False,
    )
    async with oauth as client:
        url, state = client.create_authorization_url(
            f"{provider.url}/authorize", code_verifier=_VERIFIER, nonce="once"
        )
        async with httpx.AsyncClient(trust_env=False) as browser:
            back = await browser.get(url)
        assert back.status_code == 302, back.text
        return await client.fetch_token(
            f"{provider.url}/token",
            authorization_response=back.headers["location"],
            state=state,
            code_verifier=_VERIFIER,
        )


async def ask(stack: Stack, token: str, path: str = "/threads", method: str = "GET", **more: Any) -> Any:
    async with httpx.AsyncClient(trust_env=False, timeout=HUNG_SECONDS) as client:
        return await client.request(
            method, f"{stack.apis[0].url}{BASE}{path}", headers={"Authorization": f"Bearer {token}"}, **more
        )


async def test_a_user_who_logs_in_has_a_conversation(stack: Stack, provider: OidcProvider) -> None:
    tokens = await for_ada(provider)
    body = stack.run_body("hello", thread=stack.new_id("thread"))

    assert (await ask(stack, tokens["access_token"], "/runs", "POST", json=body)).status_code == 202
    await stack.ended(body["threadId"])
    (row,) = await stack.fetch(
        "SELECT tenant_id, user_id FROM agent_chat_session WHERE thread_id = $1", body["threadId"]
    )
    assert (row["tenant_id"], row["user_id"]) == ("acme", "ada")
    # The ID token is for the app: its audience is another.
    refused = await ask(stack, tokens["id_token"])
    assert (refused.status_code, refused.json()["detail"]) == (401, "The token is for another audience.")


async def test_a_machine_has_the_scopes_that_it_asked_for(stack: Stack, provider: OidcProvider) -> None:
    reader = await for_machine(provider, "read")

    assert (await ask(stack, reader)).status_code == 200
    body = stack.run_body("hello")
    refused = await ask(stack, reader, "/runs", "POST", json=body)
    assert (refused.status_code, refused.json()["scope"]) == (403, "run")
    assert (await ask(stack, await for_machine(provider, "admin"), "/keys")).status_code == 200


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_a_rotation_logs_nobody_out(stack: Stack, provider: OidcProvider, algorithm: str) -> None:
    before = await for_machine(provider)
    assert (await ask(stack, before)).status_code == 200
    source = source_of(stack)
    asked = provider.asked["/keys"]
    # Long enough ago for another question about a key that is not known.
    source._asked_at = None

    provider.rotate("second", algorithm)
    after = await for_machine(provider)
    assert (await ask(stack, after)).status_code == 200
    assert (await ask(stack, before)).status_code == 200
    assert provider.asked["/keys"] == asked + 1

    # A storm of unknown keys asks nobody within ten seconds.
    for number in range(20):
        stranger = new_key(f"stranger-{number}", algorithm)
        forged = signed(provider, stranger, kid=f"stranger-{number}")
        assert (await ask(stack, forged)).status_code == 401
    assert provider.asked["/keys"] == asked + 1

    provider.withdraw("first")
    await fetched_again(stack)
    assert (await ask(stack, before)).status_code == 401
    assert (await ask(stack, after)).status_code == 200


async def test_while_the_provider_is_down_its_keys_are_kept(stack: Stack, provider: OidcProvider) -> None:
    token, other = await for_machine(provider), await for_machine(provider, "read")
    assert (await ask(stack, token)).status_code == 200
    provider.is_down = True
    await fetched_again(stack)

    assert source_of(stack)._failures == 1
    # Also a token that nobody has seen yet.
    assert (await ask(stack, other)).status_code == 200


async def test_a_withdrawn_key_ends_the_streams_and_the_tickets_of_its_tokens(
    stack: Stack, provider: OidcProvider
) -> None:
    old = await for_machine(provider)
    provider.rotate("second", "ES256")
    source_of(stack)._asked_at = None
    new = await for_machine(provider)
    thread = stack.new_id("thread")
    run = stack.run_body("hello", thread=thread)
    assert (await ask(stack, new, "/runs", "POST", json=run)).status_code == 202
    await stack.ended(thread)
    place = f"/events?threadId={thread}"
    ticket = (await ask(stack, old, "/events/ticket", "POST", json={"threadId": thread})).json()["eventsUrl"]

    async with (
        opened(f"{stack.apis[0].url}{BASE}{place}", old) as first,
        opened(f"{stack.apis[0].url}{ticket}", None) as by_ticket,
        opened(f"{stack.apis[0].url}{BASE}{place}", new) as other,
    ):
        for stream in (first, by_ticket, other):
            await stream.until("RUN_FINISHED")
        provider.withdraw("first")
        await fetched_again(stack)

        assert await last_words(first) == SIGNER_WITHDRAWN
        assert await last_words(by_ticket) == SIGNER_WITHDRAWN
        # The stream of the other token goes on.
        again = stack.run_body("hello again", thread=thread)
        assert (await ask(stack, new, "/runs", "POST", json=again)).status_code == 202
        await other.until("RUN_FINISHED", runId=again["runId"])
    async with httpx.AsyncClient(trust_env=False) as client:
        refused = await client.get(f"{stack.apis[0].url}{ticket}")
    assert (refused.status_code, refused.json()["code"]) == (401, "ticket-invalid")


async def test_a_token_cannot_choose_how_it_is_checked(stack: Stack, provider: OidcProvider) -> None:
    claims = claims_of(provider)
    (published,) = (await keys_of(provider))["keys"]
    public = provider.keys["first"].as_pem(private=False)
    head = part({"alg": "HS256", "kid": "first"})
    mac = hmac.new(public, f"{head}.{part(claims)}".encode(), hashlib.sha256).digest()
    own = new_key("own", "RS256")
    forged = {
        "hmac with the public key": f"{head}.{part(claims)}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}",
        "none": f"{part({'alg': 'none', 'kid': 'first'})}.{part(claims)}.",
        "jwk": signed(provider, own, kid="first", jwk=own.as_dict(private=False)),
        "jku": signed(provider, own, kid="first", jku=f"{provider.url}/other-keys"),
        "x5u": signed(provider, own, kid="first", x5u=f"{provider.url}/other-keys"),
    }
    assert published["kid"] == "first"
    for name, token in forged.items():
        refused = await ask(stack, token)
        assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated"), name
    assert provider.asked["/other-keys"] == 0
    provider.lasts_seconds = 86_401
    too_long = await ask(stack, await for_machine(provider))
    assert (too_long.status_code, "lifetime exceeds" in too_long.json()["detail"]) == (401, True)


def claims_of(provider: OidcProvider) -> dict[str, Any]:
    now = int(time.time())
    return {"iss": provider.url, "aud": AUDIENCE, "sub": "ada", "iat": now, "exp": now + 60}


def signed(provider: OidcProvider, key: Any, **headers: Any) -> str:
    head = {"alg": key.alg, **headers}
    registry = JWSRegistry(algorithms=[key.alg], strict_check_header=False)
    return jwt.encode(head, claims_of(provider), key, registry=registry)


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


async def keys_of(provider: OidcProvider) -> Any:
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.get(f"{provider.url}/keys")).json()


@asynccontextmanager
async def opened(url: str, token: str | None) -> AsyncIterator[EventStream]:
    headers = ACCEPT | ({} if token is None else {"Authorization": f"Bearer {token}"})
    async with (
        httpx.AsyncClient(timeout=HUNG_SECONDS, trust_env=False) as client,
        client.stream("GET", url, headers=headers) as response,
    ):
        assert response.status_code == 200, await response.aread()
        yield EventStream(response)


async def last_words(stream: EventStream) -> bytes:
    """Read a stream to its end; returns its last two blocks."""
    async with asyncio.timeout(HUNG_SECONDS):
        body = stream.body + b"".join([chunk async for chunk in stream._chunks])
    return b"\n\n".join(body.split(b"\n\n")[-3:])
