"""What an issuer may answer, over real HTTP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.token_issuer import KEYS, METADATA, TokenIssuer

from core.tokens.fetched_keys import KeysUnavailable
from core.tokens.issuer_http import MAX_ANSWER_BYTES, discover, fetch_keys


async def test_an_issuer_that_answers(issuer: TokenIssuer) -> None:
    issuer.headers = {"Cache-Control": "public, max-age=120"}

    found = await fetch_keys(issuer.settings())

    assert found.keys.kids == ["k-1"]
    assert found.max_age_seconds == 120
    assert found.clock_skew_seconds is not None
    assert abs(found.clock_skew_seconds) < 60


def metadata(**members: Any) -> bytes:
    return json.dumps(members).encode()


@pytest.mark.parametrize(
    ("path", "status", "body", "told"),
    [
        (METADATA, 404, b"", "answers 404"),
        # A redirect is no answer: it could lead anywhere.
        (METADATA, 302, b"", "answers 302"),
        (METADATA, 200, b"<html>", "no JSON"),
        (METADATA, 200, b"[]", "names the issuer"),
        (
            METADATA,
            200,
            metadata(issuer="https://evil.example", jwks_uri="https://evil.example/k"),
            "evil.example",
        ),
        (METADATA, 200, metadata(issuer="SELF/", jwks_uri="https://id.example/k"), "to the last slash"),
        (METADATA, 200, metadata(issuer="SELF"), "no jwks_uri"),
        (METADATA, 200, metadata(issuer="SELF", jwks_uri=7), "no jwks_uri"),
        (METADATA, 200, metadata(issuer="SELF", jwks_uri="file:///etc/passwd"), "no jwks_uri"),
        (METADATA, 200, metadata(issuer="SELF", jwks_uri="http://id.example/k"), "not https"),
        (METADATA, 200, metadata(issuer="SELF", jwks_uri="http://[::1/k"), "not https"),
        (KEYS, 500, b"", "answers 500"),
        (KEYS, 200, b"{", "no JSON"),
        (KEYS, 200, b'{"keys": []}', "no usable key"),
        (KEYS, 200, b" " * (MAX_ANSWER_BYTES + 1), "more than"),
    ],
    ids=str,
)
async def test_an_answer_that_is_no_key_set(
    issuer: TokenIssuer, path: str, status: int, body: bytes, told: str
) -> None:
    issuer.headers = {"Location": "https://evil.example"} if status == 302 else {}
    issuer.answers[path] = (status, body.replace(b"SELF", issuer.url.encode()))

    with pytest.raises(KeysUnavailable, match=told):
        await fetch_keys(issuer.settings())


async def test_an_issuer_that_is_not_there() -> None:
    settings = TokenIssuer("http://127.0.0.1:1").settings()

    with pytest.raises(KeysUnavailable, match="cannot be reached"):
        await fetch_keys(settings)


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "cannot be read"), (b"{", "no JSON"), (b"[]", "JSON Web Key Set"), (b" " * 300_000, "larger")],
)
async def test_a_file_of_keys(tmp_path: Path, content: bytes | None, told: str) -> None:
    file = tmp_path / "keys.json"
    if content is not None:
        file.write_bytes(content)
    issuer = TokenIssuer("https://id.example")

    with pytest.raises(KeysUnavailable, match=told):
        await fetch_keys(issuer.settings(oidc_issuer="", jwt_issuer="x", jwks_path=file))


@pytest.mark.parametrize("keys", ["http://127.0.0.1:1/k", "http://[::1]/k", "http://localhost/k"])
async def test_a_foreign_issuer_sends_nobody_to_this_machine(keys: str) -> None:
    issuer = "https://id.example"

    def answer(request: httpx.Request) -> httpx.Response:
        assert str(request.url) == issuer + METADATA
        return httpx.Response(200, stream=httpx.ByteStream(metadata(issuer=issuer, jwks_uri=keys)))

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        with pytest.raises(KeysUnavailable, match="not https"):
            await discover(client, issuer)
