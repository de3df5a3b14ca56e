"""Requests that name something by its id: one or several for each route that takes one, made from the table of routes."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Any

import httpx

from core.agentscope.schemas.links import API_PREFIX
from v1.agent.route_access import ACCESS

_BESIDE = API_PREFIX.rpartition("/")[0]
_STREAM = {"Accept": "text/event-stream"}
# What differs between two equal answers: how much of a rate is left, when the answer was sent.
_OF_THE_MOMENT = frozenset({"x-request-id", "date", "ratelimit", "ratelimit-policy"})

Route = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Ids:
    """The ids of things that belong together."""

    thread: str
    run: str
    message: str
    interrupt: str
    file: str
    key: str
    user: str
    row: str = str(2**60)
    """The number by which operators know the run."""
    schedule: str = "no-such-schedule"

    def named(self) -> list[tuple[str, str]]:
        """Return the name and the value of each id, the longest value first: one may be a part of another."""
        # A row is a number, which may be a part of anything.
        found = [(field.name, getattr(self, field.name)) for field in fields(self) if field.name != "row"]
        return sorted(found, key=lambda named: len(named[1]), reverse=True)


ABSENT = Ids(
    "no-such-thread",
    "no-such-run",
    "no-such-message",
    "no-such-interrupt",
    "0" * 64,
    "0" * 12,
    "no-such-user",
)
"""Ids that nothing has."""

WITHOUT_IDS: frozenset[Route] = frozenset(
    {
        ("GET", f"{API_PREFIX}/capabilities"),
        ("GET", f"{API_PREFIX}/agents"),
        ("GET", f"{API_PREFIX}/agents/{{agentId}}/capabilities"),  # an agent is the deployment's
        ("POST", f"{API_PREFIX}/files"),
        ("POST", f"{API_PREFIX}/transcribe"),
        ("POST", f"{API_PREFIX}/keys"),
        ("POST", f"{API_PREFIX}/schedules"),
        ("GET", f"{API_PREFIX.replace('/agent', '/admin')}/access"),
        # A server is the deployment's. Whose connection it is, the credential alone says.
        ("POST", f"{API_PREFIX}/connections/{{server}}/login"),
        ("GET", f"{API_PREFIX}/connections"),
        ("GET", f"{API_PREFIX}/export"),
        ("DELETE", f"{API_PREFIX}/me"),
        ("GET", f"{API_PREFIX}/memory"),
        ("DELETE", f"{API_PREFIX}/memory"),
        ("PUT", f"{API_PREFIX}/connections/{{server}}"),
        ("DELETE", f"{API_PREFIX}/connections/{{server}}"),
        *(route for route in ACCESS if "/embedded/" in route[1]),
    }
)
"""Routes that take no id of a user's."""
TRIED_ALONE: frozenset[Route] = frozenset(
    {
        ("DELETE", f"{API_PREFIX}/memory/{{memoryId}}"),  # integration/v1/agent/test_memory_live.py
        ("DELETE", f"{API_PREFIX.replace('/agent', '/admin')}/users"),  # test_two_tenants_live.py, at its end
    }
)
"""Routes whose answers to many requests at once differ, or whose ids only a tool makes: tests of their own try them."""
CREATES: frozenset[Route] = frozenset(
    {("POST", f"{API_PREFIX}/runs"), ("POST", f"{API_PREFIX}/agents/{{agentId}}/runs")}
)
"""Routes that make the caller's own thread where there is none of the id."""
LISTS: frozenset[Route] = frozenset(
    ("GET", place)
    for place in (
        *(f"{API_PREFIX}/{name}" for name in ("threads", "files", "usage", "keys", "schedules")),
        f"{_BESIDE}/admin/runs",
    )
)
"""Routes that list what the caller has."""


@dataclass(frozen=True, slots=True)
class NamedRequest:
    """A request that names ids."""

    route: Route
    url: str
    options: dict[str, Any]

    async def send(self, client: httpx.AsyncClient) -> httpx.Response:
        """Send it, and read the whole answer."""
        return await client.request(self.route[0], self.url, **self.options)


