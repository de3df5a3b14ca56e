"""Settings of identity that exclude each other, each with a line that says what to change."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from core.identity_settings import IdentitySettings
from core.redaction import secrets_of

S = "a-secret-of-more-than-thirty-two-bytes"
OIDC = {"oidc_issuer": "https://id.example", "jwt_audience": "agentroute"}
JWKS = {
    "jwks_url": "https://id.example/keys",
    "jwt_issuer": "https://id.example",
    "jwt_audience": "agentroute",
}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"jwt_secret": "short"}, "AGENT_IDENTITY__JWT_SECRET must have at least 32 bytes"),
        ({"jwt_secrets": [S, "short"]}, "each of AGENT_IDENTITY__JWT_SECRETS must have at least 32 bytes"),
        ({"jwt_secrets": [""]}, "each of AGENT_IDENTITY__JWT_SECRETS must have at least 32 bytes"),
        ({"jwt_secrets": [{"kid": "a", "secret": S}] * 2}, "two secrets have the same kid"),
        ({**OIDC, "jwt_secret": S}, "exclude each other"),
        ({**OIDC, "jwt_secrets": [S]}, "exclude each other"),
        ({**OIDC, "jwks_url": "https://id.example/keys"}, "keep one"),
        ({**JWKS, "jwt_issuer": ""}, "AGENT_IDENTITY__JWT_ISSUER is not set"),
        ({**JWKS, "jwt_audience": ""}, "AGENT_IDENTITY__JWT_AUDIENCE is not set"),
        ({**OIDC, "jwt_audience": ""}, "AGENT_IDENTITY__JWT_AUDIENCE is not set"),
        ({**OIDC, "jwt_issuer": "https://other.example"}, "AGENT_IDENTITY__JWT_ISSUER differs"),
        ({**OIDC, "oidc_issuer": "http://id.example"}, "AGENT_IDENTITY__OIDC_ISSUER must be https"),
        ({**JWKS, "jwks_url": "http://10.0.0.1/keys"}, "AGENT_IDENTITY__JWKS_URL must be https"),
        ({**JWKS, "jwks_url": "ftp://id.example"}, "must begin with http:// or https://"),
        ({**OIDC, "jwt_algorithms": []}, "at least 1 item"),
        ({**OIDC, "jwt_algorithms": ["HS256"]}, "RS256"),
        ({**OIDC, "jwt_algorithms": ["none"]}, "RS256"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_meant(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told) as caught:
        IdentitySettings.model_validate(given)
    lines = [problem["msg"] for problem in caught.value.errors(include_input=False)]
    assert S not in " ".join(lines)


@pytest.mark.parametrize(
    "given",
    [{}, {"jwt_secret": S}, {"jwt_secrets": [S, {"kid": "a", "secret": S}]}, OIDC, JWKS, OIDC | {"jwt_issuer": OIDC["oidc_issuer"]},
     JWKS | {"jwks_url": "http://localhost:9/keys"}],
    ids=str,
)  # fmt: skip
def test_settings_that_can(given: dict[str, Any]) -> None:
    settings = IdentitySettings.model_validate(given)

    assert settings.has_tokens is bool(given)
    assert settings.issuer in ("", "https://id.example")


def test_no_secret_of_a_list_is_ever_logged() -> None:
    other = "another-secret-of-more-than-thirty-two"
    settings = IdentitySettings.model_validate({"jwt_secrets": [S, {"kid": "a", "secret": other}]})

    assert {S, other} <= set(secrets_of(settings))
    assert S not in repr(settings)
