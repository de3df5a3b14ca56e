"""What ``doctor`` says about the issuer of tokens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.token_issuer import KEYS, METADATA, TokenIssuer, serve_issuer

from agentroute.identity_probe import probe_identity
from agentroute.start_checks import check_identity
from core.config import Settings
from core.identity_settings import IdentitySettings

SECRET = "a-secret-of-more-than-thirty-two-bytes"


@pytest.fixture
def issuer() -> Iterator[TokenIssuer]:
    with serve_issuer() as served:
        yield served


def settings(identity: IdentitySettings | dict[str, Any]) -> Settings:
    return Settings(identity=IdentitySettings.model_validate(identity))


async def test_an_issuer_with_keys(issuer: TokenIssuer) -> None:
    issuer.published = {"k-1": "RS256", "k-2": "ES256"}

    (result,) = await probe_identity(settings(issuer.settings()))

    assert (result.ok, result.found) == (True, "2 keys: k-1, k-2")
    assert (await check_identity(settings(issuer.settings()))).found == f"tokens of {issuer.url}"


async def test_an_issuer_that_is_away_fails_the_doctor_and_no_start(issuer: TokenIssuer) -> None:
    issuer.answers[METADATA] = (503, b"")

    (result,) = await probe_identity(settings(issuer.settings()))

    assert not result.ok
    assert "answers 503" in result.found
    assert "AGENT_IDENTITY" in result.fix
    assert (await check_identity(settings(issuer.settings()))).ok


@pytest.mark.parametrize(("seconds", "told"), [(300, "ahead"), (-300, "behind"), (10, "")])
async def test_clocks_that_differ(issuer: TokenIssuer, seconds: int, told: str) -> None:
    issuer.clock_ahead_seconds = seconds

    (result,) = await probe_identity(settings(issuer.settings()))

    assert result.ok is (not told)
    assert told in result.found


@pytest.mark.parametrize(
    ("identity", "told"),
    [
        ({"mode": "local"}, None),
        ({}, None),
        ({"jwt_secret": SECRET, "jwt_issuer": "i", "jwt_audience": "a"}, None),
        ({"jwt_secret": SECRET, "jwt_issuer": "i"}, "AGENT_IDENTITY__JWT_AUDIENCE is not set"),
        ({"jwt_secret": SECRET}, "AGENT_IDENTITY__JWT_ISSUER and AGENT_IDENTITY__JWT_AUDIENCE are not set"),
    ],
    ids=str,
)
async def test_what_a_secret_leaves_unchecked_is_said_and_fails_nothing(
    identity: dict[str, Any], told: str | None
) -> None:
    results = await probe_identity(settings(identity))

    assert all(result.ok for result in results)
    assert [told in result.found for result in results if told] == ([True] if told else [])


async def test_a_file_of_keys_is_read_at_the_start(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    issuer = TokenIssuer("https://id.example")
    given = settings(issuer.settings(oidc_issuer="", jwt_issuer="i", jwks_path=file))

    refused = await check_identity(given)
    assert (refused.ok, refused.exit_code) == (False, 2)
    assert refused.line.startswith("Identity: AGENT_IDENTITY__JWKS_PATH")
    assert "cannot be read" in refused.line

    file.write_text(json.dumps(issuer.document(KEYS)))
    assert (await check_identity(given)).ok
    assert await probe_identity(given) == []
