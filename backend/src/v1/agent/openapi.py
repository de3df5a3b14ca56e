"""The parts of the API description that signatures cannot express: bodies read by hand, streams, problems."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from core import agent_errors, errors, identity_errors
from core.agentscope.events.run_status import QUEUED, RUNNING
from core.agentscope.schemas.agent_runtime import ResumeCommand, RunCommand
from core.agentscope.schemas.api_keys import CreateKeyCommand, RotateKeyCommand
from core.agentscope.schemas.connections import LoginCommand, TokenCommand
from core.agentscope.schemas.links import API_PREFIX, events_url, file_url, history_url, runs_url
from core.agentscope.schemas.schedules import ChangeScheduleCommand, CreateScheduleCommand
from core.agentscope.schemas.threads import RenameThreadCommand
from core.errors import AgentBackendError
from core.problem import MEDIA_TYPE, problem
from core.storage_errors import StorageQuotaExceeded
from core.user_data_errors import ErasureUnderWay
from v1.agent.agui_schemas import EVENT, add_agui_schemas
from v1.agent.wire import CancelCommand, ConnectCommand, Problem, TicketCommand

BODY_ERRORS: tuple[type[AgentBackendError], ...] = (
    errors.MalformedJson,
    errors.BodyTooLarge,
    errors.UnsupportedMediaType,
    errors.InvalidText,
    errors.UploadTimeout,
    errors.RateLimited,
    errors.Overloaded,
)
"""Of every route that reads a JSON body."""

START_ERRORS: tuple[type[AgentBackendError], ...] = (
    errors.Unauthenticated,
    errors.NotFound,
    agent_errors.AgentUnknown,
    errors.InvalidRequest,
    errors.StoreUnavailable,
    *BODY_ERRORS,
    errors.RunActive,
    agent_errors.AgentFixed,
    errors.InterruptOpen,
    errors.InterruptUncovered,
    errors.InterruptResolved,
    errors.InterruptExpired,
    errors.LimitExceeded,
    errors.AttachmentUnsupported,
    errors.FileUnknown,
    errors.FileQuotaExceeded,
    StorageQuotaExceeded,
    errors.FilesUnavailable,
    errors.IdempotencyMismatch,
    errors.UrlNotAllowed,
    errors.BudgetExhausted,
    errors.QueueFull,
    errors.CursorAhead,
    errors.CursorExpired,
)
"""Of every route that starts a run."""

_REFERENCE = "#/components/schemas/{model}"

RUN_EXAMPLES: dict[str, Any] = {
    "message": {
        "summary": "A message in a thread; ids are optional",
        "value": {
            "threadId": "thread-1",
            "runId": "run-1",
            "messages": [{"id": "m-1", "role": "user", "content": "what time is it in Lisbon?"}],
        },
    },
    "ag-ui": {
        "summary": "RunAgentInput as an AG-UI 1.0 client sends it",
        "value": {
            "protocolVersion": "1.0",
            "threadId": "thread-1",
            "runId": "run-2",
            "state": {},
            "messages": [
                {"id": "m-1", "role": "user", "content": "what time is it in Lisbon?"},
                {"id": "m-2", "role": "assistant", "content": "It is 14:05."},
                {"id": "m-3", "role": "user", "content": "and in Tokyo?"},
            ],
            "tools": [],
            "context": [],
            "forwardedProps": {"onBusy": "enqueue"},
        },
    },
    "agent": {
        "summary": "A thread with one of several agents",
        "value": {
            "threadId": "thread-2",
            "messages": [{"id": "m-1", "role": "user", "content": "what does the blue one cost?"}],
            "forwardedProps": {"agentId": "sales"},
        },
    },
    "edit": {
        "summary": "An edited message replaces m-3 and everything after it",
        "value": {
            "threadId": "thread-1",
            "messages": [{"id": "m-4", "role": "user", "content": "and in Osaka?"}],
            "forwardedProps": {"regenerateFrom": "m-3"},
        },
    },
    "regenerate": {
        "summary": "m-4 is answered again; closing the stream cancels the run",
        "value": {
            "threadId": "thread-1",
            "messages": [{"id": "m-4", "role": "user", "content": "and in Osaka?"}],
            "forwardedProps": {"regenerateFrom": "m-4", "onDisconnect": "cancel"},
        },
    },
}

RESUME_EXAMPLES: dict[str, Any] = {
    "approve": {
        "summary": "Approve the tool call",
        "value": {
            "threadId": "thread-1",
            "runId": "run-3",
            "resume": [{"interruptId": "int-1", "status": "resolved", "payload": {"approved": True}}],
        },
    },
    "cancel": {
        "summary": "Cancel the interrupt; the tool call is not executed",
        "value": {"threadId": "thread-1", "resume": [{"interruptId": "int-1", "status": "cancelled"}]},
    },
}

CONNECT_EXAMPLES: dict[str, Any] = {
    "connect": {
        "summary": "RunAgentInput as connectAgent() of an AG-UI 1.0 client sends it",
        "value": {
            "protocolVersion": "1.0",
            "threadId": "thread-1",
            "runId": "run-9",
            "state": {},
            "messages": [],
            "tools": [],
            "context": [],
            "forwardedProps": {},
        },
    },
}

ACCEPTED_EXAMPLE: dict[str, Any] = {
    "taskId": "task-7f3c",
    "threadId": "thread-1",
    "runId": "run-1",
    "status": QUEUED,
    "eventsUrl": events_url("thread-1", "run-1"),
    "historyUrl": history_url("thread-1"),
    "cursor": "1-0",
}

THREAD_EXAMPLE: dict[str, Any] = {
    "threadId": "thread-1",
    "agentId": "default",
    "title": "what time is it in Lisbon?",
    "createdAt": "2026-11-22T18:05:12.482113Z",
    "updatedAt": "2026-11-22T18:07:45.074921Z",
    "messageCount": 4,
    "activeRun": None,
    "pendingInterrupts": 0,
    "usage": {
        "inputTokens": 812,
        "outputTokens": 64,
        "cachedInputTokens": 0,
        "reasoningTokens": 0,
        "cost": "0.00042",
        "costComplete": True,
        "currency": "USD",
    },
}

THREADS_EXAMPLE: dict[str, Any] = {"threads": [THREAD_EXAMPLE], "nextBefore": "MTc5NTM2MzEyNTA3NDkyMS40Mg=="}

RUNS_EXAMPLE: dict[str, Any] = {
    "runs": [
        {
            "threadId": "thread-1",
            "runId": "run-1",
            "taskId": "task-7f3c",
            "agentId": "default",
            "status": "succeeded",
            "attempt": 1,
            "cancelRequested": False,
            "createdAt": "2026-11-22T18:05:12.482113Z",
            "startedAt": "2026-11-22T18:05:12.501020Z",
            "firstTokenAt": "2026-11-22T18:05:12.653870Z",
            "endedAt": "2026-11-22T18:05:12.940412Z",
            "queueMs": 19,
            "ttftMs": 172,
            "totalMs": 458,
            "modelMs": 301,
            "toolMs": 4,
            "usage": THREAD_EXAMPLE["usage"],
            "eventsUrl": events_url("thread-1", "run-1"),
        }
    ],
    "nextBefore": "NDI=",
}

FILE_EXAMPLE: dict[str, Any] = {
    "fileId": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "mediaType": "application/pdf",
    "bytes": 48213,
    "name": "bill.pdf",
    "createdAt": "2026-11-27T12:05:12.482113Z",
    "url": file_url("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
}

FILES_EXAMPLE: dict[str, Any] = {"files": [FILE_EXAMPLE], "nextBefore": None}

HISTORY_EXAMPLE: dict[str, Any] = {
    "threadId": "thread-1",
    "agentId": "default",
    "title": "what time is it in Lisbon?",
    "messages": [
        {"id": "m-1", "role": "user", "content": "what time is it in Lisbon?"},
        {
            "id": "msg-1",
            "role": "assistant",
            "content": "It is 14:05.",
            "metadata": {"model": "demo", "inputTokens": 812, "outputTokens": 9, "latencyMs": 310},
        },
    ],
    "state": None,
    "pendingInterrupts": [],
    "activeRun": None,
    "cursor": "1-12",
    "hasMore": False,
    "nextBefore": None,
    "usage": THREAD_EXAMPLE["usage"],
}

CANCEL_EXAMPLE: dict[str, Any] = {"threadId": "thread-1", "runId": "run-1", "status": RUNNING}

CAPABILITIES_EXAMPLE: dict[str, Any] = {
    "identity": {"name": "Assistant", "type": "agentroute", "version": "0.1.0"},
    "transport": {"streaming": True, "websocket": False, "httpBinary": False, "pushNotifications": False},
    "custom": {"resumable": True, "cursor": "Last-Event-ID"},
}

AGENTS_EXAMPLE: dict[str, Any] = {
    "agents": [
        {
            "id": "sales",
            "name": "Sales",
            "description": "Answers questions about prices.",
            "default": False,
            "tools": [{"name": "calculate", "description": "Calculates.", "permission": "allow"}],
            "capabilities": CAPABILITIES_EXAMPLE,
            "runsUrl": runs_url("sales"),
        }
    ]
}

RENAME_EXAMPLES: dict[str, Any] = {
    "rename": {"summary": "Another title", "value": {"title": "Time zones"}},
}

LOGIN_EXAMPLES: dict[str, Any] = {
    "page": {"summary": "The login ends with a page of this service", "value": {}},
    "app": {
        "summary": "It ends in the application",
        "value": {"returnUrl": "https://app.example.com/settings"},
    },
}

LOGIN_EXAMPLE: dict[str, Any] = {
    "url": "https://agents.example.com/api/v1/agent/connections/login/dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
}

CONNECTION_EXAMPLE: dict[str, Any] = {
    "server": "github",
    "auth": "user-token",
    "state": "connected",
    "connectedAt": "2026-11-27T12:05:12.482113Z",
    "updatedAt": "2026-11-27T12:05:12.482113Z",
    "agents": ["default"],
}

CONNECTIONS_EXAMPLE: dict[str, Any] = {
    "connections": [
        CONNECTION_EXAMPLE,
        {"server": "tickets", "auth": "oauth", "state": "absent", "agents": ["default"]},
    ]
}

TOKEN_EXAMPLES: dict[str, Any] = {
    "token": {"summary": "A token that you made at the server", "value": {"token": "example-token"}},
}

_CALLS_EXAMPLE: dict[str, Any] = {
    "calls": 3,
    "estimatedCalls": 0,
    "inputTokens": 2233,
    "outputTokens": 81,
    "cachedInputTokens": 512,
    "cacheWriteTokens": 0,
    "reasoningTokens": 0,
    "cost": "0.00042",
    "unknownCostCalls": 0,
    "modelMs": 3120,
    "latencyMs": {"p50": 870, "p95": 1640},
    "ttftMs": {"p50": 310, "p95": 420},
}
_SPEECH_EXAMPLE: dict[str, Any] = {"calls": 1, "audioMs": 2140, "cost": "0.000214", "unknownCostCalls": 0}

USAGE_EXAMPLE: dict[str, Any] = {
    "from": "2026-11-01T00:00:00Z",
    "to": "2026-11-23T00:00:00Z",
    "groupBy": "day",
    "currency": "USD",
    "totals": _CALLS_EXAMPLE,
    "rows": [_CALLS_EXAMPLE | {"day": "2026-11-22"}],
    "truncated": False,
    "transcriptions": {"totals": _SPEECH_EXAMPLE, "rows": [_SPEECH_EXAMPLE | {"day": "2026-11-22"}]},
    "stored": {"bytes": 1048576, "limitBytes": 10737418240},
}

_STREAM_EXAMPLE = """retry: 2000

