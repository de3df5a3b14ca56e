"""The routes of agents, where a deployment has several. Their docstrings are the API reference."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response

from core import agent_errors, errors
from core.agentscope.schemas.agent_runtime import AcceptedTaskResponse, ResumeCommand, RunCommand
from core.agentscope.schemas.agents import AgentListResponse
from core.agentscope.schemas.links import API_PREFIX
from core.agentscope.schemas.messages import Id
from v1.agent.dependencies import (
    CONNECT_LIMIT,
    ConnectLimitQuery,
    Container,
    CurrentPrincipal,
    IdempotencyKeyHeader,
    LastEventIdHeader,
    RepeatedFromHeader,
    WebhookSecretHeader,
    WebhookUrlHeader,
    current_principal,
)
from v1.agent.openapi import (
    ACCEPTED_EXAMPLE,
    AGENTS_EXAMPLE,
    BODY_ERRORS,
    CAPABILITIES_EXAMPLE,
    CONNECT_EXAMPLES,
    RESUME_EXAMPLES,
    RUN_EXAMPLES,
    START_ERRORS,
    STREAM_RESPONSE,
    accepted,
    answer,
    json_body,
    problems,
)
from v1.agent.run_answers import answer_connect, answer_run, encoded, json_answer
from v1.agent.wire import ConnectCommand

AgentIdPath = Annotated[Id, Path(alias="agentId", description="The agent.", examples=["sales"])]

router = APIRouter(prefix=f"{API_PREFIX}/agents", tags=["agents"], dependencies=[Depends(current_principal)])


@router.get(
    "",
    response_model=AgentListResponse,
    responses=answer(AGENTS_EXAMPLE) | problems(errors.Unauthenticated),
)
async def list_agents(principal: CurrentPrincipal, container: Container) -> Response:
    """List the agents that the caller may use, with their tools and capabilities.

    A run names one with `forwardedProps.agentId`, or is sent to the agent's `runsUrl`. Without either, a new thread
    begins with the default agent.
    """
    return json_answer(container.agents.list_agents(principal))


@router.get(
    "/{agentId}/capabilities",
    responses=answer(CAPABILITIES_EXAMPLE)
    | problems(errors.Unauthenticated, agent_errors.AgentUnknown, errors.InvalidRequest),
)
async def read_agent_capabilities(
    principal: CurrentPrincipal, container: Container, agent_id: AgentIdPath
) -> Response:
    """Say what one agent can do, as AG-UI's `AgentCapabilities`."""
    return encoded(container.agents.capabilities(principal, agent_id))


@router.post(
    "/{agentId}/runs",
    status_code=202,
    response_model=AcceptedTaskResponse,
    responses=accepted(ACCEPTED_EXAMPLE) | {200: STREAM_RESPONSE} | problems(*START_ERRORS),
    openapi_extra=json_body(RunCommand, RUN_EXAMPLES),
)
async def start_agent_run(
    request: Request,
    principal: CurrentPrincipal,
    container: Container,
    agent_id: AgentIdPath,
    key: IdempotencyKeyHeader = None,
    last_event_id: RepeatedFromHeader = None,
    _webhook_url: WebhookUrlHeader = None,
    _webhook_secret: WebhookSecretHeader = None,
) -> Response:
    """Start a run with this agent: as `POST /runs` with `forwardedProps.agentId`, for clients that can only set a URL.

    If the body names another agent, it is refused.
    """
    return await answer_run(RunCommand, request, principal, container, key, last_event_id, agent_id=agent_id)


@router.post(
    "/{agentId}/resume",
    status_code=202,
    response_model=AcceptedTaskResponse,
    responses=accepted(ACCEPTED_EXAMPLE) | {200: STREAM_RESPONSE} | problems(*START_ERRORS),
    openapi_extra=json_body(ResumeCommand, RESUME_EXAMPLES),
)
async def resume_agent_run(
    request: Request,
    principal: CurrentPrincipal,
    container: Container,
    agent_id: AgentIdPath,
    key: IdempotencyKeyHeader = None,
    last_event_id: RepeatedFromHeader = None,
    _webhook_url: WebhookUrlHeader = None,
    _webhook_secret: WebhookSecretHeader = None,
) -> Response:
    """Answer the open interrupts of a thread of this agent: as `POST /resume`."""
    return await answer_run(
        ResumeCommand, request, principal, container, key, last_event_id, agent_id=agent_id
    )


@router.post(
    "/{agentId}/events",
    response_class=Response,
    responses={200: STREAM_RESPONSE, 204: {"description": "The run has ended and has no more events."}}
    | problems(
        errors.Unauthenticated,
        errors.NotFound,
        agent_errors.AgentUnknown,
        errors.InvalidRequest,
        errors.StoreUnavailable,
        *BODY_ERRORS,
        errors.CursorInvalid,
        errors.CursorAhead,
        errors.CursorExpired,
    ),
    openapi_extra=json_body(ConnectCommand, CONNECT_EXAMPLES),
)
async def connect_to_agent_thread(
    request: Request,
    principal: CurrentPrincipal,
    container: Container,
    agent_id: AgentIdPath,
    last_event_id: LastEventIdHeader = None,
    limit: ConnectLimitQuery = CONNECT_LIMIT,
) -> Response:
    """Connect to a thread: as `POST /events`, for clients that derive this address from the one of their runs."""
    container.agents.require(principal, agent_id)
    return await answer_connect(request, principal, container, last_event_id, limit)
