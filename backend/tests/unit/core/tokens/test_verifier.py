"""Tokens of a real issuer with real keys: which count, and how a forged one is refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from tests.support.token_issuer import KEYS, METADATA, TokenIssuer, private_key, public_jwk, public_pem

from core.errors import InvalidToken
from core.identity_errors import IssuerUnavailable
from core.identity_settings import IdentitySettings
from core.tokens.issuer_http import fetch_keys
from core.tokens.key_source import KeySource
from core.tokens.verifier import TokenVerifier

OLD, NEW = "old-secret-of-more-than-thirty-two-bytes", "new-secret-of-more-than-thirty-two-bytes"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def reason(verifier: TokenVerifier, token: str) -> str:
    with pytest.raises(InvalidToken) as caught:
        await verifier.verify(token)
    assert token not in caught.value.detail
    return caught.value.detail


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


# --- public keys ---


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
@pytest.mark.parametrize("kid", ["k-1", None], ids=["named", "unnamed"])
async def test_a_token_of_the_issuer_counts(issuer: TokenIssuer, algorithm: str, kid: str | None) -> None:
    issuer.published = {"k-1": algorithm, "k-2": "RS256"}
    verifier = TokenVerifier(issuer.settings(), fetch_keys)

    found = await verifier.verify(
        issuer.token(kid, algorithm, tenant="acme", scope="read agent:sales", jti="t-1", groups=["staff"])
    )

    assert (found.tenant, found.user, found.token_id) == ("acme", "ada", "t-1")
    assert found.scopes == {"read", "agent:sales"}
    assert found.groups == {"staff"}


@pytest.mark.parametrize("source", ["jwks_url", "jwks_path"])
async def test_keys_of_an_address_or_a_file(issuer: TokenIssuer, source: str, tmp_path: Any) -> None:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps(issuer.document(KEYS)))
    place = {"jwks_url": f"{issuer.url}{KEYS}", "jwks_path": file}[source]
    settings = issuer.settings(oidc_issuer="", jwt_issuer=issuer.url, **{source: place})

    assert (await TokenVerifier(settings, fetch_keys).verify(issuer.token())).user == "ada"
    assert issuer.asked[METADATA] == 0


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"iss": "https://evil.example"}, "another issuer"),
        ({"aud": "another"}, "another audience"),
        *(({name: None}, "lacks a required claim") for name in ("iss", "aud", "exp", "iat", "sub")),
        ({"exp": 1}, "expired"),
        ({"iat": 4e9, "exp": 4e9 + 60}, "not valid yet"),
        ({"exp": 4e9}, "lifetime exceeds"),
        ({"sub": "a\nb"}, "sub"),
    ],
    ids=str,
)
async def test_what_a_token_must_say(issuer: TokenIssuer, changes: dict[str, Any], told: str) -> None:
    assert told in await reason(TokenVerifier(issuer.settings(), fetch_keys), issuer.token(**changes))


async def test_no_token_chooses_how_it_is_checked(issuer: TokenIssuer) -> None:
    issuer.published = {"k-1": "RS256", "e-1": "ES256"}
    verifier = TokenVerifier(issuer.settings(), fetch_keys)
    claims = part(issuer.claims())
    # The public key as the secret of an HMAC: PyJWT itself refuses to make such a token.
    head = part({"alg": "HS256", "kid": "k-1"})
    mac = hmac.new(public_pem("k-1", "RS256"), f"{head}.{claims}".encode(), hashlib.sha256).digest()
    confused = f"{head}.{claims}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
    curve = ec.generate_private_key(ec.SECP256K1())

    forged = {
        "hmac with the public key": confused,
        "none": f"{part({'alg': 'none', 'kid': 'k-1'})}.{claims}.",
        "None": f"{part({'alg': 'None', 'kid': 'k-1'})}.{claims}.",
        "another curve": jwt.encode(issuer.claims(), curve, algorithm="ES256K", headers={"kid": "e-1"}),
        "longer hash": issuer.token("k-1", "RS384", key=private_key("k-1", "RS256")),
        "no text": f"{part({'alg': ['RS256'], 'kid': 'k-1'})}.{claims}.",
    }
    for name, token in forged.items():
        assert "algorithm is not accepted" in await reason(verifier, token), name
    # The algorithm of another key of the issuer.
    crossed = issuer.token("k-1", "ES256", key=private_key("e-1", "ES256"))
    assert "key that its issuer does not have" in await reason(verifier, crossed)


async def test_a_token_cannot_bring_its_own_key(issuer: TokenIssuer) -> None:
    verifier = TokenVerifier(issuer.settings(), fetch_keys)
    own = private_key("mine", "RS256")
    headers: dict[str, Any] = {
        "jwk": public_jwk("mine", "RS256"),
        "jku": f"{issuer.url}/mine",
        "x5u": f"{issuer.url}/mine",
        "x5c": ["AA=="],
    }
    for kid in ("k-1", "mine"):
        token = jwt.encode(issuer.claims(), own, algorithm="RS256", headers=headers | {"kid": kid})
        assert await reason(verifier, token)
    assert issuer.asked.keys() == {METADATA, KEYS}


@pytest.mark.parametrize(
    "kid",
    ["../../etc/passwd", "' OR 1=1 --", "k-1\x00", "k-1 ", "K-1", "", "http://evil.example/k", "k" * 4000],
)
async def test_the_name_of_a_key_is_only_compared(issuer: TokenIssuer, kid: str) -> None:
    token = issuer.token(kid, "RS256", key=private_key("k-1", "RS256"))

    assert "key that its issuer does not have" in await reason(
        TokenVerifier(issuer.settings(), fetch_keys), token
    )


@pytest.mark.parametrize("kid", [7, ["k-1"], {"k": 1}, True], ids=str)
async def test_the_name_of_a_key_is_text(issuer: TokenIssuer, kid: Any) -> None:
    token = f"{part({'alg': 'RS256', 'kid': kid})}.{part(issuer.claims())}.AAAA"

    assert "malformed" in await reason(TokenVerifier(issuer.settings(), fetch_keys), token)


async def test_a_huge_token_is_refused_before_it_is_parsed(issuer: TokenIssuer) -> None:
    verifier = TokenVerifier(issuer.settings(), fetch_keys)

    assert "too long" in await reason(verifier, issuer.token(filler="x" * 9000))
    assert not issuer.asked


async def test_a_critical_header_that_nobody_knows_is_refused(issuer: TokenIssuer) -> None:
    token = jwt.encode(
        issuer.claims(),
        private_key("k-1", "RS256"),
        headers={"kid": "k-1", "crit": ["x"], "x": 1},
        algorithm="RS256",
    )

    assert await reason(TokenVerifier(issuer.settings(), fetch_keys), token)


# --- keys that change ---


async def test_a_new_key_counts_at_once_and_a_withdrawn_one_no_more(issuer: TokenIssuer) -> None:
    clock = Clock()
    settings = issuer.settings()
    verifier = TokenVerifier(settings, source=KeySource(settings, fetch_keys, clock))
    before = issuer.token("k-1")
    await verifier.verify(before)

    issuer.published = {"k-1": "RS256", "k-2": "ES256"}
    clock.now += 11
    after = issuer.token("k-2")
    # Both count while both are published: nobody logs in anew.
    await verifier.verify(after)
    await verifier.verify(before)

    issuer.published = {"k-2": "ES256"}
    clock.now += 11
    await reason(verifier, issuer.token("unheard", "RS256", key=private_key("k-1", "RS256")))
    # The same text was good a moment ago.
    assert "key that its issuer does not have" in await reason(verifier, before)
    await verifier.verify(after)


async def test_a_storm_of_unknown_keys_is_one_fetch(issuer: TokenIssuer) -> None:
    clock = Clock()
    settings = issuer.settings()
    verifier = TokenVerifier(settings, source=KeySource(settings, fetch_keys, clock))
    await verifier.verify(issuer.token())
    clock.now += 11

    for number in range(50):
        await reason(verifier, issuer.token(f"x-{number}", "RS256", key=private_key("k-1", "RS256")))
    assert issuer.asked[KEYS] == 2

    clock.now += 11
    await reason(verifier, issuer.token("y", "RS256", key=private_key("k-1", "RS256")))
    assert issuer.asked[KEYS] == 3


async def test_good_keys_are_kept_while_the_issuer_is_down_up_to_the_limit(issuer: TokenIssuer) -> None:
    clock = Clock()
    settings = issuer.settings(jwks_refresh_seconds=600, jwks_stale_seconds=3600)
    verifier = TokenVerifier(settings, source=KeySource(settings, fetch_keys, clock))
    token = issuer.token()
    await verifier.verify(token)

    issuer.answers[METADATA] = (503, b"")
    clock.now += 600 + 3599
    await verifier.verify(token)
    await verifier.verify(issuer.token(sub="eve"))
    clock.now += 2
    with pytest.raises(IssuerUnavailable):
        await verifier.verify(token)

    del issuer.answers[METADATA]
    clock.now += 11
    await verifier.verify(token)


async def test_without_any_key_nobody_is_told_that_the_token_is_bad(issuer: TokenIssuer) -> None:
    issuer.answers[KEYS] = (500, b"")

    with pytest.raises(IssuerUnavailable) as caught:
        await TokenVerifier(issuer.settings(), fetch_keys).verify(issuer.token())
    assert (caught.value.status, caught.value.retryable) == (503, True)
    assert caught.value.retry_after_seconds
    assert issuer.url not in caught.value.detail


async def test_a_token_is_checked_once_and_not_beyond_its_end(
    issuer: TokenIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifier = TokenVerifier(issuer.settings(), fetch_keys)
    token = issuer.token()
    first = await verifier.verify(token)
    monkeypatch.setattr(jwt, "decode", None)

    assert await verifier.verify(token) is first
    monkeypatch.setattr(verifier._verified, "_clock", lambda: first.valid_until)
    assert "malformed" in await reason(verifier, token)


# --- secrets ---


def secrets(*entries: Any, first: str = "") -> TokenVerifier:
    return TokenVerifier(IdentitySettings.model_validate({"jwt_secret": first, "jwt_secrets": entries}))


def signed(secret: str, kid: str | None = None) -> str:
    now = int(time.time())
    payload = {"sub": "ada", "iat": now, "exp": now + 60}
    return jwt.encode(payload, secret, algorithm="HS256", headers={"kid": kid} if kid else {})


@pytest.mark.parametrize(
    "verifier",
    [
        secrets(OLD, NEW),
        secrets(OLD, first=NEW),
        secrets({"kid": "n", "secret": NEW}, {"kid": "o", "secret": OLD}),
    ],
    ids=["list", "one and a list", "named"],
)
async def test_secrets_change_without_logging_anybody_out(verifier: TokenVerifier) -> None:
    assert (await verifier.verify(signed(OLD))).user == "ada"
    assert (await verifier.verify(signed(NEW))).user == "ada"
    assert "signature" in await reason(verifier, signed("a-third-secret-of-thirty-two-bytes-or-more"))


async def test_a_named_secret_checks_only_its_tokens() -> None:
    verifier = secrets({"kid": "n", "secret": NEW}, {"kid": "o", "secret": OLD})

    await verifier.verify(signed(NEW, "n"))
    assert "signature" in await reason(verifier, signed(NEW, "o"))
    assert "signature" in await reason(verifier, signed(NEW, "unheard"))
    # A name that another party gave to a secret without one.
    await secrets(NEW).verify(signed(NEW, "theirs"))
