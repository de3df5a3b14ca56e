"""Dependencies of the routes: the caller, the container, the ids in the parameters.

The composition root stores one container on ``app.state``; ``Container`` gives it to a route.
"""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends, Header, Path, Query, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from core.agentscope.schemas.links import EVENTS_PATH, ME_PATH
from core.agentscope.schemas.messages import Id
from core.credential_errors import TicketInvalid
from core.errors import NotFound
from core.identity import Principal
from core.log import note_request
from core.stream_tickets import TicketUse
from v1.agent.container import ApiContainer
from v1.agent.rate_checks import admit
from v1.agent.route_access import check_access, is_for_operators

# Describes the scheme in the API document; the authenticator makes the check.
_bearer = HTTPBearer(
    auto_error=False,
    description="A JSON Web Token. Each route names the scope that it asks for; see `docs/access.md`.",
)


ASKED_BY_HEAD = "agentroute.head"
"""In the scope of a ``GET`` that stands for a ``HEAD``."""
ON_OPERATORS_PORT = "agentroute.on_operators_port"
"""In the scope where operators have a port of their own: whether the request came by it."""


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
        TicketInvalid, TicketsUnavailable: The request has a ticket, which cannot be used.
        Forbidden: The credential does not permit this route.
        RateLimited: The caller or its tenant has done too much lately.
        ErasureUnderWay: The caller's data is being erased.
        NotFound: The route is on the other port, that of operators or that of everybody else.
    """
    method, path = request.method, request.scope["route"].path
    if request.scope.get(ON_OPERATORS_PORT, is_for_operators(method, path)) != is_for_operators(method, path):
        raise NotFound
    _note_ids(request)
    if (ticket := _ticket_of(request)) is not None:
        principal = await _with_ticket(ticket, request, container)
    else:
        principal = await container.authenticator.authenticate(request.headers)
        if principal.kind == "key" and principal.credential_id is not None:
            note_request(key_id=principal.credential_id.partition(".")[0])
    check_access(principal, method, path)
    if path != ME_PATH and not is_for_operators(method, path):
        container.erasures.refuse(principal)
    admit(container.rates, principal, method, path, request.scope.setdefault("state", {}))
    return principal


def _ticket_of(request: Request) -> str | None:
    """Return the ticket of a request to the one route that takes one.

    Not of a ``HEAD``: a program that only checks an address would use the ticket, and take the stream from its reader.
    """
    if ASKED_BY_HEAD in request.scope:
        return None
    if request.method == "GET" and request.scope["route"].path == EVENTS_PATH:
        return request.query_params.get("ticket")
    return None


async def _with_ticket(ticket: str, request: Request, container: ApiContainer) -> Principal:
    """Use a ticket. A header beside it does not count: a request has one credential."""
    container.authenticator.check_page(request.headers)
    query = request.query_params
    use = await container.tickets.use(ticket, query.get("threadId", ""), query.get("runId"))
    key = use.principal.credential_id
    if key is not None and not await container.authenticator.is_good(key):
        raise TicketInvalid("The API key that asked for the ticket was revoked or has expired.")
    signer = use.principal.signer
    if signer is not None and container.authenticator.is_withdrawn(signer):
        raise TicketInvalid("The issuer has withdrawn the key of the token that asked for the ticket.")
    request.state.ticket = use
    return use.principal


def _note_ids(request: Request) -> None:
    """Put the ids of the path and the query into the request's log lines; ids of a body follow when it is read."""
    ids = {**request.query_params, **request.path_params}
    note_request(thread_id=ids.get("threadId"), run_id=ids.get("runId"))


CurrentPrincipal = Annotated[Principal, Depends(current_principal)]


def who(principal: Principal) -> str:
    """Return the name of a caller for what keeps who did something: ``user:`` or ``key:``, and who."""
    if principal.kind == "key":
        return f"key:{(principal.credential_id or '').partition('.')[0]}"
    return f"user:{principal.user_id}"


async def used_ticket(request: Request, _checked: CurrentPrincipal) -> TicketUse | None:
    """Return the use of the ticket that opens a stream; ``None`` if another credential does."""
    found: TicketUse | None = getattr(request.state, "ticket", None)
    return found


def refuse_wider_stream(used: TicketUse | None, run_id: str | None) -> None:
    """Refuse a stream that shows a whole thread to a ticket for one run of the thread.

    Raises:
        TicketInvalid: The ticket names a run.
    """
    if used is not None and run_id is not None:
        raise TicketInvalid(
            "The ticket is for one run, and connect=true shows the whole thread. Leave runId out of both."
        )


UsedTicket = Annotated[TicketUse | None, Depends(used_ticket)]

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
WebhookUrlHeader = Annotated[
    str | None,
    Header(
        alias="Webhook-Url",
        description="Where the end of the run is told, if the deployment allows its host. With `Webhook-Secret`.",
    ),
]
WebhookSecretHeader = Annotated[
    str | None,
    Header(
        alias="Webhook-Secret", description="`whsec_` and Base64: signs the message. It is stored encrypted."
    ),
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
TicketQuery = Annotated[
    str | None,
    Query(description="A ticket for exactly this stream, in place of the header: see `POST /events/ticket`."),
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
