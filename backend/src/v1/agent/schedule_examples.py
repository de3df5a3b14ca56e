"""Examples of schedules in the API document."""

from __future__ import annotations

from typing import Any

from core.agentscope.schemas.links import events_url

CREATE_SCHEDULE_EXAMPLES: dict[str, Any] = {
    "cron": {
        "summary": "Every working day at nine in Berlin, in a new thread each time",
        "value": {
            "scheduleId": "morning-report",
            "trigger": {"type": "cron", "cron": "0 9 * * MON-FRI", "timezone": "Europe/Berlin"},
            "message": "what happened since yesterday?",
        },
    },
    "interval": {
        "summary": "Every six hours in one thread; after an outage, once",
        "value": {
            "trigger": {"type": "interval", "everySeconds": 21600},
            "message": "look for new tickets",
            "threadId": "tickets",
            "missed": "latest",
            "onBusy": "skip",
        },
    },
    "once": {
        "summary": "Once, at a local time",
        "value": {
            "trigger": {"type": "once", "at": "2027-01-04T08:30:00", "timezone": "America/New_York"},
            "message": "remind me of the meeting",
        },
    },
}

CHANGE_SCHEDULE_EXAMPLES: dict[str, Any] = {
    "pause": {"summary": "Pause", "value": {"enabled": False}},
    "resume": {"summary": "Resume, from now on", "value": {"enabled": True}},
    "change": {
        "summary": "Other times",
        "value": {"trigger": {"type": "cron", "cron": "30 8 * * *", "timezone": "Europe/Berlin"}},
    },
}

_NAME = "2f1bd1b1a1d64c0d8f2f4e0f3e0f6a55"
FIRE_EXAMPLE: dict[str, Any] = {
    "fireAt": "2026-11-27T08:00:00Z",
    "state": "accepted",
    "manual": False,
    "attempts": 1,
    "runId": f"run-{_NAME}",
    "threadId": f"thread-{_NAME}",
    "eventsUrl": events_url(f"thread-{_NAME}", f"run-{_NAME}"),
    "settledAt": "2026-11-27T08:00:00.712204Z",
}

_SUMMARY: dict[str, Any] = {
    "scheduleId": "morning-report",
    "name": "",
    "state": "active",
    "trigger": {"type": "cron", "cron": "0 9 * * MON-FRI", "timezone": "Europe/Berlin"},
    "nextFireAt": "2026-11-30T08:00:00Z",
    "fires": 5,
    "lastFire": FIRE_EXAMPLE,
    "createdAt": "2026-11-22T18:05:12.482113Z",
    "updatedAt": "2026-11-22T18:05:12.482113Z",
}

SCHEDULE_EXAMPLE: dict[str, Any] = _SUMMARY | {
    "message": "what happened since yesterday?",
    "context": [],
    "forwardedProps": {},
    "onBusy": "enqueue",
    "missed": "skip",
    "graceSeconds": 300,
    "maxAtOnce": 10,
    "authorizedUntil": "2027-02-20T18:05:12.482113Z",
    "lastFires": [FIRE_EXAMPLE],
}

SCHEDULES_EXAMPLE: dict[str, Any] = {"schedules": [_SUMMARY], "nextBefore": None}
