"""Probes what a model endpoint takes: one short request with everything that requests of runs may hold.

Where the endpoint refuses, the probe learns as a run does (``runtime.model.chat_adapting``), so ``doctor`` can say how
requests will be adapted. The probe costs one answer of a few tokens for each model.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson

from agentroute.check_result import CheckResult
from core.agentscope.runtime.model.chat_adapting import Adapting
from core.agentscope.runtime.model.chat_call import ChatCall
from core.agentscope.runtime.model.chat_endpoint import ChatEndpoint
from core.agentscope.runtime.model.chat_errors import CallFailed
from core.agentscope.runtime.model.chat_meter import CallMeter
from core.agentscope.runtime.model.chat_stream import ChatStreamParser
from core.agentscope.runtime.model.model_client import create_model_client
from core.agentscope.runtime.model.quirks import Quirk, QuirkBook
from core.agentscope.runtime.model.request_form import STRUCTURED
from core.agentscope.runtime.profile.agents import load_agents
from core.agentscope.runtime.profile.fallbacks import fallback_settings
from core.agentscope.runtime.profile.profile import STAGES, AgentProfile
from core.agentscope.runtime.profile.profile_errors import ProfileInvalid
from core.config import ModelSettings, Settings

_NAME = "Model requests"
_LONGEST_ANSWER = 16
_PATIENCE_SECONDS = 30.0
"""A model on this machine may have to be loaded first."""
_CALL_ID = "toolu_0123456789012345678901234567890123456789"
_TOOL = {
    "type": "function",
    "function": {
        "name": STRUCTURED,
        "description": "Call this function with the answer.",
        "parameters": {
            "type": "object",
            "properties": {"ok": {"anyOf": [{"type": "boolean"}, {"type": "null"}]}},
            "required": ["ok"],
            "additionalProperties": False,
        },
    },
}


@dataclass(frozen=True, slots=True)
class Probed:
    """What a model said to the probe."""

    model: str
    told: str = ""
    """How requests to it are adapted; empty if it does not answer."""
    failed: CallFailed | None = None
    """Why it does not answer; None also if it only took too long."""
    said: str = ""
    """The endpoint's own words, without the key."""


async def probe_choice(
    model: ModelSettings, profile_path: Path | None, *, patience_seconds: float
) -> list[Probed]:
    """Probe an endpoint before it is used: each model that runs would ask there.

    Args:
        model: The endpoint, and the model of stages that name none.
        profile_path: Of the agents; their models are asked too.
        patience_seconds: How long each may take to begin an answer.

    Raises:
        ValueError: The address is not usable.
    """
    async with AsyncExitStack() as resources:
        asked: dict[str, float | None] = {}
        try:
            for profile in load_agents(profile_path).profiles.values():
                for stage in filter(profile.runs, STAGES):
                    chosen = profile.model_of(stage, model.name)
                    asked.setdefault(chosen.name or model.name, chosen.temperature)
        except ProfileInvalid:
            # The start of a worker says so.
            asked = {}
        client: httpx.AsyncClient = await resources.enter_async_context(create_model_client(model))
        return list(
            await asyncio.gather(
                *(
                    _ask_all(ChatEndpoint(client, model, name), temperature, patience_seconds)
                    for name, temperature in (asked or {model.name: None}).items()
                )
            )
        )


async def probe_models(settings: Settings) -> list[CheckResult]:
    """Return how the requests to each model of the profiles are adapted; nothing when there is no profile."""
    try:
        agents = load_agents(settings.profile_path)
        async with AsyncExitStack() as resources:
            endpoints: dict[tuple[str, str], tuple[ChatEndpoint, float | None]] = {}
            for profile in agents.profiles.values():
                endpoints = await _endpoints(profile, settings.model, resources) | endpoints
            return list(await asyncio.gather(*(_probe(*asked) for asked in endpoints.values())))
    except (ProfileInvalid, ValueError):
        # The check of the profile says what is wrong.
        return []


