"""The probe of ``doctor``: what a model's endpoint takes, refuses and wants, and what it costs to find out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.support.scripted_endpoint import Reply, S, ScriptedEndpoint, T, calls, has, refusal, said, stream

from agentroute.model_probe import probe_models
from core.agentscope.runtime.model.request_form import STRUCTURED
from core.config import Settings

OK = stream(calls(STRUCTURED, '{"ok": true}'), T)


async def probe(endpoint: ScriptedEndpoint, **settings: Any) -> list[tuple[bool, str, str]]:
    async with endpoint.serving() as base_url:
        made = Settings.model_validate(
            {"model": {"base_url": base_url, "name": "m", "api_key": "k" * 20}} | settings
        )
        return [(result.ok, result.found, result.fix) for result in await probe_models(made)]


async def test_an_endpoint_that_takes_everything_is_asked_once() -> None:
    endpoint = ScriptedEndpoint(OK)
    assert await probe(endpoint) == [(True, "m: takes all requests as they are", "")]
    assert endpoint.bodies[0]["max_tokens"] == 16


async def test_what_it_refuses_is_printed() -> None:
    endpoint = ScriptedEndpoint(otherwise=stream(said("ok"), S))
    endpoint.when(
        has("stream_options"), refusal(400, "Unrecognized request argument supplied: stream_options")
    )
    endpoint.when(has("tools"), refusal(500, "tools param requires --jinja flag"))
    ((ok, found, _fix),) = await probe(endpoint)
    assert ok
    assert "no_stream_options, no_tools" in found or "no_tools, no_stream_options" in found
    assert "the agent only chats" in found


@pytest.mark.parametrize(
    ("reply", "found", "fix"),
    [
        (refusal(401, "bad key " + "k" * 20), "HTTP 401: bad key [redacted]", "AGENT_MODEL__API_KEY"),
        (refusal(404, "The model `m` does not exist"), "does not exist", "model's name"),
        (refusal(400, "no"), "HTTP 400: no", "operator"),
    ],
)
async def test_an_endpoint_that_does_not_answer_is_a_failed_check(reply: Reply, found: str, fix: str) -> None:
    ((ok, told, cure),) = await probe(ScriptedEndpoint(otherwise=reply))
    assert not ok
    assert found in told
    assert fix in cure


async def test_each_model_of_the_profile_is_asked_once(tmp_path: Path) -> None:
    profile = tmp_path / "agent.toml"
    stages = '[stages]\nintent = "model"\n[models.intent]\nname = "small"\n[models.report]\nname = "small"\ntemperature = 0.5\n'
    quirks = '[models.execution]\nquirks = ["no_stream_options"]\n'
    profile.write_text(f'name = "A"\ndescription = "d"\n{stages}{quirks}')
    endpoint = ScriptedEndpoint(otherwise=OK)
    results = await probe(endpoint, profile_path=profile)

    assert [found for _, found, _ in results] == [
        "small: takes all requests as they are",
        "m: requests are adapted: no_stream_options (docs/models.md).",
    ]
    asked = {body["model"]: body for body in endpoint.bodies}
    assert len(endpoint.bodies) == 2
    assert "stream_options" not in asked["m"]


async def test_a_model_that_several_agents_share_is_asked_once(tmp_path: Path) -> None:
    for agent, more in (("a", "default = true\n"), ("b", ""), ("c", '[models.execution]\nname = "large"\n')):
        (tmp_path / f"{agent}.toml").write_text(f'name = "A"\ndescription = "d"\n{more}')
    results = await probe(ScriptedEndpoint(otherwise=OK), profile_path=tmp_path)

    assert sorted(found.partition(":")[0] for _, found, _ in results) == ["large", "m"]


async def test_a_model_of_a_stage_that_is_off_is_not_asked(tmp_path: Path) -> None:
    profile = tmp_path / "agent.toml"
    off = '[stages]\nintent = "off"\nreport = "off"\n'
    models = '[models.intent]\nname = "small"\n[models.report]\nname = "large"\n'
    profile.write_text(f'name = "A"\ndescription = "d"\n{off}{models}')
    results = await probe(ScriptedEndpoint(otherwise=OK), profile_path=profile)

    assert [found for _, found, _ in results] == ["m: takes all requests as they are"]


async def test_without_an_address_or_a_profile_there_is_nothing_to_ask(tmp_path: Path) -> None:
    assert await probe_models(Settings()) == []
    assert await probe(ScriptedEndpoint(), profile_path=tmp_path / "none.toml") == []
