"""Who may do what: one row for each route of the service.

Rules:

1. A route with a credential asks for one scope, and is open to some roles. Both must hold; the answer is otherwise 403,
   and says what is missing.
2. A route that is not in the table is closed to everybody. A test walks the application and finds such a route.
3. A credential that is limited to agents (``agent:NAME``) is given the part of the route that the row names. The reads
   and writes themselves leave out the rest, so that it looks absent; only ``none`` is refused here.
4. What a caller may do says nothing about whose data it sees: every route looks up by tenant and user first.

``docs/access.md`` shows the table; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from core.agentscope.schemas.links import API_PREFIX, APPROVALS_PATH, EVENTS_PATH
from core.errors import Forbidden
from core.identity import Principal
from core.scopes import ROLES, Role, Scope

ADMIN_PREFIX = "/api/v1/admin"
_EMBEDDED = "/api/v1/embedded"


ByAgent = Literal["threads", "agents", "files", "all", "none"]
"""What is left to a credential that is limited to agents.

``threads``: the threads of these agents. ``agents``: these agents. ``files``: those that their threads name, and uploads
that no message names yet. ``all``: everything, because nothing of it belongs to an agent. ``none``: nothing.
"""


@dataclass(frozen=True, slots=True)
class Access:
    """What a route asks of its caller."""

    scope: Scope
    roles: frozenset[Role] = frozenset(ROLES)
    by_agent: ByAgent = "threads"
    """What ``agent:NAME`` leaves of the route."""


RUN = Access("run")
"""Starts, answers, changes or deletes something in the caller's threads."""
READ = Access("read")
"""Shows something of the caller's threads."""
RUN_OF_AGENT, READ_OF_AGENT = Access("run", by_agent="agents"), Access("read", by_agent="agents")
"""The same of the agents that the caller may use."""
RUN_FILES, READ_FILES = Access("run", by_agent="files"), Access("read", by_agent="files")
"""The same of the caller's files."""
RUN_OF_NONE, READ_OF_NONE = Access("run", by_agent="all"), Access("read", by_agent="all")
"""The same of what belongs to no agent."""
RUN_OF_ALL, READ_OF_ALL = Access("run", by_agent="none"), Access("read", by_agent="none")
"""The same of everything that is the caller's, whatever the agent."""
ADMIN = Access("admin", frozenset({"admin"}), by_agent="none")
"""For operators: may see and change what belongs to other users."""

