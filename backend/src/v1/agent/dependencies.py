"""Dependencies of the routes: the caller, the container, the ids in the parameters.

The composition root stores one container on ``app.state``; ``Container`` gives it to a route.
"""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends, Header, Path, Query, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from core.agentscope.schemas.messages import Id
from core.identity import Principal
from core.log import note_request
from v1.agent.container import ApiContainer
from v1.agent.route_access import check_access

# Describes the scheme in the API document; the authenticator makes the check.
_bearer = HTTPBearer(auto_error=False, description="A JSON Web Token, or an API key.")


async def open_container(request: Request) -> ApiContainer:
    """Return the process's container."""
    return cast("ApiContainer", request.app.state.container)


Container = Annotated[ApiContainer, Depends(open_container)]
"""Gives a route its ports: ``container.history``, ``container.threads``, …"""


async def current_principal(
    request: Request,
    container: Container,
    _described: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
) -> Principal:
    """Return the caller. This is a dependency of the router, so that no route can forget the check.

    Raises:
        Unauthenticated: No valid credential.
        Forbidden: The credential does not permit this route.
    """
    _note_ids(request)
    principal = await container.authenticator.authenticate(request.headers)
    check_access(principal, request.method, request.scope["route"].path)
    return principal


def _note_ids(request: Request) -> None:
    """Put the ids of the path and the query into the request's log lines; ids of a body follow when it is read."""
    ids = {**request.query_params, **request.path_params}
    note_request(thread_id=ids.get("threadId"), run_id=ids.get("runId"))


CurrentPrincipal = Annotated[Principal, Depends(current_principal)]

ThreadIdQuery = Annotated[Id, Query(alias="threadId", description="The thread.", examples=["thread-1"])]
RunIdQuery = Annotated[
    Id | None,
    Query(alias="runId", description="Restricts the stream to one run of the thread.", examples=["run-1"]),
]
RunIdPath = Annotated[Id, Path(alias="runId", description="The run.", examples=["run-1"])]
IdempotencyKeyHeader = Annotated[
    str | None,
    Header(alias="Idempotency-Key", description="Identifies the request, in place of the run id."),
]
LastEventIdHeader = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        description="The last cursor seen. Overrides the query parameter.",
        examples=["3-17"],
    ),
]
CursorQuery = Annotated[
    str | None,
    Query(description="The last cursor seen. The stream begins with the next event.", examples=["3-17"]),
]
RepeatedFromHeader = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        description="If the request is a repeat: the last cursor seen. The stream begins with the next event.",
        examples=["3-17"],
    ),
]
CONNECT_LIMIT = 200
ConnectQuery = Annotated[
    bool,
    Query(description="Begins with everything so far. For a client that holds nothing.", examples=["true"]),
]
ConnectLimitQuery = Annotated[
    int,
    Query(ge=1, le=CONNECT_LIMIT, description="With `connect`: how many of the newest messages."),
]
