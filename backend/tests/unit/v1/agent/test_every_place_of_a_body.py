"""Any JSON value, at any place of a body, is accepted or refused as the caller's mistake; also the one nobody thought of.

Nothing is validated yet where a body is put in form: a type may be an object, a list of parts may be a number.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from core.agentscope.schemas.agent_runtime import ResumeCommand, RunCommand
from core.config import LimitSettings
from core.errors import AgentBackendError
from v1.agent.checked_command import read_command

LIMITS = LimitSettings()
KINDS: list[Any] = [
    None,
    True,
    -1,
    2**64 - 1,
    0.5,
    1e308,
    "",
    "data:",
    "\U0001f600",
    [],
    [{}],
    [[]],
    {},
    {"type": {}},
]
SOURCES: list[dict[str, Any]] = [
    {"type": "data", "value": "aGk=", "mimeType": "image/png"},
    {"type": "url", "value": "data:text/plain,hi", "mimeType": "text/plain"},
    {"type": "file", "value": "f-1", "provider": "agentroute"},
]
PARTS: list[dict[str, Any]] = [
    {"type": "text", "text": "hi", "id": "p-1", "metadata": {"filename": "a"}},
    *({"type": "image", "source": source} for source in SOURCES),
    {"type": "binary", "mimeType": "image/png", "data": "aGk=", "filename": "a.png"},
]
CALL = {"id": "c-1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
BODY: dict[str, Any] = {
    "threadId": "t",
    "runId": "r",
    "protocolVersion": "1.0",
    "parentRunId": "p",
    "state": {"a": 1},
    "messages": [
        {"id": "m-1", "role": "user", "content": PARTS, "name": "ada", "metadata": {"a": 1}},
        {"id": "m-2", "role": "assistant", "content": [{"type": "text", "text": "hi"}], "toolCalls": [CALL]},
        {"id": "m-3", "role": "tool", "toolCallId": "c-1", "content": PARTS, "error": "no"},
        {"id": "m-4", "role": "activity", "content": {"a": 1}},
    ],
    "tools": [{"name": "f", "description": "d", "parameters": {"type": "object", "properties": {"a": {}}}}],
    "context": [{"description": "d", "value": "v"}],
    "forwardedProps": {
        "onBusy": "enqueue",
        "agentId": "default",
        "regenerateFrom": "m-1",
        "switchAgent": True,
    },
    "resume": [{"interruptId": "i", "status": "resolved", "payload": {"approved": True}, "metadata": {}}],
}


def places(node: Any, *path: str | int) -> Iterator[tuple[str | int, ...]]:
    yield path
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for step, child in children:
        yield from places(child, *path, step)


def with_value(path: tuple[str | int, ...], value: Any) -> Any:
    body = deepcopy(BODY)
    *steps, last = path
    node: Any = body
    for step in steps:
        node = node[step]
    node[last] = value
    return body


def refusal_of(model: type[RunCommand], body: Any) -> int | str | None:
    """Return the status that refuses a body; of a fault of ours, what it is."""
    try:
        read_command(model, body, LIMITS)
    except AgentBackendError as refusal:
        return refusal.status
    except Exception as fault:  # noqa: BLE001 - every other error is what is looked for
        return repr(fault)
    return None


@pytest.mark.parametrize("model", [RunCommand, ResumeCommand])
def test_any_value_at_any_place_is_read_or_refused(model: type[RunCommand]) -> None:
    assert refusal_of(model, BODY) is None
    for path in list(places(BODY))[1:]:
        for kind in KINDS:
            body = with_value(path, kind)
            assert refusal_of(model, body) in (None, *range(400, 500)), (path, kind)
