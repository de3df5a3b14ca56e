"""The numbers of entries of a body, before a model is built for each of them."""

from __future__ import annotations

import threading
from typing import Any

import httpx
import pytest
from tests.support.memory_container import memory_container

from agentroute.app import create_app
from core import schema_patterns
from core.agentscope.schemas.agent_runtime import RunCommand
from core.config import IdentitySettings, LimitSettings, Settings
from core.errors import InvalidRequest, LimitExceeded
from core.schema_patterns import MAX_PATTERN_UNITS
from core.validation import parse
from v1.agent import run_answers
from v1.agent.limits import MAX_ANSWERS, MAX_CONTEXT, MAX_PARTS, check_counts, check_tools

LIMITS = LimitSettings(max_messages=500, max_tools=3)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"messages": [5] * 501}, "/messages"),
        ({"tools": [None] * 4}, "/tools"),
        ({"context": [5] * (MAX_CONTEXT + 1)}, "/context"),
        ({"resume": [{}] * (MAX_ANSWERS + 1)}, "/resume"),
        ({"messages": [{"content": [5] * (MAX_PARTS + 1)}]}, "/messages/0/content"),
        # Many messages with a few parts each are as expensive.
        ({"messages": [{"content": [5] * 100}] * 101}, "/messages/100/content"),
        ({"messages": [{}, {"toolCalls": [5] * (MAX_PARTS + 1)}]}, "/messages/1/toolCalls"),
    ],
)
def test_too_many_entries_are_refused_at_their_place(body: dict[str, Any], pointer: str) -> None:
    with pytest.raises(LimitExceeded) as caught:
        check_counts(body, LIMITS)

    assert [error["pointer"] for error in caught.value.errors] == [pointer]


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "text",
        {},
        {"messages": None, "tools": 5, "context": "x", "resume": {}},
        {"messages": [None, 5, {"content": "x" * 99_999, "toolCalls": None}]},
        {"messages": [{"content": [5] * (MAX_PARTS // 500)}] * 500, "tools": [{}] * 3},
    ],
)
def test_other_bodies_are_left_to_the_models(body: Any) -> None:
    check_counts(body, LIMITS)


@pytest.mark.parametrize("path", ["/runs", "/resume", "/events"])
async def test_no_model_is_built_for_a_body_with_too_many_entries(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[Any] = []

    def count(model: Any, value: Any, **options: Any) -> Any:
        built.append(model)
        return parse(model, value, **options)

    monkeypatch.setattr(run_answers, "parse", count)
    settings = Settings(identity=IdentitySettings(mode="local"))
    transport = httpx.ASGITransport(create_app(settings, container=memory_container(settings)))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
        answer = await client.post(f"/api/v1/agent{path}", json={"context": [5] * 190_000})

    assert (answer.status_code, answer.json()["code"]) == (422, "limit-exceeded")
    assert built == []


def command(*parameters: dict[str, Any]) -> RunCommand:
    tools = [{"name": f"tool-{place}", "parameters": schema} for place, schema in enumerate(parameters)]
    return RunCommand.model_validate({"tools": tools})


def doubled(leaf: dict[str, Any], times: int) -> dict[str, Any]:
    """Return a schema that says a leaf 2 ** times times, by references."""
    definitions: dict[str, Any] = {"d0": leaf}
    for step in range(times):
        link = {"$ref": f"#/$defs/d{step}"}
        definitions[f"d{step + 1}"] = {"allOf": [link, link]}
    return {"type": "object", "properties": {"x": {"$ref": f"#/$defs/d{times}"}}, "$defs": definitions}


def test_empty_schemas_are_not_free() -> None:
    with pytest.raises(InvalidRequest, match="/tools/0"):
        check_tools(command(doubled({"allOf": [{}] * 4000}, 12)))


def test_all_tools_of_a_request_share_what_references_may_make_of_them() -> None:
    large = doubled({"type": "object", "description": "x" * 1000}, 7)

    check_tools(command(large, large, large))
    with pytest.raises(InvalidRequest, match="/tools/3"):
        check_tools(command(*[large] * 64))


def with_patterns(*patterns: str) -> dict[str, Any]:
    return {"type": "object", "patternProperties": {pattern: {} for pattern in patterns}}


def test_all_tools_of_a_request_share_a_budget_for_patterns(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(schema_patterns, "compile_pattern", seen.append)
    half = [f"^a{place}$" for place in range(MAX_PATTERN_UNITS // 2)]
    other = [f"^b{place}$" for place in range(MAX_PATTERN_UNITS // 2)]

    # The same patterns in every tool cost once.
    check_tools(command(*[with_patterns(*half)] * 20, with_patterns(*other)))
    seen.clear()
    with pytest.raises(InvalidRequest) as refused:
        check_tools(command(with_patterns(*half), with_patterns(*other), with_patterns("^c$", *half)))

    (error,) = refused.value.errors
    assert error["pointer"] == "/tools/2/parameters/patternProperties/^c$"
    assert f"{MAX_PATTERN_UNITS} short patterns are allowed" in error["message"]
    assert set(seen) == {*half, *other}


async def test_tools_are_checked_in_a_thread_however_small_the_body_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads: list[bool] = []

    def note(*_: Any, **_options: Any) -> Any:
        threads.append(threading.get_ident() != loop)
        raise LimitExceeded("far enough")

    loop = threading.get_ident()
    monkeypatch.setattr(run_answers, "read_command", note)
    settings = Settings(identity=IdentitySettings(mode="local"))
    transport = httpx.ASGITransport(create_app(settings, container=memory_container(settings)))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
        for tools in ([], [{"name": "t", "parameters": with_patterns("a")}]):
            _ = await client.post("/api/v1/agent/runs", json={"tools": tools})

    assert threads == [False, True]
