"""Requests to authorization servers and what their answers mean: PKCE, the code, refreshes. Pure functions, no I/O."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Literal
from urllib.parse import parse_qsl, quote_plus, urlencode, urlsplit, urlunsplit

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.connections.oauth.failures import FailureKind, OAuthFailed
from core.connections.oauth.metadata import AuthorizationServer

ClientAuth = Literal["none", "client_secret_basic", "client_secret_post"]
_LONGEST = timedelta(days=3650)
_ERROR_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_KINDS: dict[str, FailureKind] = {
    "invalid_grant": "invalid-grant",
    "invalid_client": "invalid-client",
    "unauthorized_client": "invalid-client",
    "temporarily_unavailable": "unreachable",
    "server_error": "unreachable",
    "slow_down": "unreachable",
}


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """This service, as an authorization server knows it."""

    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    auth: ClientAuth = "none"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a user has granted, and everything that a refresh needs. All of it is sealed before it is stored."""

    access_token: str = field(repr=False)
    issuer: str
    token_endpoint: str
    resource: str
    client_id: str
    refresh_token: str | None = field(default=None, repr=False)
    revocation_endpoint: str | None = None
    scope: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    client_auth: ClientAuth = "none"

    def to_json(self) -> str:
        """Return the form that is sealed."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Grant:
        """Return the grant of :meth:`to_json`, also of an older version of this class.

        Raises:
            ValueError: It is something else.
        """
        try:
            return cls(**json.loads(text))
        except TypeError as exc:
            raise ValueError("this is not a grant") from exc

    @property
    def client(self) -> OAuthClient:
        """The client to which the grant was given."""
        return OAuthClient(self.client_id, self.client_secret, self.client_auth)


class _TokenAnswer(BaseModel):
    model_config = ConfigDict(extra="ignore", defer_build=True)

    # What is sent as a header, and nothing that could begin another one.
    access_token: str = Field(pattern=r"^[\x21-\x7e]{1,16384}$")
    token_type: str = "Bearer"  # noqa: S105  the name of a scheme
    expires_in: float | None = None
    refresh_token: str | None = Field(default=None, max_length=16384)
    scope: str | None = None


@dataclass(frozen=True, slots=True)
class Tokens:
    """What an authorization server has given."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    expires_at: datetime | None
    """``None``: the server does not say."""
    scope: str | None


def new_secret() -> str:
    """Return 256 random bits, for a state, a code verifier or the address of a login."""
    return secrets.token_urlsafe(32)


def s256(verifier: str) -> str:
    """Return the code challenge of a verifier. Source: RFC 7636, section 4.2."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def authorization_url(
    found: AuthorizationServer,
    client_id: str,
    *,
    redirect_uri: str,
    state: str,
    verifier: str,
    resource: str,
    scopes: tuple[str, ...],
) -> str:
    """Return where the user's browser goes to log in. Source: RFC 6749, section 4.1.1; RFC 7636; RFC 8707."""
    parts = urlsplit(found.authorization_endpoint)
    query = parse_qsl(parts.query, keep_blank_values=True)
    query += [
        ("response_type", "code"),
        ("client_id", client_id),
        ("redirect_uri", redirect_uri),
        ("state", state),
        ("code_challenge", s256(verifier)),
        ("code_challenge_method", "S256"),
        ("resource", resource),
    ]
    if scopes:
        query.append(("scope", " ".join(scopes)))
    if "offline_access" in scopes:
        # OpenID Connect Core, section 11: without the question, the scope is ignored.
        query.append(("prompt", "consent"))
    return urlunsplit((parts.scheme, parts.netloc, parts.path, urlencode(query), ""))


def code_form(*, code: str, redirect_uri: str, verifier: str, resource: str) -> dict[str, str]:
    """Return the request that takes the tokens for a code."""
    return {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri,
        "code_verifier": verifier,
        "resource": resource,
    }


def refresh_form(refresh_token: str, resource: str) -> dict[str, str]:
    """Return the request for new tokens, with the scope that the user has granted."""
    return {"grant_type": "refresh_token", "refresh_token": refresh_token, "resource": resource}


def with_client(client: OAuthClient, form: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the headers and the form of a request that shows which client asks. Source: RFC 6749, section 2.3.1."""
    form = {**form, "client_id": client.client_id}
    if client.auth == "client_secret_post":
        return {}, {**form, "client_secret": client.client_secret or ""}
    if client.auth == "client_secret_basic":
        pair = f"{quote_plus(client.client_id)}:{quote_plus(client.client_secret or '')}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}, form
    return {}, form


def client_auth(methods: tuple[str, ...], *, has_secret: bool) -> ClientAuth:
    """Return how a client shows itself: the first of our ways that the server offers."""
    if not has_secret:
        return "none"
    return "client_secret_post" if "client_secret_basic" not in methods else "client_secret_basic"


def read_tokens(status: int, body: bytes, now: datetime) -> Tokens:
    """Return the tokens of an answer.

    Args:
        status: Of the answer.
        body: Of the answer.
        now: When the request began: a token ends earlier rather than later.

    Raises:
        OAuthFailed: The answer is an error, or nothing that can be used.
    """
    raise_error(status, body)
    try:
        found = _TokenAnswer.model_validate_json(body)
    except ValidationError:
        # Not chained: the message of the validation shows what was not valid, and that is a token.
        raise OAuthFailed(
            "unusable", "The authorization server's answer has no token that can be used."
        ) from None
    if found.token_type.lower() != "bearer":
        raise OAuthFailed(
            "unusable", "The authorization server gives tokens of a type that MCP does not have."
        )
    lasts = found.expires_in if found.expires_in and found.expires_in > 0 else None
    expires_at = None if lasts is None else now + min(timedelta(seconds=min(lasts, 1e9)), _LONGEST)
    return Tokens(found.access_token, found.refresh_token or None, expires_at, found.scope)


def raise_error(status: int, body: bytes) -> None:
    """Raise what an answer of a token, registration or revocation endpoint says; return if it is no error.

    Raises:
        OAuthFailed: With the server's own code, if it is one; never with its free text.
    """
    try:
        # Unlike `json`, this one has a limit for nested lists, and raises nothing but ValueError.
        answer = orjson.loads(body)
    except ValueError:
        answer = None
    code = answer.get("error") if isinstance(answer, dict) else None
    if isinstance(code, str) and _ERROR_CODE.fullmatch(code):
        kind = _KINDS.get(code, "refused")
        raise OAuthFailed(kind, f"The authorization server refused: {code}.")
    if status == 429 or status >= 500:
        raise OAuthFailed("unreachable", f"The authorization server answered with HTTP {status}.")
    if not 200 <= status < 300:
        raise OAuthFailed("refused", f"The authorization server answered with HTTP {status}.")
