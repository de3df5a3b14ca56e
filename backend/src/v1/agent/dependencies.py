"""What a route is handed: the caller, the service, the ids of its parameters.

The composition root puts one container on ``app.state``; this file is the only
one that takes something out of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Protocol, cast

from fastapi import Depends, Header, Path, Query, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from core.agentscope.schemas.messages import Id
from core.identity import Authenticator, Principal
from core.transcription.service import TranscriptionService
from v1.agent.ports import ThreadDirectory, UsageLedger
from v1.agent.service import AgentService


class AgentContainer(Protocol):
    """The part of the composition root's container that the agent routes use."""

    @property
    def service(self) -> AgentService: ...

    @property
    def transcription(self) -> TranscriptionService: ...

    @property
    def threads(self) -> ThreadDirectory: ...

    @property
    def usage(self) -> UsageLedger: ...

    @property
    def authenticator(self) -> Authenticator: ...

    @property
    def capabilities(self) -> Mapping[str, Any]: ...


# Describes the scheme in the API document; the check itself is the authenticator's.
_bearer = HTTPBearer(auto_error=False, description="A JSON Web Token, or an API key.")


def container_of(request: Request) -> AgentContainer:
    """Return the process's container."""
    return cast("AgentContainer", request.app.state.container)


async def current_principal(
    request: Request, _described: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
) -> Principal:
    """Return who is calling. A router-level dependency, so that no route can forget it.

    Raises:
        Unauthenticated: No valid credential.
    """
    return await container_of(request).authenticator.authenticate(request.headers)


def agent_service(request: Request) -> AgentService:
    """Return the service of this process."""
    return container_of(request).service


def thread_directory(request: Request) -> ThreadDirectory:
    """Return the threads of this process' callers."""
    return container_of(request).threads


CurrentPrincipal = Annotated[Principal, Depends(current_principal)]
Service = Annotated[AgentService, Depends(agent_service)]
Threads = Annotated[ThreadDirectory, Depends(thread_directory)]

ThreadIdQuery = Annotated[Id, Query(alias="threadId", description="The thread.", examples=["thread-1"])]
RunIdQuery = Annotated[
    Id | None, Query(alias="runId", description="Only this run of the thread.", examples=["run-1"])
]
RunIdPath = Annotated[Id, Path(alias="runId", description="The run.", examples=["run-1"])]
IdempotencyKeyHeader = Annotated[
    str | None,
    Header(alias="Idempotency-Key", description="Identifies the request instead of its run id."),
]
LastEventIdHeader = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID", description="The last cursor seen; wins over the query.", examples=["3-17"]
    ),
]
CursorQuery = Annotated[
    str | None,
    Query(description="The last cursor seen: events after it follow.", examples=["3-17"]),
]
