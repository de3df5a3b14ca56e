"""Who is calling, and who is refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
import pytest

from core.config import IdentitySettings, ServerSettings
from core.errors import ConfigurationError, Forbidden, InvalidToken, Unauthenticated
from core.identity import LOCAL, Authenticator, Principal

SECRET = "a-secret-of-more-than-thirty-two-bytes"


def authenticator(**settings: Any) -> Authenticator:
    return Authenticator(IdentitySettings(jwt_secret=SECRET, **settings), server=ServerSettings())  # pyright: ignore[reportArgumentType]


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    return {"sub": "ada", "iat": now, "exp": now + 3600} | changes


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in claims().items() if key != name}


def token(payload: dict[str, Any], *, secret: str = SECRET, algorithm: str = "HS256", **header: Any) -> str:
    return jwt.encode(payload, secret, algorithm=algorithm, headers=header)


def bearer(text: str) -> dict[str, str]:
    return {"authorization": f"Bearer {text}"}


async def reason(text: str, **settings: Any) -> str:
    with pytest.raises(InvalidToken) as caught:
        await authenticator(**settings).authenticate(bearer(text))
    assert text not in caught.value.detail
    return caught.value.detail


# --- jwt ---


async def test_a_good_token_names_its_owner() -> None:
    assert await authenticator().authenticate(bearer(token(claims()))) == Principal("default", "ada")
    tenant = await authenticator().authenticate({"authorization": f"bearer  {token(claims(tenant='acme'))} "})
    assert tenant == Principal("acme", "ada")


@pytest.mark.parametrize(
    ("named", "kept"),
    [((), None), (("groups", "absent"), {"groups": ["staff"]})],
    ids=["none by default", "what the operator names"],
)
async def test_of_the_claims_only_what_is_named_is_kept(named: tuple[str, ...], kept: Any) -> None:
    payload = claims(groups=["staff"], email="ada@example.org")

    principal = await authenticator(claims=named).authenticate(bearer(token(payload)))

    assert principal.kept_claims == kept
    assert "ada@example.org" not in repr(principal)


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic YTpi", "Token abc"])
async def test_no_bearer_token_is_unauthenticated(header: str | None) -> None:
    headers = {} if header is None else {"authorization": header}

    with pytest.raises(Unauthenticated) as caught:
        await authenticator().authenticate(headers)
    assert not isinstance(caught.value, InvalidToken)


@pytest.mark.parametrize("name", ["exp", "iat", "sub"])
async def test_required_claims(name: str) -> None:
    assert "lacks a required claim" in await reason(token(without(name)))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"aud": "another-service"}, "another audience"),
        ({"exp": "soon"}, "malformed"),
        ({"exp": float("inf")}, "malformed"),
        ({"exp": 10**400}, "malformed"),
        ({"exp": "9" * 400}, "lifetime exceeds"),
        ({"iat": -(10**400)}, "malformed"),
        ({"nbf": 10**400}, "not valid yet"),
        ({"exp": [1]}, "malformed"),
        ({"iat": None}, "lacks a required claim"),
        ({"sub": ""}, "sub"),
        ({"sub": 7}, "malformed"),
        ({"sub": "a" * 129}, "sub"),
        ({"sub": "ada\n"}, "sub"),
        ({"sub": "a\x00da"}, "sub"),
        ({"sub": "ada\u202e"}, "sub"),
        ({"tenant": ""}, "tenant"),
        ({"tenant": None}, "tenant"),
        ({"tenant": ["acme"]}, "tenant"),
        ({"tenant": "a\tb"}, "tenant"),
    ],
    ids=str,
)
async def test_claims_that_do_not_hold(changes: dict[str, Any], expected: str) -> None:
    assert expected in await reason(token(claims(**changes)))


@pytest.mark.parametrize(
    ("hours", "expected"),
    [
        ({"iat": -2, "exp": -1}, "expired"),
        ({"iat": 1, "exp": 2}, "not valid yet"),
        ({"nbf": 1}, "not valid yet"),
        ({"exp": 10 * 24}, "lifetime exceeds"),
    ],
    ids=str,
)
async def test_times_that_do_not_hold(hours: dict[str, int], expected: str) -> None:
    times = {claim: time.time() + 3600 * distance for claim, distance in hours.items()}

    assert expected in await reason(token(claims(**times)))


async def test_a_little_clock_skew_is_forgiven() -> None:
    now = time.time()
    late = token(claims(iat=now - 100, exp=now - 5))

    assert await authenticator(leeway_seconds=30).authenticate(bearer(late))
    assert "expired" in await reason(late, leeway_seconds=0)


async def test_issuer_and_audience_are_required_once_configured() -> None:
    settings = {"jwt_issuer": "https://id.example", "jwt_audience": "agentroute"}
    good = token(claims(iss="https://id.example", aud="agentroute"))

    assert await authenticator(**settings).authenticate(bearer(good))
    assert "another issuer" in await reason(
        token(claims(iss="https://evil.example", aud="agentroute")), **settings
    )
    assert "another audience" in await reason(token(claims(iss="https://id.example", aud="x")), **settings)
    assert "lacks" in await reason(token(claims(aud="agentroute")), **settings)
    assert "lacks" in await reason(token(claims(iss="https://id.example")), **settings)


def unsigned(algorithm: str) -> str:
    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': algorithm, 'typ': 'JWT'})}.{part(claims())}."


def signed_as(header_text: bytes) -> str:
    """A token whose header is any text, with a good signature."""
    head = base64.urlsafe_b64encode(header_text).rstrip(b"=")
    body = base64.urlsafe_b64encode(json.dumps(claims()).encode()).rstrip(b"=")
    signature = hmac.new(SECRET.encode(), head + b"." + body, hashlib.sha256).digest()
    return b".".join([head, body, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


async def test_the_token_cannot_choose_how_it_is_checked() -> None:
    assert "algorithm" in await reason(unsigned("none"))
    assert "algorithm" in await reason(unsigned("RS256"))
    assert "algorithm" in await reason(token(claims(), secret=SECRET * 2, algorithm="HS512"))
    assert "signature" in await reason(token(claims(), secret="another-secret-of-thirty-two-bytes-or-so"))
    # A key that travels with the token is nobody's.
    own_key = {
        "kty": "oct",
        "k": base64.urlsafe_b64encode(b"another-secret-of-thirty-two-bytes-or-so").decode(),
    }
    stranger = token(claims(), secret="another-secret-of-thirty-two-bytes-or-so", jwk=own_key)
    assert "signature" in await reason(stranger)


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "a.b.c",
        "..",
        "....",
        "é.é.é",
        signed_as(b"[]"),
        signed_as(b"{" * 2000),
        signed_as(b"\xff"),
        "a" * 9000,
    ],
    ids=lambda text: text[:12],
)
async def test_anything_else_is_malformed_and_never_an_exception_of_another_kind(text: str) -> None:
    await reason(text)


# --- start ---


def test_jwt_without_a_secret_does_not_start() -> None:
    with pytest.raises(ConfigurationError, match="AGENT_IDENTITY__JWT_SECRET") as caught:
        Authenticator(IdentitySettings(mode="jwt"), server=ServerSettings())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "host",
    [
        "0.0.0.0",  # noqa: S104  the point of the test
        "::",
        "192.168.1.5",
        "example.com",
        "",
    ],
)
def test_local_mode_does_not_start_where_others_can_reach_it(host: str) -> None:
    with pytest.raises(ConfigurationError, match="AGENT_SERVER__HOST") as caught:
        Authenticator(IdentitySettings(mode="local"), server=ServerSettings(host=host))
    assert "\n" not in str(caught.value)

    # The same of the port of operators, whose routes are the most powerful ones.
    with pytest.raises(ConfigurationError, match="AGENT_SERVER__ADMIN_HOST"):
        Authenticator(IdentitySettings(mode="local"), server=ServerSettings(admin_port=9001, admin_host=host))


# --- local ---


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
async def test_local_mode_makes_everybody_one_user(host: str) -> None:
    local = Authenticator(IdentitySettings(mode="local"), server=ServerSettings(host=host))

    assert await local.authenticate({"host": "localhost:8000"}) == LOCAL
    assert await local.authenticate({"host": "127.0.0.1"}) == LOCAL
    assert await local.authenticate({"host": "[::1]:8000", "origin": "http://localhost:5173"}) == LOCAL


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"host": "rebound.example:8000"},
        {"host": "localhost.example"},
        {"host": "127.0.0.1:8000", "origin": "https://evil.example"},
        {"host": "127.0.0.1:8000", "origin": "null"},
        {"host": "[::1"},
        {"host": ""},
        # What a parser of URLs would read as 127.0.0.1.
        {"host": "evil.example@127.0.0.1"},
        {"host": "evil.example:80@127.0.0.1:8000"},
        {"host": "127.0.0.1/evil.example"},
        {"host": "127.0.0.1#evil.example"},
        {"host": "127.0.0.1?evil.example"},
        {"host": "127.0.0.1\\evil.example"},
        {"host": "local\thost"},
        {"host": "127.0.0.1, evil.example"},
        {"host": "127.0.0.1:8000:8000"},
        {"host": "127.0.0.1", "origin": ""},
        {"host": "127.0.0.1", "origin": "http://evil.example@localhost"},
        {"host": "127.0.0.1", "origin": "http://localhost/evil.example"},
        {"host": "127.0.0.1", "origin": "//localhost"},
        {"host": "127.0.0.1", "origin": "localhost"},
        {"host": "127.0.0.1", "origin": "http://localhost.evil.example"},
    ],
    ids=str,
)
async def test_local_mode_refuses_what_a_foreign_page_sends(headers: dict[str, str]) -> None:
    local = Authenticator(IdentitySettings(mode="local"), server=ServerSettings())

    with pytest.raises(Forbidden):
        await local.authenticate(headers)


@pytest.mark.parametrize("origin", ["*", "null", "NULL", " * "])
async def test_local_mode_does_not_start_with_origins_of_anybody(origin: str) -> None:
    server = ServerSettings(cors_origins=("https://app.example", origin))

    with pytest.raises(ConfigurationError, match="AGENT_SERVER__CORS_ORIGINS") as caught:
        Authenticator(IdentitySettings(mode="local"), server=server)
    assert "\n" not in str(caught.value)
    # With tokens a page has to bring one.
    Authenticator(IdentitySettings.model_validate({"jwt_secret": SECRET}), server=server)


@pytest.mark.parametrize("origin", ["http://box.example", "https://box.example:8443", "https://box.example/"])
async def test_a_configured_origin_is_one_origin_not_all_of_its_host(origin: str) -> None:
    server = ServerSettings(cors_origins=("https://box.example",))
    local = Authenticator(IdentitySettings(mode="local"), server=server)

    with pytest.raises(Forbidden):
        await local.authenticate({"host": "127.0.0.1", "origin": origin})


async def test_local_mode_accepts_configured_origins() -> None:
    server = ServerSettings(cors_origins=("https://box-8000.preview.example",))
    local = Authenticator(IdentitySettings(mode="local"), server=server)
    headers = {"host": "box-8000.preview.example", "origin": "https://box-8000.preview.example"}

    assert await local.authenticate(headers) == LOCAL
