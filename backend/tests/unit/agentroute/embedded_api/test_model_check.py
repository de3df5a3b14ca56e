"""A model that does not answer is refused in words that say what to correct."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from tests.support.scripted_endpoint import (
    HANG,
    Reply,
    Request,
    ScriptedEndpoint,
    T,
    calls,
    document,
    refusal,
    stream,
)

from agentroute.embedded_api import model_check
from agentroute.embedded_api.model_check import check_model, find_endpoint, refuse_unlisted
from core.agentscope.runtime.model.request_form import STRUCTURED
from core.config import ModelSettings
from core.embedded_errors import ModelRefused

KEY = "sk-0123456789abcdefghij"
OK = stream(calls(STRUCTURED, '{"ok": true}'), T)
LIST = document({"object": "list", "data": [{"id": "large"}, {"id": "small"}]})
NO_LIST = document({"detail": "Not Found"}, status=404)


def is_list(request: Request) -> bool:
    return not request.body


def endpoint(listed: Reply = LIST, answer: Reply = OK) -> ScriptedEndpoint:
    return ScriptedEndpoint(otherwise=answer).when(is_list, listed)


async def check(base_url: str, name: str = "large", profile: Path | None = None) -> Any:
    settings = ModelSettings(max_retries=0)
    return await check_model(base_url, SecretStr(KEY), name, settings, profile)


@pytest.mark.parametrize("suffix", ["", "/", "/chat/completions", "/models"])
async def test_a_model_that_answers_is_taken_at_the_address_that_works(suffix: str) -> None:
    scripted = endpoint()
    async with scripted.serving() as base_url:
        checked = await check(base_url + suffix)
        assert (checked.base_url, checked.note) == (base_url, "")
    asked = [request for request in scripted.requests if not is_list(request)]
    assert [request.body["model"] for request in asked] == ["large"]
    assert asked[0].headers["authorization"] == f"Bearer {KEY}"


async def test_how_requests_are_adapted_is_told() -> None:
    scripted = endpoint().when(
        lambda request: "tools" in request.body, refusal(400, "does not support tools")
    )
    async with scripted.serving() as base_url:
        assert "the agent only chats" in (await check(base_url)).note


async def test_a_model_that_is_not_listed_but_answers_is_taken() -> None:
    async with endpoint().serving() as base_url:
        assert (await check(base_url, "large:latest")).base_url == base_url


@pytest.mark.parametrize(
    ("listed", "answer", "reason", "words", "models"),
    [
        (refusal(401, "no"), refusal(401, f"bad key {KEY}"), "key", "refuses the key", []),
        (LIST, refusal(403, "no"), "key", "refuses the key", []),
        (LIST, refusal(404, "no such model"), "model-unknown", "has no model huge.", ["large", "small"]),
        (LIST, refusal(400, "invalid model"), "model-unknown", "has no model huge.", ["large", "small"]),
        (NO_LIST, NO_LIST, "address", "often ends with /v1", []),
        (LIST, refusal(402, "pay"), "model-unknown", "huge", ["large", "small"]),
        (NO_LIST, refusal(402, "pay"), "failed", "asks for payment", []),
        (NO_LIST, refusal(429, "slow down"), "failed", "busy", []),
        (NO_LIST, refusal(500, "oops"), "failed", "not available", []),
        (NO_LIST, Reply((b"<html>",), headers={"content-type": "text/html"}), "failed", "web page", []),
    ],
)
async def test_what_is_wrong_is_said(
    listed: Reply, answer: Reply, reason: str, words: str, models: list[str]
) -> None:
    async with endpoint(listed, answer).serving() as base_url:
        with pytest.raises(ModelRefused) as caught:
            await check(base_url, "huge")

    error = caught.value
    assert (error.members["reason"], error.members["models"]) == (reason, models)
    assert words in error.detail
    assert "operator" not in error.detail
    assert "AGENT_" not in error.detail
    assert KEY not in str(error.members)


async def test_an_address_where_nothing_listens_is_unreachable() -> None:
    for ask in (check("http://127.0.0.1:1/v1"), _list("http://127.0.0.1:1/v1")):
        with pytest.raises(ModelRefused, match=r"Nothing answers at 127\.0\.0\.1:1") as caught:
            await ask
        assert caught.value.members["reason"] == "unreachable"


async def test_a_model_that_is_silent_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_check, "_PATIENCE_SECONDS", 0.05)
    async with endpoint(answer=stream(HANG)).serving() as base_url:
        with pytest.raises(ModelRefused, match="did not begin to answer") as caught:
            await check(base_url)
    assert caught.value.members["reason"] == "silent"


async def test_the_models_that_the_agents_name_must_answer_too(tmp_path: Path) -> None:
    profile = tmp_path / "agent.toml"
    profile.write_text('name = "A"\ndescription = "d"\n[models.report]\nname = "own"\n')
    scripted = endpoint().when(lambda request: request.body.get("model") == "own", refusal(404, "no"))
    async with scripted.serving() as base_url:
        with pytest.raises(ModelRefused, match="has no model own"):
            await check(base_url, profile=profile)


async def _list(base_url: str) -> Any:
    found = await find_endpoint(base_url, SecretStr(KEY))
    refuse_unlisted(found)
    return found


async def test_an_address_without_its_version_is_completed() -> None:
    scripted = ScriptedEndpoint(NO_LIST, otherwise=LIST)
    async with scripted.serving() as base_url:
        found = await _list(base_url.removesuffix("/v1"))
    assert (found.base_url, found.names) == (base_url, ["large", "small"])


@pytest.mark.parametrize(
    ("listed", "reason", "words"),
    [
        (refusal(401, "no"), "key", "refuses the key"),
        (NO_LIST, "address", "HTTP 404"),
        (document({"data": []}), "address", "lists no models"),
    ],
)
async def test_an_endpoint_without_a_list_says_why(listed: Reply, reason: str, words: str) -> None:
    async with endpoint(listed).serving() as base_url:
        with pytest.raises(ModelRefused) as caught:
            await _list(base_url)
    assert caught.value.members["reason"] == reason
    assert words in caught.value.detail