def named_requests(ids: Ids, *, agent: str = "default") -> list[NamedRequest]:
    """Return the requests that name these ids, for every route that takes one."""
    thread = {"threadId": ids.thread}
    run = thread | {"runId": ids.run}
    body = run | {"protocolVersion": "1.0", "messages": [], "tools": [], "context": [], "state": {}}
    answers = [{"interruptId": ids.interrupt, "status": "resolved", "payload": {"approved": True}}]
    hello, again = ([{"id": id_, "role": "user", "content": "hello"}] for id_ in ("m-1", "m-2"))
    by_route: dict[tuple[str, str], list[dict[str, Any]]] = {
        ("POST", "/runs"): [{"json": body | {"runId": f"own-{ids.thread}", "messages": hello}}],
        ("POST", "/agents/{agentId}/runs"): [
            {"json": body | {"runId": f"own-of-agent-{ids.thread}", "messages": again}}
        ],
        ("POST", "/resume"): [{"json": body | {"resume": answers}}],
        ("POST", "/agents/{agentId}/resume"): [{"json": body | {"resume": answers}}],
        ("GET", "/events"): [
            {"params": thread, "headers": _STREAM},
            {"params": run, "headers": _STREAM},
            {"params": run | {"cursor": "1-1"}, "headers": _STREAM},
            {"params": thread | {"connect": "true"}, "headers": _STREAM},
        ],
        ("POST", "/events"): [{"json": body, "headers": _STREAM}],
        ("POST", "/agents/{agentId}/events"): [{"json": body, "headers": _STREAM}],
        ("POST", "/events/ticket"): [{"json": thread}, {"json": run}],
        ("GET", "/history"): [{"params": thread}, {"params": thread | {"before": ids.message}}],
        ("GET", "/runs/{runId}"): [{"params": thread}],
        ("GET", "/runs/{runId}/why"): [{"params": thread}],
        ("POST", "/runs/{runId}/cancel"): [{"json": thread}],
        ("GET", "/threads"): [{}, {"params": {"q": "canary"}}],
        ("GET", "/threads/{threadId}"): [{}],
        ("GET", "/threads/{threadId}/runs"): [{}],
        ("PATCH", "/threads/{threadId}"): [{"json": {"title": "Taken"}}],
        ("DELETE", "/threads/{threadId}"): [{}],
        ("GET", "/usage"): [{"params": {"groupBy": "thread"}}, {"params": {"groupBy": "day"}}],
        ("GET", "/files"): [{}],
        ("GET", "/files/{fileId}"): [{}, {"headers": {"Range": "bytes=0-3"}}],
        ("DELETE", "/files/{fileId}"): [{}],
        ("GET", "../admin/runs"): [
            {"params": {"userId": ids.user, "threadId": ids.thread, "status": "interrupted"}},
            {"params": {"cause": "waiting-for-approval"}},
        ],
        ("GET", "../admin/runs/{id}"): [{}],
        ("POST", "../admin/runs/{id}/cancel"): [{}],
        ("POST", "../admin/runs/{id}/requeue"): [{}],
        ("GET", "/schedules"): [{}],
        ("GET", "/schedules/{scheduleId}"): [{}],
        ("PATCH", "/schedules/{scheduleId}"): [{"json": {"enabled": False}}],
        ("DELETE", "/schedules/{scheduleId}"): [{}],
        ("POST", "/schedules/{scheduleId}/trigger"): [{}],
        ("GET", "/keys"): [{}, {"params": {"userId": ids.user, "ended": "true"}}],
        ("POST", "/keys/{keyId}/rotate"): [{"json": {}}],
        ("DELETE", "/keys/{keyId}"): [{}],
    }
    values = {
        "threadId": ids.thread,
        "runId": ids.run,
        "fileId": ids.file,
        "keyId": ids.key,
        "agentId": agent,
        "id": ids.row,
        "scheduleId": ids.schedule,
    }
    return [
        NamedRequest((method, _whole(path)), _whole(path).format(**values), options)
        for (method, path), several in by_route.items()
        for options in several
    ]


def _whole(path: str) -> str:
    """Return a path of the agent, or of the operators beside it, from the root on."""
    return path.replace("..", _BESIDE) if path.startswith("..") else f"{API_PREFIX}{path}"


def comparable(response: httpx.Response, ids: Ids) -> tuple[int, dict[str, str], str]:
    """Return an answer without what may differ: the ids that the request named, and its own id."""
    text = response.text.replace(response.headers["x-request-id"], "")
    text = text.replace(f"/runs/{ids.row}", "/runs/<row>")
    for name, value in ids.named():
        text = text.replace(value, f"<{name}>")
    # The times of an answer: of its events, of an empty run's name, of the period of usage.
    text = re.sub(r'"timestamp":\d+|connect-\d+|"(from|to)":"[^"]+"', "", text)
    headers = {
        name: value
        for name, value in response.headers.items()
        if name not in _OF_THE_MOMENT and name != "content-length"
    }
    return response.status_code, headers, text
