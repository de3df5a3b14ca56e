"""The routes of users' connections to MCP servers. Their docstrings are the API reference."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response

from core import connection_errors, errors
from core.agentscope.schemas.connections import ConnectionItem, ConnectionListResponse, TokenCommand
from core.agentscope.schemas.links import CONNECTIONS_PATH
from core.agentscope.schemas.messages import Id
from core.validation import parse
from v1.agent.dependencies import Container, CurrentPrincipal, current_principal
from v1.agent.openapi import (
    BODY_ERRORS,
    CONNECTION_EXAMPLE,
    CONNECTIONS_EXAMPLE,
    TOKEN_EXAMPLES,
    answer,
    json_body,
    problems,
)
from v1.agent.run_answers import json_answer

_ALWAYS = (errors.Unauthenticated, errors.StoreUnavailable)

ServerPath = Annotated[
    Id, Path(alias="server", description="The server's name in the profile.", examples=["github"])
]

router = APIRouter(prefix=CONNECTIONS_PATH, tags=["connections"], dependencies=[Depends(current_principal)])


@router.get(
    "",
    response_model=ConnectionListResponse,
    responses=answer(CONNECTIONS_EXAMPLE) | problems(*_ALWAYS),
)
async def list_connections(principal: CurrentPrincipal, container: Container) -> Response:
    """List the MCP servers that see the caller's own identity, and whether the caller is connected to them.

    These are the servers with `auth` of the agents that the caller may use, by name. No answer has any part of a token.
    """
    items = await container.connections.list_connections(principal)
    return json_answer(ConnectionListResponse(connections=items))


@router.put(
    "/{server}",
    response_model=ConnectionItem,
    responses=answer(CONNECTION_EXAMPLE)
    | problems(
        *_ALWAYS, errors.NotFound, errors.InvalidRequest, *BODY_ERRORS, connection_errors.TokenNotWanted
    ),
    openapi_extra=json_body(TokenCommand, TOKEN_EXAMPLES),
)
async def connect_server(
    request: Request, principal: CurrentPrincipal, container: Container, server: ServerPath
) -> Response:
    """Give the caller's own token for a server with `auth = "user-token"`. It replaces the one before.

    The token is stored encrypted, is sent to this server only, and is never shown again. The next call of a tool of the
    server uses it; a run that asked for the connection goes on with `POST /resume`.
    """
    container.connections.find_server(principal, server)
    async with container.bodies.read(request, principal, partial(parse, TokenCommand)) as command:
        return json_answer(await container.connections.connect(principal, server, command))


@router.delete(
    "/{server}",
    status_code=204,
    response_class=Response,
    # 404: a path with a control character is no path of ours.
    responses=problems(*_ALWAYS, errors.NotFound, errors.InvalidRequest),
)
async def forget_server(principal: CurrentPrincipal, container: Container, server: ServerPath) -> Response:
    """Forget the caller's token or login for a server. Also if there is none, and if no agent names the server any more.

    The next call of a tool of the server asks for a new connection. A login is withdrawn at its authorization server, too,
    if that is possible there and it answers. A token of your own stays valid at the server: withdraw it there.
    """
    if container.logins is not None:
        await container.logins.withdraw(principal, server)
    await container.connections.forget(principal, server)
    return Response(status_code=204)
