"""Examples of keys and tickets for the API description. The keys are none: their checksum is wrong."""

from __future__ import annotations

from typing import Any

from core.agentscope.schemas.links import events_url

KEY_EXAMPLE: dict[str, Any] = {
    "keyId": "4fQ2bX9mTz7K",
    "userId": "nightly-report",
    "name": "The report of every night",
    "scopes": ["agent:sales", "read", "run"],
    "state": "live",
    "createdAt": "2026-11-27T09:30:00Z",
    "createdBy": "user:ada",
    "expiresAt": "2027-02-25T09:30:00Z",
    "lastUsedAt": "2026-11-27T22:00:04Z",
}
ISSUED_KEY_EXAMPLE: dict[str, Any] = KEY_EXAMPLE | {"key": "ar_4fQ2bX9mTz7K_…"}
KEYS_EXAMPLE: dict[str, Any] = {"keys": [KEY_EXAMPLE], "nextBefore": None}
CREATE_KEY_EXAMPLES: dict[str, Any] = {
    "machine": {
        "summary": "A machine that runs one agent, for 90 days",
        "value": {
            "userId": "nightly-report",
            "name": "The report of every night",
            "scopes": ["run", "read", "agent:sales"],
        },
    },
    "never": {
        "summary": "A key that never expires",
        "value": {"userId": "nightly-report", "expiresInDays": "never"},
    },
}
ROTATE_KEY_EXAMPLES: dict[str, Any] = {
    "hour": {"summary": "The old secret is good for another hour", "value": {"overlapSeconds": 3600}}
}
TICKET_EXAMPLE: dict[str, Any] = {
    "ticket": "art_…",
    "eventsUrl": events_url("thread-1", "run-1") + "&ticket=art_…",
    "firstUseSeconds": 30,
    "lastsSeconds": 900,
}
TICKET_EXAMPLES: dict[str, Any] = {
    "run": {"summary": "One run", "value": {"threadId": "thread-1", "runId": "run-1"}},
    "thread": {"summary": "The whole thread", "value": {"threadId": "thread-1"}},
}
