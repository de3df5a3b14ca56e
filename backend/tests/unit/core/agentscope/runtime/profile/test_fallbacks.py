"""Fallback models of a profile: where they are, and which key goes there."""

from __future__ import annotations

import io
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import structlog
from pydantic import SecretStr
from tests.support.loggers import loggers_kept

from core.agentscope.runtime.model.model_client import create_model_client
from core.agentscope.runtime.profile.agents import Agents
from core.agentscope.runtime.profile.fallbacks import fallback_settings, open_fallbacks
from core.agentscope.runtime.profile.profile import AgentProfile, load_profile
from core.agentscope.runtime.profile.profile_errors import ProfileInvalid
from core.config import ModelSettings, Settings
from core.log import configure_logging

DEPLOYED = ModelSettings(
    base_url="https://a.example/v1", api_key=SecretStr("k-deployed"), name="big", provider="proxy"
)
OTHER = 'name = "spare"\nbase_url = "https://b.example/v1"\n'


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path


def profile(directory: Path, *fallbacks: tuple[str, str]) -> AgentProfile:
    path = directory / "agent.toml"
    tables = [f"[models.{stage}.fallback]\n{lines}" for stage, lines in fallbacks]
    path.write_text(
        "\n".join(['name = "Ada"\ndescription = "Helps."', '[stages]\nintent = "model"', *tables])
    )
    return load_profile(path)


def only(found: AgentProfile) -> Agents:
    return Agents({"ada": found}, "ada", keeps_ids=False, paths={})


def test_without_fallbacks_there_are_none(directory: Path) -> None:
    assert fallback_settings(profile(directory), DEPLOYED, {}) == {}


def test_another_model_of_the_same_endpoint_keeps_its_key(directory: Path) -> None:
    found = fallback_settings(profile(directory, ("report", 'name = "small"')), DEPLOYED, {})

    assert found == {"report": DEPLOYED.model_copy(update={"name": "small"})}


def test_another_endpoint_gets_its_own_key_or_none(directory: Path) -> None:
    keyed = OTHER + 'api_key_env = "SPARE_KEY"\nprovider = "b"\n'
    found = fallback_settings(
        profile(directory, ("intent", OTHER), ("execution", keyed)), DEPLOYED, {"SPARE_KEY": "k-spare"}
    )

    shown = {
        stage: (own.base_url, own.api_key.get_secret_value(), own.provider) for stage, own in found.items()
    }
    assert shown == {
        "intent": ("https://b.example/v1", "", ""),
        "execution": ("https://b.example/v1", "k-spare", "b"),
    }


def test_a_key_that_cannot_be_sent_is_named_and_a_line_break_is_not_part_of_it(directory: Path) -> None:
    keyed = profile(directory, ("execution", OTHER + 'api_key_env = "SPARE_KEY"'))
    found = fallback_settings(keyed, DEPLOYED, {"SPARE_KEY": "k-spare\n"})
    assert found["execution"].api_key.get_secret_value() == "k-spare"
    with pytest.raises(ProfileInvalid, match=r"fallback\.api_key_env: SPARE_KEY: has U\+200B"):
        fallback_settings(keyed, DEPLOYED, {"SPARE_KEY": "k-spare\u200b"})


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (OTHER + 'api_key_env = "SPARE_KEY"', r"models\.execution\.fallback\.api_key_env: .* SPARE_KEY"),
        ('name = "x"\nbase_url = "b.example"', r"models\.execution\.fallback\.base_url: must be like"),
    ],
)
def test_what_cannot_be_used_is_named(directory: Path, lines: str, message: str) -> None:
    with pytest.raises(ProfileInvalid, match=message):
        fallback_settings(profile(directory, ("execution", lines)), DEPLOYED, {})


async def test_the_key_of_a_fallback_is_in_no_line_of_the_process(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARE_KEY", "plain-key-of-the-fallback")
    keyed = profile(directory, ("execution", OTHER + 'api_key_env = "SPARE_KEY"'))
    stream = io.StringIO()
    with loggers_kept():
        configure_logging(Settings(), stream=stream)
        async with AsyncExitStack() as resources:
            client = await resources.enter_async_context(create_model_client(DEPLOYED))
            await open_fallbacks(only(keyed), DEPLOYED, client, resources)
        log = structlog.get_logger("core.test")
        log.info("a tool says its environment", value="plain-key-of-the-fallback")
        # A library that brings its own handlers makes the process configure its logging again.
        configure_logging(Settings(), stream=stream)
        log.info("again", value="plain-key-of-the-fallback")

    assert stream.getvalue().count("[redacted]") == 2
    assert "plain-key" not in stream.getvalue()


async def test_a_client_is_opened_for_each_further_address_and_key(directory: Path) -> None:
    found = profile(directory, ("intent", OTHER), ("execution", OTHER), ("report", 'name = "small"'))
    async with AsyncExitStack() as resources:
        client = await resources.enter_async_context(create_model_client(DEPLOYED))
        endpoints = (await open_fallbacks(only(found), DEPLOYED, client, resources))["ada"]

        assert endpoints["report"].client is client
        assert endpoints["intent"].client is endpoints["execution"].client
        assert endpoints["intent"].client is not client
        assert "authorization" not in endpoints["intent"].client.headers
    assert endpoints["intent"].client.is_closed
