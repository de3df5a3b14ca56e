"""The requests to token and revocation endpoints: a code for tokens, new tokens for old ones, the end of a grant."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from core.connections.oauth.failures import OAuthFailed
from core.connections.oauth.grants import (
    Grant,
    OAuthClient,
    Tokens,
    code_form,
    raise_error,
    read_tokens,
    refresh_form,
    with_client,
)
from core.connections.oauth.http_edge import OAuthHttp
from core.connections.oauth.server import OAuthServer

log = structlog.get_logger(__name__)

_WITHDRAW_SECONDS = 3.0
"""A user who disconnects or connects does not wait longer for another service."""
Clock = Callable[[], datetime]


def now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


async def exchange_code(
    http: OAuthHttp,
    server: OAuthServer,
    *,
    token_endpoint: str,
    client: OAuthClient,
    code: str,
    redirect_uri: str,
    verifier: str,
    resource: str,
    clock: Clock = now,
) -> Tokens:
    """Take the tokens for a code. A code works once.

    Raises:
        OAuthFailed: There are no tokens.
    """
    form = code_form(code=code, redirect_uri=redirect_uri, verifier=verifier, resource=resource)
    return await _tokens(http, server, token_endpoint, client, form, clock)


async def refresh(
    http: OAuthHttp, server: OAuthServer, grant: Grant, *, clock: Clock = now
) -> tuple[Grant, datetime | None]:
    """Take new tokens. The old refresh token may be worth nothing afterwards: the new grant must be stored.

    Returns:
        The new grant, and when its access token ends.

    Raises:
        OAuthFailed: ``invalid-grant``: the user has to log in again. ``unreachable``: later.
    """
    client = _client_of(server, grant)
    form = refresh_form(grant.refresh_token or "", grant.resource)
    tokens = await _tokens(http, server, grant.token_endpoint, client, form, clock)
    renewed = dataclasses.replace(
        grant,
        access_token=tokens.access_token,
        # RFC 6749, section 6: without a new one, the old one stays good.
        refresh_token=tokens.refresh_token or grant.refresh_token,
        scope=tokens.scope or grant.scope,
    )
    return renewed, tokens.expires_at


async def revoke(http: OAuthHttp, server: OAuthServer, grant: Grant) -> None:
    """End a grant at the authorization server, if that is possible there. Source: RFC 7009.

    Raises:
        OAuthFailed: It did not take the request.
    """
    if grant.revocation_endpoint is None:
        return
    # The end of the refresh token ends the access tokens, too; the other way round is not promised.
    token, kind = (
        (grant.refresh_token, "refresh_token")
        if grant.refresh_token
        else (grant.access_token, "access_token")
    )
    headers, form = with_client(_client_of(server, grant), {"token": token, "token_type_hint": kind})
    answer = await http.post_form(grant.revocation_endpoint, server, form, headers)
    raise_error(answer.status, answer.body)


async def withdraw(http: OAuthHttp, server: OAuthServer, grant: Grant) -> bool:
    """End a grant that nobody uses any more, if that is possible soon. Failures are logged only.

    Returns:
        Whether the authorization server has taken it back.
    """
    try:
        async with asyncio.timeout(_WITHDRAW_SECONDS):
            await revoke(http, server, grant)
    except (OAuthFailed, TimeoutError) as exc:
        reason = exc.words if isinstance(exc, OAuthFailed) else type(exc).__name__
        log.warning("oauth_grant_not_withdrawn", server=server.name, reason=reason)
        return False
    return grant.revocation_endpoint is not None


def may_withdraw(old: Grant, new: Grant | None) -> bool:
    """Return whether the end of an old grant leaves the new one alone.

    An authorization server may end everything that a user has granted to a client when one token is withdrawn (RFC 7009,
    section 2.1), and several do: then the end of the old login would be the end of the new one.
    """
    return new is None or (old.issuer, old.client_id) != (new.issuer, new.client_id)


def _client_of(server: OAuthServer, grant: Grant) -> OAuthClient:
    client = grant.client
    if server.client_secret and server.is_given_client(client.client_id, grant.issuer):
        # The operator may have replaced the secret since. It goes nowhere but to the issuer that the profile names.
        return dataclasses.replace(client, client_secret=server.client_secret)
    return client


async def _tokens(
    http: OAuthHttp,
    server: OAuthServer,
    endpoint: str,
    client: OAuthClient,
    form: dict[str, str],
    clock: Clock,
) -> Tokens:
    began = clock()
    headers, sent = with_client(client, form)
    answer = await http.post_form(endpoint, server, sent, headers)
    try:
        return read_tokens(answer.status, answer.body, began)
    except OAuthFailed as exc:
        # The token endpoint that was there before says that it is not: no user can mend that by logging in again.
        if exc.kind == "refused" and answer.status in (404, 405, 410):
            raise OAuthFailed("unreachable", exc.words) from None
        raise
