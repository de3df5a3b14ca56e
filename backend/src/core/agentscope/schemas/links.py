"""Paths of the API that answers name, so that a client never builds one itself. No host: answers are relative."""

from __future__ import annotations

from urllib.parse import quote, urlencode

API_PREFIX = "/api/v1/agent"


def events_url(thread_id: str, run_id: str | None = None) -> str:
    """Return where a thread, or one run of it, is followed."""
    query = {"threadId": thread_id} | ({"runId": run_id} if run_id else {})
    return f"{API_PREFIX}/events?{urlencode(query)}"


def history_url(thread_id: str) -> str:
    """Return where a thread's messages are read."""
    return f"{API_PREFIX}/history?threadId={quote(thread_id)}"
