"""The routes of schedules. Their docstrings are the API reference."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from core import agent_errors, errors
from core.agentscope.schemas.agent_runtime import AcceptedTaskResponse
from core.agentscope.schemas.links import SCHEDULES_PATH
from core.agentscope.schemas.messages import Id
from core.agentscope.schemas.schedules import (
    ChangeScheduleCommand,
    CreateScheduleCommand,
    ScheduleItem,
    ScheduleListResponse,
)
from core.errors import AgentBackendError
from core.schedule_errors import ScheduleUnreadable
from core.validation import parse
from v1.agent.checked_command import CheckedCommand
from v1.agent.dependencies import Container, CurrentPrincipal, IdempotencyKeyHeader, current_principal
from v1.agent.negotiation import idempotency_key
from v1.agent.openapi import (
    ACCEPTED_EXAMPLE,
    BODY_ERRORS,
    START_ERRORS,
    accepted,
    answer,
    json_body,
    problems,
)
from v1.agent.run_answers import json_answer
from v1.agent.schedule_examples import (
    CHANGE_SCHEDULE_EXAMPLES,
    CREATE_SCHEDULE_EXAMPLES,
    SCHEDULE_EXAMPLE,
    SCHEDULES_EXAMPLE,
)

_ALWAYS = (errors.Unauthenticated, errors.InvalidRequest, errors.StoreUnavailable)
_FORM_ERRORS = (
    *_ALWAYS,
    *BODY_ERRORS,
    errors.LimitExceeded,
    agent_errors.AgentUnknown,
    agent_errors.AgentFixed,
)

ScheduleIdPath = Annotated[
    Id, Path(alias="scheduleId", description="The schedule.", examples=["morning-report"])
]

router = APIRouter(prefix=SCHEDULES_PATH, tags=["schedules"], dependencies=[Depends(current_principal)])


@router.post(
    "",
    status_code=201,
    response_model=ScheduleItem,
    responses=answer(SCHEDULE_EXAMPLE, 201)
    | {
        200: {"model": ScheduleItem, "description": "There was such a schedule."}
        | answer(SCHEDULE_EXAMPLE)[200]
    }
    | problems(*_FORM_ERRORS, errors.IdempotencyMismatch, ScheduleUnreadable),
    openapi_extra=json_body(CreateScheduleCommand, CREATE_SCHEDULE_EXAMPLES),
)
async def create_schedule(request: Request, principal: CurrentPrincipal, container: Container) -> Response:
    """Make a schedule: it starts runs by the clock, as if you had sent them, within your limits and budgets.

    Your own `scheduleId` identifies the request: the same id and body always mean the same schedule (200), which is made
    once. A schedule fires by the right of the credential that made or last changed it. When that right ends, it is
    paused and says why.
    """
    async with container.bodies.read(request, principal, partial(parse, CreateScheduleCommand)) as command:
        item, created = await container.schedules.create(principal, command)
    return json_answer(item, 201 if created else 200)


@router.get(
    "",
    response_model=ScheduleListResponse,
    responses=answer(SCHEDULES_EXAMPLE) | problems(*_ALWAYS),
)
async def list_schedules(
    principal: CurrentPrincipal,
    container: Container,
    limit: Annotated[int, Query(ge=1, le=200, description="How many at most.")] = 50,
    before: Annotated[str | None, Query(description="`nextBefore` of the page before this one.")] = None,
) -> Response:
    """List your schedules, newest first: when each fires next, and what became of its last fire.

    One that this version cannot read has `problem` instead of `trigger`: a newer version may have written it.
    """
    return json_answer(await container.schedules.page(principal, limit=limit, before=before))


@router.get(
    "/{scheduleId}",
    response_model=ScheduleItem,
    responses=answer(SCHEDULE_EXAMPLE) | problems(*_ALWAYS, errors.NotFound, ScheduleUnreadable),
)
async def read_schedule(
    principal: CurrentPrincipal, container: Container, schedule_id: ScheduleIdPath
) -> Response:
    """Read one schedule, with its last 20 fires and their runs."""
    return json_answer(await container.schedules.get(principal, schedule_id))


@router.patch(
    "/{scheduleId}",
    response_model=ScheduleItem,
    responses=answer(SCHEDULE_EXAMPLE) | problems(*_FORM_ERRORS, errors.NotFound, ScheduleUnreadable),
    openapi_extra=json_body(ChangeScheduleCommand, CHANGE_SCHEDULE_EXAMPLES),
)
async def change_schedule(
    request: Request, principal: CurrentPrincipal, container: Container, schedule_id: ScheduleIdPath
) -> Response:
    """Change, pause or resume a schedule. Members that are absent stay as they are.

    A pause leaves out what is still to be tried. A resumed schedule goes on from now: the instants of the pause are not
    made up for. From now on it fires by the right of this request.
    """
    async with container.bodies.read(request, principal, partial(parse, ChangeScheduleCommand)) as command:
        return json_answer(await container.schedules.change(principal, schedule_id, command))


@router.delete(
    "/{scheduleId}",
    status_code=204,
    response_class=Response,
    responses=problems(*_ALWAYS, errors.NotFound),
)
async def delete_schedule(
    principal: CurrentPrincipal, container: Container, schedule_id: ScheduleIdPath
) -> Response:
    """Delete a schedule and the record of its fires. Runs that it has started go on, and their threads stay."""
    await container.schedules.delete(principal, schedule_id)
    return Response(status_code=204)


@router.post(
    "/{scheduleId}/trigger",
    status_code=202,
    response_model=AcceptedTaskResponse,
    responses=accepted(ACCEPTED_EXAMPLE) | problems(*START_ERRORS, ScheduleUnreadable),
)
async def trigger_schedule(
    principal: CurrentPrincipal,
    container: Container,
    schedule_id: ScheduleIdPath,
    key: IdempotencyKeyHeader = None,
) -> Response:
    """Fire a schedule now, also one that is paused or has ended. Its other fires stay as they are.

    The answer is that of `POST /runs`. With an `Idempotency-Key`, the request can be repeated: the same key fires once.
    """
    schedules = container.schedules
    fire = await schedules.begin_fire(principal, schedule_id, idempotency_key(key))
    command = CheckedCommand(fire.command(), fire.request_hash)
    try:
        run = await container.service.enqueue_run(principal, command, fire.idempotency_key)
    except AgentBackendError as exc:
        await schedules.refused(fire, exc)
        raise
    await schedules.accepted(fire, run.run_id, run.thread_id)
    return json_answer(run, 202)