ACCESS: Mapping[tuple[str, str], Access] = {
    ("POST", f"{API_PREFIX}/runs"): RUN,
    ("POST", f"{API_PREFIX}/resume"): RUN,
    ("GET", f"{API_PREFIX}/events"): READ,
    ("POST", f"{API_PREFIX}/events"): READ,
    ("POST", f"{API_PREFIX}/events/ticket"): READ,
    ("GET", f"{API_PREFIX}/history"): READ,
    ("GET", f"{API_PREFIX}/runs/{{runId}}"): READ,
    ("GET", f"{API_PREFIX}/runs/{{runId}}/why"): READ,
    ("POST", f"{API_PREFIX}/runs/{{runId}}/cancel"): RUN,
    ("GET", f"{API_PREFIX}/capabilities"): READ_OF_AGENT,
    ("GET", f"{API_PREFIX}/agents"): READ_OF_AGENT,
    ("GET", f"{API_PREFIX}/agents/{{agentId}}/capabilities"): READ_OF_AGENT,
    ("POST", f"{API_PREFIX}/agents/{{agentId}}/runs"): RUN,
    ("POST", f"{API_PREFIX}/agents/{{agentId}}/resume"): RUN,
    ("POST", f"{API_PREFIX}/agents/{{agentId}}/events"): READ,
    ("GET", f"{API_PREFIX}/threads"): READ,
    ("GET", f"{API_PREFIX}/threads/{{threadId}}"): READ,
    ("GET", f"{API_PREFIX}/threads/{{threadId}}/runs"): READ,
    ("PATCH", f"{API_PREFIX}/threads/{{threadId}}"): RUN,
    ("DELETE", f"{API_PREFIX}/threads/{{threadId}}"): RUN,
    ("GET", f"{API_PREFIX}/usage"): READ,
    ("GET", f"{API_PREFIX}/memory"): READ_OF_NONE,
    ("DELETE", f"{API_PREFIX}/memory/{{memoryId}}"): RUN_OF_NONE,
    ("DELETE", f"{API_PREFIX}/memory"): RUN_OF_NONE,
    ("DELETE", f"{API_PREFIX}/me"): RUN_OF_ALL,
    ("GET", f"{API_PREFIX}/export"): READ_OF_ALL,
    ("POST", f"{API_PREFIX}/files"): RUN_FILES,
    ("GET", f"{API_PREFIX}/files"): READ_FILES,
    ("GET", f"{API_PREFIX}/files/{{fileId}}"): READ_FILES,
    ("DELETE", f"{API_PREFIX}/files/{{fileId}}"): RUN_FILES,
    ("POST", f"{API_PREFIX}/connections/{{server}}/login"): RUN_OF_AGENT,
    ("GET", f"{API_PREFIX}/connections"): READ_OF_AGENT,
    ("PUT", f"{API_PREFIX}/connections/{{server}}"): RUN_OF_AGENT,
    ("DELETE", f"{API_PREFIX}/connections/{{server}}"): RUN_OF_AGENT,
    ("POST", f"{API_PREFIX}/transcribe"): RUN_OF_NONE,
    ("POST", f"{API_PREFIX}/schedules"): RUN_OF_AGENT,
    ("GET", f"{API_PREFIX}/schedules"): READ_OF_AGENT,
    ("GET", f"{API_PREFIX}/schedules/{{scheduleId}}"): READ_OF_AGENT,
    ("PATCH", f"{API_PREFIX}/schedules/{{scheduleId}}"): RUN_OF_AGENT,
    ("DELETE", f"{API_PREFIX}/schedules/{{scheduleId}}"): RUN_OF_AGENT,
    ("POST", f"{API_PREFIX}/schedules/{{scheduleId}}/trigger"): RUN_OF_AGENT,
    ("POST", f"{API_PREFIX}/keys"): ADMIN,
    ("GET", f"{API_PREFIX}/keys"): ADMIN,
    ("POST", f"{API_PREFIX}/keys/{{keyId}}/rotate"): ADMIN,
    ("DELETE", f"{API_PREFIX}/keys/{{keyId}}"): ADMIN,
    ("GET", f"{ADMIN_PREFIX}/access"): ADMIN,
    ("GET", f"{ADMIN_PREFIX}/runs"): ADMIN,
    ("GET", f"{ADMIN_PREFIX}/runs/{{id}}"): ADMIN,
    ("POST", f"{ADMIN_PREFIX}/runs/{{id}}/cancel"): ADMIN,
    ("POST", f"{ADMIN_PREFIX}/runs/{{id}}/requeue"): ADMIN,
    ("DELETE", f"{ADMIN_PREFIX}/users"): ADMIN,
    # Of the embedded mode only, and for the page of the same machine: see agentroute.embedded_api.guard.
    ("GET", f"{_EMBEDDED}/model"): READ_OF_NONE,
    ("POST", f"{_EMBEDDED}/models"): RUN_OF_NONE,
    ("PUT", f"{_EMBEDDED}/model"): RUN_OF_NONE,
    ("DELETE", f"{_EMBEDDED}/model"): RUN_OF_NONE,
    ("GET", f"{_EMBEDDED}/processes"): READ_OF_NONE,
    ("POST", f"{_EMBEDDED}/processes/{{name}}/kill"): RUN_OF_NONE,
}
"""Every route that asks for a credential."""

