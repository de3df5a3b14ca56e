"""The fallback models of a profile: their settings and their HTTP clients."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AsyncExitStack

import httpx
from pydantic import SecretStr

from core.agentscope.runtime.model.chat_endpoint import ChatEndpoint
from core.agentscope.runtime.model.model_client import completions_url, create_model_client
from core.agentscope.runtime.model.quirks import QuirkChoice
from core.agentscope.runtime.profile.agents import Agents
from core.agentscope.runtime.profile.profile import STAGES, AgentProfile, FallbackModel
from core.agentscope.runtime.profile.profile_errors import ProfileInvalid
from core.agentscope.schemas.internal_events import CallStage
from core.config import ModelSettings
from core.log import never_log
from core.redaction import secrets_of
from core.secret_values import check_api_key

_CALLS: tuple[CallStage, ...] = (*STAGES, "title")


def fallback_settings(
    profile: AgentProfile, settings: ModelSettings, environ: Mapping[str, str] | None = None
) -> dict[CallStage, ModelSettings]:
    """Return the endpoint of each stage's fallback; ``name`` is its model.

    Raises:
        ProfileInvalid: An address is no URL, or a key's variable is empty.
    """
    found: dict[CallStage, ModelSettings] = {}
    for stage in _CALLS:
        fallback = profile.model_of(stage, settings.name).fallback
        if fallback is not None:
            found[stage] = _settings(stage, fallback, settings, os.environ if environ is None else environ)
    return found


async def open_fallbacks(
    agents: Agents, settings: ModelSettings, client: httpx.AsyncClient, resources: AsyncExitStack
) -> dict[str, dict[CallStage, ChatEndpoint]]:
    """Return each stage's fallback, by the agent's id; a client is opened for every further address and key.

    Args:
        agents: Their profiles name them.
        settings: Of the deployment's endpoint.
        client: Of the deployment's endpoint.
        resources: Closes the clients.

    Raises:
        ProfileInvalid: As ``fallback_settings``; the line names the file.
    """
    clients = {(settings.base_url, settings.api_key.get_secret_value()): client}
    found: dict[str, dict[CallStage, ChatEndpoint]] = {}
    for agent_id, profile in agents.profiles.items():
        try:
            found[agent_id] = await _open_fallbacks(profile, settings, clients, resources)
        except ProfileInvalid as exc:
            raise ProfileInvalid(f"{agents.where(agent_id)}{exc}") from exc
    return found


async def _open_fallbacks(
    profile: AgentProfile,
    settings: ModelSettings,
    clients: dict[tuple[str, str], httpx.AsyncClient],
    resources: AsyncExitStack,
) -> dict[CallStage, ChatEndpoint]:
    found: dict[CallStage, ChatEndpoint] = {}
    for stage, own in fallback_settings(profile, settings).items():
        # The settings do not have it, so whoever logs it would not know that it is a key.
        never_log(secrets_of(own))
        key = (own.base_url, own.api_key.get_secret_value())
        if key not in clients:
            clients[key] = await resources.enter_async_context(create_model_client(own))
        fallback = profile.model_of(stage, settings.name).fallback
        chosen = fallback.quirk_choice() if fallback else QuirkChoice()
        found[stage] = ChatEndpoint(clients[key], own, own.name, chosen)
    return found


def _settings(
    stage: CallStage, fallback: FallbackModel, settings: ModelSettings, environ: Mapping[str, str]
) -> ModelSettings:
    where = f"models.{stage}.fallback"
    change: dict[str, object] = {"name": fallback.name}
    if fallback.base_url is not None:
        # The deployment's key is sent to no other address.
        change |= {"base_url": fallback.base_url, "api_key": SecretStr(""), "provider": ""}
    if fallback.provider is not None:
        change["provider"] = fallback.provider
    if fallback.api_key_env is not None:
        key = environ.get(fallback.api_key_env, "")
        if not key.strip():
            raise ProfileInvalid(f"{where}.api_key_env: the variable {fallback.api_key_env} is empty")
        try:
            change["api_key"] = check_api_key(SecretStr(key))
        except ValueError as exc:
            raise ProfileInvalid(f"{where}.api_key_env: {fallback.api_key_env}: {exc}") from None
    own = settings.model_copy(update=change)
    if fallback.base_url is None and not own.base_url:
        # Another model of the deployment's endpoint, whose address comes later or is reported on its own.
        return own
    try:
        completions_url(own)
    except ValueError as exc:
        raise ProfileInvalid(f"{where}.base_url: must be like https://api.example.com/v1") from exc
    return own
