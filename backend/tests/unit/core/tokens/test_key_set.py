"""Which published keys are used."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from tests.support.token_issuer import private_key, public_jwk

from core.tokens.key_set import KeySetInvalid, parse_key_set

ALL = ("RS256", "ES256", "EdDSA")
GOOD = public_jwk("k-1", "RS256")
WITHOUT_ALG = {name: value for name, value in GOOD.items() if name != "alg"}


def number(value: int) -> str:
    """Return a number as a key has it (RFC 7518, section 2)."""
    data = value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def rsa_of(bits: int, exponent: int = 65537) -> dict[str, Any]:
    """Return a key with a modulus of this size, whose factors nobody knows."""
    return {"kty": "RSA", "n": number((1 << (bits - 1)) | 1), "e": number(exponent)}


def jwk(key: Any, algorithm: Any) -> dict[str, Any]:
    return algorithm.to_jwk(key.public_key(), as_dict=True)


PASSED_OVER: dict[str, Any] = {
    "for encryption": GOOD | {"use": "enc"},
    "signs only": GOOD | {"key_ops": ["sign"]},
    "another algorithm": GOOD | {"alg": "RS512"},
    "short": jwk(rsa.generate_private_key(65537, 1024), RSAAlgorithm),  # noqa: S505  the point of the test
    "much shorter": rsa_of(512),
    "a bit too short": rsa_of(2047),
    "a bit too long": rsa_of(8193),
    "long": rsa_of(16_384),
    "of 64 Ki bits": rsa_of(65_536),
    "too long to be read": rsa_of(1_500_000),
    "of a huge exponent": rsa_of(2048, (1 << 2047) | 1),
    "of an exponent of 65 bits": rsa_of(2048, (1 << 64) | 1),
    "of the exponent 1": rsa_of(2048, 1),
    "of an even exponent": rsa_of(2048, 65536),
    "of the exponent 0": rsa_of(2048, 0),
    "of a long point": public_jwk("k-3", "ES256") | {"x": "A" * 100_000},
    "of a point that is not on the curve": public_jwk("k-3", "ES256") | {"x": number(5), "y": number(5)},
    "of a curve with more bits": jwk(ec.generate_private_key(ec.SECP521R1()), ECAlgorithm),
    "of an edwards curve with more bits": jwk(ed448.Ed448PrivateKey.generate(), OKPAlgorithm),
    "of a long edwards point": public_jwk("k-3", "EdDSA") | {"x": "A" * 100_000},
    "of a number that is a list": GOOD | {"n": ["AQAB"]},
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


def test_the_longest_keys_that_count_check_a_token_in_no_time() -> None:
    for bits in (2048, 3072, 4096, 8192):
        assert parse_key_set({"keys": [rsa_of(bits)]}, ALL).kids == ["-"]
        # 3: of old keys. 2^32 + 1: longer than any that is in use.
        assert parse_key_set({"keys": [rsa_of(bits, 3), rsa_of(bits, (1 << 32) | 1)]}, ALL).kids == ["-", "-"]


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