id: 1-1
data: {"type":"RUN_STARTED","threadId":"thread-1","runId":"run-1","protocolVersion":"1.0","timestamp":1795363125074}

id: 1-2
data: {"type":"TEXT_MESSAGE_START","messageId":"msg-1","role":"assistant","timestamp":1795363125310}

: hb

"""

STREAM_RESPONSE: dict[str, Any] = {
    "description": (
        "Server-sent events: one AG-UI 1.0 event per frame. The id is the event's cursor. A comment is sent after 15 s of silence."
    ),
    "content": {
        "text/event-stream": {
            "schema": {"type": "string"},
            # OpenAPI 3.1 has no word for it: the schema of the JSON in each data line.
            "x-event-schema": {"$ref": EVENT},
            "example": _STREAM_EXAMPLE,
        }
    },
}


def json_body(model: type[BaseModel], examples: dict[str, Any]) -> dict[str, Any]:
    """Describe a body that the route parses itself; :func:`add_schemas` defines the model."""
    content = {"schema": {"$ref": _REFERENCE.format(model=model.__name__)}, "examples": examples}
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


def accepted(example: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    """Describe a 202 by example. What it names can be followed, read and cancelled: its links."""
    content = {"application/json": {"example": example}}
    return {202: {"description": "Durable.", "content": content, "links": _links()}}


def _links() -> dict[str, Any]:
    thread = {"threadId": "$response.body#/threadId"}
    run = thread | {"runId": "$response.body#/runId"}
    return {
        name: {"operationRef": f"#/paths/{path.replace('~', '~0').replace('/', '~1')}/{method}"} | members
        for name, path, method, members in (
            ("events", f"{API_PREFIX}/events", "get", {"parameters": run}),
            ("run", f"{API_PREFIX}/runs/{{runId}}", "get", {"parameters": run}),
            (
                "cancel",
                f"{API_PREFIX}/runs/{{runId}}/cancel",
                "post",
                {"parameters": {"runId": run["runId"]}, "requestBody": thread},
            ),
            ("history", f"{API_PREFIX}/history", "get", {"parameters": thread}),
            ("thread", f"{API_PREFIX}/threads/{{threadId}}", "get", {"parameters": thread}),
            ("runs", f"{API_PREFIX}/threads/{{threadId}}/runs", "get", {"parameters": thread}),
        )
    }


def answer(example: dict[str, Any], status: int = 200) -> dict[int | str, dict[str, Any]]:
    """Describe an answer by example."""
    return {status: {"content": {"application/json": {"example": example}}}}


def problems(*kinds: type[AgentBackendError]) -> dict[int | str, dict[str, Any]]:
    """Describe the error responses of a route, grouped by status, each with an example.

    A route that asks for a credential also refuses one that does not permit it, that has been used too
    often, or that cannot be checked now; and whoever is being erased.
    """
    described: dict[int | str, dict[str, Any]] = {}
    if errors.Unauthenticated in kinds:
        of_all = (
            errors.Forbidden,
            errors.RateLimited,
            identity_errors.IssuerUnavailable,
            ErasureUnderWay,
        )
        kinds = tuple(dict.fromkeys((*kinds, *of_all)))
    for kind in kinds:
        response = described.setdefault(kind.status, {"description": "", "content": {}})
        titles = [response["description"], f"{kind.title} (`{kind.code}`)"]
        response["description"] = "; ".join(filter(None, titles))
        content = response["content"].setdefault(
            MEDIA_TYPE, {"schema": {"$ref": _REFERENCE.format(model="Problem")}, "examples": {}}
        )
        content["examples"][kind.code] = {
            "summary": kind.title,
            "value": problem(kind(), instance=f"{API_PREFIX}/runs") | {"requestId": "b1946ac92492d234"},
        }
    return described


def add_schemas(document: dict[str, Any]) -> None:
    """Define the models that routes refer to by name."""
    models = (
        RunCommand,
        ResumeCommand,
        ConnectCommand,
        CancelCommand,
        RenameThreadCommand,
        LoginCommand,
        TokenCommand,
        CreateKeyCommand,
        RotateKeyCommand,
        CreateScheduleCommand,
        ChangeScheduleCommand,
        TicketCommand,
        Problem,
    )
    _, definitions = models_json_schema(
        [(model, "validation") for model in models], by_alias=True, ref_template=_REFERENCE
    )
    schemas: dict[str, Any] = document.setdefault("components", {}).setdefault("schemas", {})
    for name, schema in definitions["$defs"].items():
        schemas.setdefault(name, schema)
    add_agui_schemas(schemas)
    # FastAPI's own form of a 422; no route answers so.
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
