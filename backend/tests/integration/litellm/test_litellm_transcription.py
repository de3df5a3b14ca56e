"""Speech to text through a real LiteLLM proxy: the chat model's endpoint and key, and nothing else to set."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from tests.support import audio
from tests.support.litellm_proxy import KEY, Proxy
from tests.support.stack import OpenStack, Stack

# The first test waits for the installation and the start.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
async def routed(open_stack: OpenStack, proxy: Proxy) -> AsyncIterator[Stack]:
    """The service with the proxy as its model, and so as its speech service."""
    async with open_stack(workers=0, model={"base_url": proxy.url, "api_key": KEY}) as stack:
        yield stack


@pytest.mark.parametrize("make", [audio.wav, audio.mp3, audio.flac, audio.ogg, audio.live_webm, audio.m4a])
async def test_an_upload_goes_through_the_proxy_as_it_is(
    routed: Stack, proxy: Proxy, make: Callable[[], bytes]
) -> None:
    data = make()

    reply = await routed.request(
        "POST",
        "/transcribe",
        files={"file": ("speech", data)},
        data={"language": "en", "prompt": "AgentRoute"},
    )

    assert reply.status == 200, reply.body
    assert f"{len(data)} bytes" in reply.json["text"]
    asked = proxy.upstream.requests[-1]
    assert (asked["model"], asked["language"], asked["prompt"]) == ("whisper-1", "en", "AgentRoute")
    assert asked["file"]["bytes"] == len(data)
    (row,) = await routed.fetch("SELECT * FROM agent_transcription ORDER BY id DESC LIMIT 1")
    assert (row["outcome"], row["model"], row["provider"]) == ("succeeded", "whisper-1", "127.0.0.1")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model": {"api_key": "sk-wrong"}}, "AGENT_TRANSCRIPTION__API_KEY"),
        ({"transcription": {"name": "no-such-model"}}, "no such model"),
    ],
)
async def test_what_the_proxy_refuses_is_told_without_its_words(
    open_stack: OpenStack, proxy: Proxy, settings: dict[str, Any], said: str
) -> None:
    model = {"base_url": proxy.url, "api_key": KEY} | settings.get("model", {})
    async with open_stack(workers=0, **(settings | {"model": model})) as lost:
        reply = await lost.request("POST", "/transcribe", files={"file": ("speech", audio.wav())})

    assert said in reply.json["detail"]
    assert (reply.status, reply.json["code"]) == (502, "transcription-failed"), reply.body
    assert "litellm" not in reply.body.decode().lower()