PUBLIC: Mapping[tuple[str, str], str] = {
    (
        "GET",
        f"{API_PREFIX}/connections/login/{{loginId}}",
    ): "the address is the secret; a browser has no token",
    ("POST", f"{API_PREFIX}/connections/login/{{loginId}}"): "the same, with the cookie of the page",
    (
        "GET",
        f"{API_PREFIX}/connections/callback/{{server}}",
    ): "a browser comes back; the cookie and `state` count",
    ("GET", f"{APPROVALS_PATH}/{{link}}"): "the address is the secret; shows a question, answers nothing",
    ("POST", f"{APPROVALS_PATH}/{{link}}"): "the address is the secret; answers its question, once",
    ("GET", "/healthz"): "for the operator's probes; shows no data",
    ("GET", "/readyz"): "for the operator's probes; shows no data",
    ("GET", "/problems/{code}"): "explains error codes",
    ("GET", "/docs"): "describes the routes; `AGENT_SERVER__DOCS=false` removes it",
    ("GET", "/openapi.json"): "describes the routes; `AGENT_SERVER__DOCS=false` removes it",
}
"""Every other route, with the reason. The files of the chat page belong to them: what the page shows, it asks for."""


def check_access(principal: Principal, method: str, path: str) -> None:
    """Refuse a caller whose credential does not permit a route.

    Args:
        principal: The caller.
        method: Of HTTP; a ``HEAD`` comes as the ``GET`` that answers it.
        path: Of the route, with the names of its parameters.

    Raises:
        Forbidden: The scope is missing, or the route is for other roles or for credentials of every agent; ``scope``
            names the scope.
    """
    access = ACCESS.get((method, path))
    if access is None:
        # A mistake of ours, and safe: nobody decided who may use the route.
        raise Forbidden("This route is open to nobody.")
    if access.scope not in principal.scopes:
        raise Forbidden(
            f"The credential lacks the scope '{access.scope}'. It has: {_told(principal)}.",
            scope=access.scope,
        )
    if principal.role not in access.roles:
        raise Forbidden(f"This route is for: {', '.join(sorted(access.roles))}.", scope=access.scope)
    if access.by_agent == "none" and principal.agents is not None:
        # A key that it made could be used for others.
        raise Forbidden("A credential that is limited to agents cannot use this route.", scope=access.scope)


_ADMIN_PATHS = frozenset(
    {
        ADMIN_PREFIX,
        *(path.partition("/{")[0] for (_, path), access in ACCESS.items() if access.scope == "admin"),
    }
)


def is_for_operators(method: str, path: str) -> bool:
    """Return whether a route of the table is one of operators."""
    access = ACCESS.get((method, path))
    return access is not None and access.scope == "admin"


def is_admin_path(path: str) -> bool:
    """Return whether a path belongs to the routes of operators."""
    return any(path == start or path.startswith(f"{start}/") for start in _ADMIN_PATHS)


def add_scopes(document: dict[str, Any]) -> None:
    """Say in an OpenAPI document which scope each route asks for."""
    for (method, path), access in ACCESS.items():
        operation = document["paths"].get(path, {}).get(method.lower())
        for requirement in [] if operation is None else operation["security"]:
            # OpenAPI 3.1, Security Requirement Object: beside OAuth2, the names of roles that are needed.
            requirement.update({name: [access.scope] for name in requirement})
    _add_ticket(document)


def _add_ticket(document: dict[str, Any]) -> None:
    """Say that a ticket opens the one route of streams, in place of the header."""
    document["components"]["securitySchemes"]["StreamTicket"] = {
        "type": "apiKey",
        "in": "query",
        "name": "ticket",
        "description": "A ticket of `POST /events/ticket`, for a browser's `EventSource`. It opens its own stream only.",
    }
    operation = document["paths"][EVENTS_PATH]["get"]
    ticket = {"StreamTicket": [ACCESS["GET", EVENTS_PATH].scope]}
    if ticket not in operation["security"]:
        operation["security"].append(ticket)


def _told(principal: Principal) -> str:
    return ", ".join(sorted(principal.scopes)) or "none"
