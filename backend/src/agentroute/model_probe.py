"""Probes what a model endpoint takes: one short request with everything that requests of runs may hold.

Where the endpoint refuses, the probe learns as a run does (``runtime.model.chat_adapting``), so ``doctor`` can say how
requests will be adapted. The probe costs one answer of a few tokens for each model.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, aclosing
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
    adapting = Adapting(QuirkBook(), endpoint, _body(endpoint, temperature))
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while (failed := await _ask(endpoint, adapting.body())) is not None:
                if not adapting.learn(failed, last=True):
                    return _refused(endpoint, failed)
    except TimeoutError:
        found = f"{endpoint.model} did not begin to answer within {_PATIENCE_SECONDS:.0f} s"
        return CheckResult(_NAME, False, found, "Look at the log of the model server, or try again.")
    return CheckResult(_NAME, True, f"{endpoint.model}: {_told(adapting)}")


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


def _refused(endpoint: ChatEndpoint, failed: CallFailed) -> CheckResult:
    reason = endpoint.safe(failed.reason)
    found = f"{endpoint.model} does not answer" + (f" ({reason})" if reason else "")
    return CheckResult(_NAME, False, found, failed.error.detail)


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