async def _endpoints(
    profile: AgentProfile, settings: ModelSettings, resources: AsyncExitStack
) -> dict[tuple[str, str], tuple[ChatEndpoint, float | None]]:
    """Return each model of each address that a stage asks, once, with its temperature."""
    found: dict[tuple[str, str], tuple[ChatEndpoint, float | None]] = {}
    fallbacks = fallback_settings(profile, settings)
    for stage in filter(profile.runs, STAGES):
        chosen = profile.model_of(stage, settings.name)
        models = [(settings, chosen.name or settings.name, chosen.quirk_choice())]
        if (own := fallbacks.get(stage)) is not None and chosen.fallback is not None:
            models.append((own, own.name, chosen.fallback.quirk_choice()))
        for where, name, quirks in models:
            if (where.base_url, name) not in found:
                client: httpx.AsyncClient = await resources.enter_async_context(create_model_client(where))
                endpoint = ChatEndpoint(client, where, name, quirks)
                found[where.base_url, name] = (endpoint, chosen.temperature)
    return found


async def _probe(endpoint: ChatEndpoint, temperature: float | None) -> CheckResult:
    probed = await _ask_all(endpoint, temperature, _PATIENCE_SECONDS)
    if probed.told:
        return CheckResult(_NAME, True, f"{probed.model}: {probed.told}")
    if probed.failed is None:
        found = f"{probed.model} did not begin to answer within {_PATIENCE_SECONDS:.0f} s"
        return CheckResult(_NAME, False, found, "Look at the log of the model server, or try again.")
    found = f"{probed.model} does not answer" + (f" ({probed.said})" if probed.said else "")
    return CheckResult(_NAME, False, found, probed.failed.error.detail)


async def _ask_all(endpoint: ChatEndpoint, temperature: float | None, patience_seconds: float) -> Probed:
    """Ask until the request is taken, as a run learns from refusals."""
    adapting = Adapting(QuirkBook(), endpoint, _body(endpoint, temperature))
    try:
        async with asyncio.timeout(patience_seconds):
            while (failed := await _ask(endpoint, adapting.body())) is not None:
                if not adapting.learn(failed, last=True):
                    return Probed(endpoint.model, failed=failed, said=endpoint.safe(failed.reason))
    except TimeoutError:
        return Probed(endpoint.model)
    return Probed(endpoint.model, told=_told(adapting))


async def _ask(endpoint: ChatEndpoint, body: dict[str, Any]) -> CallFailed | None:
    """Ask once, up to the first words of the answer; returns why there are none."""
    meter = CallMeter("execution", endpoint.provider, endpoint.model, time.monotonic)
    request = endpoint.request(orjson.dumps(body), call_id=meter.call_id)
    parser = ChatStreamParser()
    call = ChatCall(endpoint.client, request, endpoint.settings, meter, parser, time.monotonic)
    try:
        async with aclosing(call.deltas()) as reads:
            async for _ in reads:
                break
    except CallFailed as failed:
        # So short an answer may be cut off in the middle. What counts is that the request was taken.
        return failed if call.refused or not call.head else None
    return None


def _told(adapting: Adapting) -> str:
    names = [str(quirk) for quirk in sorted(adapting.quirks)]
    if adapting.reduced.plain:
        names.append("tool calls of earlier turns as text")
    if not names:
        return "takes all requests as they are"
    without_tools = " It has no tools: the agent only chats." if Quirk.NO_TOOLS in adapting.quirks else ""
    return f"requests are adapted: {', '.join(names)} (docs/models.md).{without_tools}"


def _body(endpoint: ChatEndpoint, temperature: float | None) -> dict[str, Any]:
    """Return a request with all that requests of runs may hold, but media."""
    asked = {"name": STRUCTURED, "arguments": '{"ok": true}'}
    return endpoint.body(
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {
                    "role": "user",
                    "content": [{"type": "text", "text": "Hello."}, {"type": "text", "text": "Check."}],
                },
                {"role": "user", "content": "Is it ok?"},
                {
                    "role": "assistant",
                    "content": None,
                    "reasoning_content": "It is.",
                    "tool_calls": [{"id": _CALL_ID, "type": "function", "function": asked}],
                },
                {"role": "tool", "tool_call_id": _CALL_ID, "content": "ok"},
                {"role": "user", "content": "And now? Call the function."},
            ],
            "stream": True,
            "stream_options": {"include_usage": True},
            "tools": [_TOOL],
            "tool_choice": {"type": "function", "function": {"name": STRUCTURED}},
        },
        temperature=temperature,
        max_tokens=_LONGEST_ANSWER,
    )
