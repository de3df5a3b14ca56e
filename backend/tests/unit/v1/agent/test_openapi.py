"""The API description is typed, has examples, and says what the service really answers."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from agentroute.app import create_app
from core.config import Settings
from core.errors import (
    AgentBackendError,
    FileQuotaExceeded,
    FilesUnavailable,
    FileUnknown,
)
from core.storage_errors import StorageQuotaExceeded

RECORDED = Path(__file__).parents[3] / "recorded"
BASE = "/api/v1/agent"
DOCUMENT = "doc:"
SCHEMAS = f"{DOCUMENT}#/components/schemas/"


@functools.cache
def described() -> dict[str, Any]:
    return absolute(json.loads(json.dumps(create_app(Settings()).openapi())))


@pytest.fixture
def document() -> dict[str, Any]:
    return described()


@functools.cache
def registry() -> Registry[Any]:
    resource = Resource.from_contents(described(), default_specification=DRAFT202012)
    return Registry().with_resource(DOCUMENT, resource)


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    """Validate by a schema whose references are into the document."""
    return Draft202012Validator(schema, registry=registry())


def absolute(node: Any) -> Any:
    if isinstance(node, dict):
        return {
            key: f"{DOCUMENT}{value}" if key == "$ref" and str(value).startswith("#") else absolute(value)
            for key, value in node.items()
        }
    return [absolute(item) for item in node] if isinstance(node, list) else node


@functools.cache
def named(name: str) -> Draft202012Validator:
    return validator({"$ref": f"{SCHEMAS}{name}"})


def responses(document: dict[str, Any]) -> list[tuple[str, str, str, dict[str, Any]]]:
    return [
        (f"{method.upper()} {path}", status, media_type, content)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        for status, response in operation["responses"].items()
        for media_type, content in response.get("content", {}).items()
    ]


PROBLEM, PAGE = {"application/problem+json"}, {"text/html"}
PAGES: dict[str, dict[str, set[str]]] = {
    "GET /login/{loginId}": {"200": PAGE, "404": PAGE | PROBLEM, "422": PROBLEM, "503": PAGE},
    "POST /login/{loginId}": {
        "303": set(),
        "403": PAGE,
        "404": PAGE | PROBLEM,
        "422": PROBLEM,
        "429": PAGE,
        "502": PAGE,
        "503": PAGE,
    },
    "GET /callback/{server}": {
        "200": PAGE,
        "303": set(),
        "400": PAGE,
        "404": PROBLEM,
        "422": PROBLEM,
        "503": PAGE,
    },
    "GET /approvals/{link}": {
        "200": PAGE,
        "404": PAGE | PROBLEM,
        "409": PAGE,
        "422": PROBLEM,
        "503": PAGE,
    },
    "POST /approvals/{link}": {
        "200": PAGE,
        "404": PAGE | PROBLEM,
        "409": PAGE,
        "422": PROBLEM,
        "429": PAGE,
        "503": PAGE,
    },
}
"""What browsers are shown during a login, as ``test_login_routes.py`` sees it, and by links that answer a question."""


def test_every_error_is_a_problem_of_ours_or_a_page_for_browsers(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            contents = {
                status: set(response.get("content", {}))
                for status, response in operation["responses"].items()
            }
            route = f"{method.upper()} {path.removeprefix(f'{BASE}/connections').removeprefix(BASE)}"
            if route in PAGES:
                assert contents == PAGES[route], route
                continue
            for status, media_types in contents.items():
                if int(status) >= 400:
                    assert media_types == PROBLEM, (method, path, status)
    assert "HTTPValidationError" not in json.dumps(document)


def test_every_answer_of_the_api_has_an_example_that_fits(document: dict[str, Any]) -> None:
    for route, status, media_type, content in responses(document):
        if BASE not in route:
            continue
        examples = [example["value"] for example in content.get("examples", {}).values()]
        examples += [content["example"]] if "example" in content else []
        assert examples, (route, status)
        if media_type != "text/event-stream":
            for example in examples:
                assert not [*validator(content["schema"]).iter_errors(example)], (route, status)


@pytest.mark.parametrize("error", [FileUnknown, FileQuotaExceeded, StorageQuotaExceeded, FilesUnavailable])
@pytest.mark.parametrize("path", ["/runs", "/resume", "/agents/{agentId}/runs", "/agents/{agentId}/resume"])
def test_every_route_that_starts_a_run_tells_what_can_be_wrong_with_its_files(
    document: dict[str, Any], path: str, error: type[AgentBackendError]
) -> None:
    answer = document["paths"][f"{BASE}{path}"]["post"]["responses"][str(error.status)]

    assert error.code in answer["content"]["application/problem+json"]["examples"]


def test_streams_and_history_are_typed(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    stream = document["paths"][f"{BASE}/events"]["get"]["responses"]["200"]["content"]["text/event-stream"]

    assert stream["x-event-schema"] == {"$ref": f"{SCHEMAS}AgUiEvent"}
    history = schemas["HistorySnapshotResponse"]["properties"]
    assert history["messages"]["items"] == {"$ref": f"{SCHEMAS}AgUiMessage"}
    assert history["pendingInterrupts"]["items"] == {"$ref": f"{SCHEMAS}AgUiInterrupt"}
    kinds = {reference["$ref"].rpartition("/")[2] for reference in schemas["AgUiEvent"]["oneOf"]}
    assert {"AgUiRunStartedEvent", "AgUiTextMessageContentEvent", "AgUiCustomEvent"} <= kinds


@pytest.mark.parametrize("path", sorted(RECORDED.glob("streams/*.json")), ids=lambda path: path.stem)
def test_recorded_streams_and_messages_are_as_described(path: Path) -> None:
    recorded = json.loads(path.read_text())
    events, messages = named("AgUiEvent"), named("AgUiMessage")
    frames = "".join(recorded["frames"]) if isinstance(recorded["frames"], list) else recorded["frames"]
    said = [
        json.loads(line.removeprefix("data: ")) for line in frames.split("\n") if line.startswith("data: ")
    ]

    assert said
    for event in said:
        assert not [*events.iter_errors(event)], event
    for message in recorded["messages"]:
        assert not [*messages.iter_errors(message)], message
