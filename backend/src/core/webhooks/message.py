"""The body of a message: what a receiver is told of the end of a run. Pure.

It is made of rows that do not change after the end, so every try says the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson
from sqlalchemy import RowMapping

from core.webhooks.approval_token import LinkedQuestion

TEST_TYPE = "webhook.test"

LinkFor = Callable[[LinkedQuestion, bool], str]
"""Returns the address that answers a question, with yes or with no."""


def run_message(run: RowMapping, questions: Sequence[RowMapping], links: LinkFor | None) -> bytes:
    """Return the body of a message about a run.

    Args:
        run: As ``outbox.py`` reads it.
        questions: The interrupts with which it ended.
        links: Makes the links of approvals; ``None``: there are none.
    """
    data: dict[str, Any] = {
        "threadId": run["thread_id"],
        "runId": run["run_id"],
        "parentRunId": run["parent_run_id"],
        "agentId": run["agent_id"],
        "tenantId": run["tenant_id"],
        "userId": run["user_id"],
        "status": run["status"],
        "errorCode": run["error_code"],
        "createdAt": _time(run["created_at"]),
        "startedAt": _time(run["started_at"]),
        "endedAt": _time(run["ended_at"]),
        "usage": _present(
            {
                "inputTokens": run["input_tokens"],
                "outputTokens": run["output_tokens"],
                "cost": _cost(run["cost"]),
                "currency": None if run["cost"] is None else "USD",
            }
        ),
    }
    if questions:
        data["interrupts"] = [_question(run, each, links) for each in questions]
    body = {"type": run["type"], "timestamp": _time(run["ended_at"]), "data": _present(data)}
    return orjson.dumps(body)


def probe_message(name: str, now: datetime) -> bytes:
    """Return the body of a message that only tries an endpoint."""
    return orjson.dumps({"type": TEST_TYPE, "timestamp": _time(now), "data": {"endpoint": name}})


def _question(run: RowMapping, row: RowMapping, links: LinkFor | None) -> dict[str, Any]:
    told = {
        "id": row["interrupt_id"],
        "reason": row["reason"],
        "message": row["message"],
        "toolCallId": row["tool_call_id"],
        "toolName": row["tool_name"],
        "expiresAt": _time(row["expires_at"]),
    }
    if links is not None and is_yes_or_no(orjson.loads(row["response_schema"])):
        question = LinkedQuestion(row["id"], row["interrupt_id"], run["run_pk"], run["run_id"])
        told |= {"approveUrl": links(question, True), "denyUrl": links(question, False)}
    return _present(told)


def is_yes_or_no(schema: Any) -> bool:
    """Return whether ``{"approved": true}`` and ``{"approved": false}`` answer a question, by its schema."""
    if not isinstance(schema, Mapping) or schema.get("type") != "object":
        return False
    properties, required = schema.get("properties"), schema.get("required", [])
    approved = properties.get("approved") if isinstance(properties, Mapping) else None
    return (
        isinstance(approved, Mapping)
        and approved.get("type") == "boolean"
        and approved.keys() <= {"type", "title", "description"}
        and isinstance(required, list)
        and set(map(str, required)) <= {"approved"}
        # Anything else may ask for more than a yes or a no.
        and schema.keys()
        <= {"type", "title", "description", "properties", "required", "additionalProperties"}
    )


def _present(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _time(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _cost(value: Decimal | None) -> str | None:
    return None if value is None else format(value.normalize(), "f")
