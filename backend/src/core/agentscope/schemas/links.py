"""Paths of the API in answers, so that clients need not build them. The paths have no host."""

from __future__ import annotations

from urllib.parse import quote, urlencode

API_PREFIX = "/api/v1/agent"
EVENTS_PATH = f"{API_PREFIX}/events"
FILES_PATH = f"{API_PREFIX}/files"
CONNECTIONS_PATH = f"{API_PREFIX}/connections"
APPROVALS_PATH = f"{API_PREFIX}/approvals"
KEYS_PATH = f"{API_PREFIX}/keys"
ME_PATH = f"{API_PREFIX}/me"
EXPORT_PATH = f"{API_PREFIX}/export"
MEMORY_PATH = f"{API_PREFIX}/memory"
SCHEDULES_PATH = f"{API_PREFIX}/schedules"
TICKET_PATH = f"{EVENTS_PATH}/ticket"


def events_url(thread_id: str, run_id: str | None = None, *, ticket: str | None = None) -> str:
    """Return the path of the event stream of a thread or of one run; with a ticket, for a client that sends no headers."""
    query = {"threadId": thread_id} | ({"runId": run_id} if run_id else {})
    query |= {"ticket": ticket} if ticket else {}
    return f"{EVENTS_PATH}?{urlencode(query)}"


def runs_url(agent_id: str) -> str:
    """Return the path to which runs of an agent may be sent."""
    return f"{API_PREFIX}/agents/{quote(agent_id)}/runs"


def history_url(thread_id: str) -> str:
    """Return the path of a thread's history."""
    return f"{API_PREFIX}/history?threadId={quote(thread_id)}"


def file_url(file_id: str) -> str:
    """Return the path of a file's bytes."""
    return f"{FILES_PATH}/{quote(file_id)}"
