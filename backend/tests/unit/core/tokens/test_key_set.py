"""Which published keys are used."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from tests.support.token_issuer import private_key, public_jwk

from core.tokens.key_set import KeySetInvalid, parse_key_set

ALL = ("RS256", "ES256", "EdDSA")
GOOD = public_jwk("k-1", "RS256")
WITHOUT_ALG = {name: value for name, value in GOOD.items() if name != "alg"}


def jwk(key: Any, algorithm: Any) -> dict[str, Any]:
    return algorithm.to_jwk(key.public_key(), as_dict=True)


PASSED_OVER: dict[str, Any] = {
    "for encryption": GOOD | {"use": "enc"},
    "signs only": GOOD | {"key_ops": ["sign"]},
    "another algorithm": GOOD | {"alg": "RS512"},
    "short": jwk(rsa.generate_private_key(65537, 1024), RSAAlgorithm),  # noqa: S505  the point of the test
    "another curve": jwk(ec.generate_private_key(ec.SECP256K1()), ECAlgorithm),
    "a secret": {"kty": "oct", "kid": "k-1", "k": "c2VjcmV0", "alg": "HS256"},
    "private": RSAAlgorithm.to_jwk(private_key("k-1", "RS256"), as_dict=True),
    "unreadable": GOOD | {"n": "!"},
    "kid of a number": GOOD | {"kid": 1},
    "no object": "key",
    "nothing": {},
}


@pytest.mark.parametrize("name", PASSED_OVER)
def test_a_key_that_is_none_of_ours_is_passed_over(name: str) -> None:
    good = public_jwk("k-2", "ES256")

    assert parse_key_set({"keys": [PASSED_OVER[name], good]}, ALL).kids == ["k-2"]
    with pytest.raises(KeySetInvalid, match="no usable key"):
        parse_key_set({"keys": [PASSED_OVER[name]]}, ALL)


@pytest.mark.parametrize("document", [None, [], {}, {"keys": {}}, {"keys": "x"}, "keys"], ids=str)
def test_a_document_that_is_no_key_set(document: Any) -> None:
    with pytest.raises(KeySetInvalid, match="JSON Web Key Set"):
        parse_key_set(document, ALL)


def test_only_the_configured_algorithms_have_keys() -> None:
    document = {"keys": [public_jwk(f"k-{name}", name) for name in ALL]}

    assert parse_key_set(document, ["ES256"]).kids == ["k-ES256"]
    assert parse_key_set({"keys": [WITHOUT_ALG]}, ALL).find("k-1", "RS256")
    assert not parse_key_set({"keys": [WITHOUT_ALG]}, ALL).find("k-1", "ES256")


def test_two_sets_are_the_same_by_their_keys_not_their_order() -> None:
    one, two = public_jwk("k-1", "RS256"), public_jwk("k-2", "ES256")
    keys = parse_key_set({"keys": [one, two]}, ALL)

    assert keys.is_same(parse_key_set({"keys": [two, one]}, ALL))
    assert not keys.is_same(parse_key_set({"keys": [one]}, ALL))
    # The same name with another key behind it.
    assert not keys.is_same(parse_key_set({"keys": [one, public_jwk("k-3", "ES256") | {"kid": "k-2"}]}, ALL))
    assert not keys.is_same(None)
