"""The agent's routes. Their docstrings are the API reference."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from core import agent_errors, credential_errors, errors
from core.agentscope.events.connect import ConnectRequest
from core.agentscope.schemas.agent_runtime import (
    AcceptedTaskResponse,
    HistorySnapshotResponse,
    ResumeCommand,
    RunCommand,
    RunStatusResponse,
)
from core.agentscope.schemas.links import API_PREFIX
from core.agentscope.schemas.messages import Id
from core.agentscope.schemas.run_diagnosis import RunWhyResponse
from core.log import note_request
from core.validation import parse
from v1.agent.dependencies import (
    CONNECT_LIMIT,
    ConnectLimitQuery,
    ConnectQuery,
    Container,
    CurrentPrincipal,
    CursorQuery,
    IdempotencyKeyHeader,
    LastEventIdHeader,
    RepeatedFromHeader,
    RunIdPath,
    RunIdQuery,
    ThreadIdQuery,
    TicketQuery,
    UsedTicket,
    WebhookSecretHeader,
    WebhookUrlHeader,
    current_principal,
    refuse_wider_stream,
)
from v1.agent.event_source import SurvivableRoute
from v1.agent.negotiation import (
    connect_cursor,
    reader_cursor,
)
from v1.agent.openapi import (
    ACCEPTED_EXAMPLE,
    BODY_ERRORS,
    CANCEL_EXAMPLE,
    CAPABILITIES_EXAMPLE,
    CONNECT_EXAMPLES,
    HISTORY_EXAMPLE,
    RESUME_EXAMPLES,
    RUN_EXAMPLES,
    RUNS_EXAMPLE,
    START_ERRORS,
    STREAM_RESPONSE,
    accepted,
    answer,
    json_body,
    problems,
)
from v1.agent.run_answers import answer_connect, answer_run, encoded, json_answer, stream_until_expiry
from v1.agent.why_example import WHY_EXAMPLE
from v1.agent.wire import CancelAcceptedResponse, CancelCommand, ConnectCommand

_ALWAYS = (errors.Unauthenticated, errors.NotFound, errors.InvalidRequest, errors.StoreUnavailable)

router = APIRouter(
    prefix=API_PREFIX,
    tags=["agent"],
    dependencies=[Depends(current_principal)],
    # For GET /events. No other route is asked as an EventSource asks.
    route_class=SurvivableRoute,
)


@router.post(
    "/runs",
    status_code=202,
    response_model=AcceptedTaskResponse,
    responses=accepted(ACCEPTED_EXAMPLE) | {200: STREAM_RESPONSE} | problems(*START_ERRORS),
    openapi_extra=json_body(RunCommand, RUN_EXAMPLES),
)
async def start_run(
    request: Request,
    principal: CurrentPrincipal,
    container: Container,
    key: IdempotencyKeyHeader = None,
    last_event_id: RepeatedFromHeader = None,
    _webhook_url: WebhookUrlHeader = None,
    _webhook_secret: WebhookSecretHeader = None,
) -> Response:
    """Start a run in a thread.

    If `Accept` contains `text/event-stream`, the answer is the event stream of the run, which ends after the terminal
    event; any AG-UI `HttpAgent` works. Otherwise the answer is 202, and `GET /events` streams the run. In both cases
    the run is durable before the first byte of the answer, and the run continues if the connection is closed.

    The run id, or the `Idempotency-Key` header, identifies the request. The same id with the same body always means the
    same run, which is never executed twice. A repeat with `Last-Event-ID` streams what comes after this event; if there
    is nothing more, the answer is 204.
    """
    return await answer_run(RunCommand, request, principal, container, key, last_event_id)


@router.post(
    "/resume",
    status_code=202,
    response_model=AcceptedTaskResponse,
    responses=accepted(ACCEPTED_EXAMPLE) | {200: STREAM_RESPONSE} | problems(*START_ERRORS),
    openapi_extra=json_body(ResumeCommand, RESUME_EXAMPLES),
)
async def resume_run(
    request: Request,
    principal: CurrentPrincipal,
    container: Container,
    key: IdempotencyKeyHeader = None,
    last_event_id: RepeatedFromHeader = None,
    _webhook_url: WebhookUrlHeader = None,
    _webhook_secret: WebhookSecretHeader = None,
) -> Response:
    """Answer the open interrupts of a thread. The response is the same as for `POST /runs`.

    `resume` must cover every open interrupt. The executed tool call is the one that the server stored, never the
    client's copy.
    """
    return await answer_run(ResumeCommand, request, principal, container, key, last_event_id)


@router.get(
    "/events",
    response_class=Response,
    responses={200: STREAM_RESPONSE, 204: {"description": "The run has ended and has no more events."}}
    | problems(
        *_ALWAYS,
        credential_errors.TicketInvalid,
        credential_errors.TicketsUnavailable,
        errors.Overloaded,
        errors.CursorInvalid,
        errors.CursorAhead,
        errors.CursorExpired,
    ),
)
async def follow_events(
    request: Request,
    principal: CurrentPrincipal,
    container: Container,
    thread_id: ThreadIdQuery,
    used: UsedTicket,
    run_id: RunIdQuery = None,
    cursor: CursorQuery = None,
    last_event_id: LastEventIdHeader = None,
    connect: ConnectQuery = False,
    limit: ConnectLimitQuery = CONNECT_LIMIT,
    _ticket: TicketQuery = None,
) -> Response:
    """Stream the events of a thread, or of one run, from a cursor.

    Every reader gets exactly the events after its cursor, in order and with the same bytes, even across restarts. With
    `runId` the stream ends after the run's terminal event; if there are no more events, the answer is 204. Without
    `runId` the stream contains every run of the thread, and ends at its maximum age. Behind each `RUN_STARTED`, the
    `CUSTOM` event `agentroute.input` has the messages that the run was asked, and what they replace (`regenerateFrom`):
    they may come from another device. This event has no `id`. Closing the stream does not stop a run. Every stream ends
    within a minute when the credential of its request expires or is revoked; reconnect with a new one and the last cursor.
    A stream that the service ends before its run (maximum age, stop of the process, credential) says why in a comment,
    and in `retry:` when to come back.

    A browser's `EventSource` cannot send a token: it opens the address that `POST /events/ticket` returns.

    With `connect=true` the stream is for a client that holds nothing, such as a page after a reload. It is a valid AG-UI
    stream from its first event: `RUN_STARTED` (of the live run, otherwise of the last one), `STATE_SNAPSHOT` if there is
    a state, `MESSAGES_SNAPSHOT` with everything so far, and the start of everything that is open. Then the live events
    follow, with their ids, and the stream ends after the terminal event; the stream of a thread without a live run ends
    at once. A client that was cut off sends `Last-Event-ID` and gets exactly the rest, or 204. A thread that does not
    exist looks like an empty one.

    If the stream cannot be opened now, the answer is 503 or 429 with `Retry-After`. A browser's `EventSource` would give up
    after either: it gets an empty stream with a `retry:` line and comes back by itself.
    """
    if connect:
        refuse_wider_stream(used, run_id)
        place = connect_cursor(last_event_id, cursor)
        asked = ConnectRequest(thread_id, run_id=run_id, after=place, limit=limit)
        frames = container.events.connect(principal, asked)
    else:
        frames = container.events.follow(
            principal, thread_id, run_id=run_id, cursor=reader_cursor(last_event_id, cursor)
        )
    return await stream_until_expiry(frames, principal, container, used)


@router.post(
    "/events",
    response_class=Response,
    responses={200: STREAM_RESPONSE, 204: {"description": "The run has ended and has no more events."}}
    | problems(*_ALWAYS, *BODY_ERRORS, errors.CursorInvalid, errors.CursorAhead, errors.CursorExpired),
    openapi_extra=json_body(ConnectCommand, CONNECT_EXAMPLES),
)
async def connect_to_thread(
    request: Request,
    principal: CurrentPrincipal,
    container: Container,
    last_event_id: LastEventIdHeader = None,
    limit: ConnectLimitQuery = CONNECT_LIMIT,
) -> Response:
    """Connect to a thread with AG-UI's `RunAgentInput`, as clients send it for `connectAgent()`.

    The answer is that of `GET /events?connect=true`, in the vocabulary of the client's `protocolVersion`. Of the body,
    only `threadId`, `runId` and `protocolVersion` count. Nothing is started and nothing is stored.
    """

    return await answer_connect(request, principal, container, last_event_id, limit)


@router.get(
    "/history", response_model=HistorySnapshotResponse, responses=answer(HISTORY_EXAMPLE) | problems(*_ALWAYS)
)
async def read_history(
    principal: CurrentPrincipal,
    container: Container,
    thread_id: ThreadIdQuery,
    limit: Annotated[int, Query(ge=1, le=200, description="How many of the newest messages.")] = 50,
    before: Annotated[Id | None, Query(description="Only messages older than this one.")] = None,
) -> Response:
    """Read one consistent snapshot of a thread: the state of a client that has seen every event.

    `GET /events` from the returned `cursor` returns every later event once, even while a run is streaming. A client
    needs nothing else after a reload. A page of large messages (4 MiB together) has fewer messages than `limit`.
    """
    return json_answer(await container.history.history(principal, thread_id, limit=limit, before=before))


@router.get(
    "/runs/{runId}",
    response_model=RunStatusResponse,
    responses=answer(RUNS_EXAMPLE["runs"][0]) | problems(*_ALWAYS),
)
async def read_run(
    principal: CurrentPrincipal, container: Container, run_id: RunIdPath, thread_id: ThreadIdQuery
) -> Response:
    """Read one run: status, timings, usage, cost, and why it waits."""
    return json_answer(await container.runs.get_run(principal, thread_id, run_id))


@router.get(
    "/runs/{runId}/why", response_model=RunWhyResponse, responses=answer(WHY_EXAMPLE) | problems(*_ALWAYS)
)
async def explain_run(
    principal: CurrentPrincipal, container: Container, run_id: RunIdPath, thread_id: ThreadIdQuery
) -> Response:
    """Say why a run is where it is: what it waits for, what to do about it, and when it goes on by itself.

    `cause` is a stable code; `explanation` and `advice` are for people. `evidence` is what the cause was seen from.
    """
    return json_answer(await container.diagnosis.why(principal, thread_id, run_id))


@router.post(
    "/runs/{runId}/cancel",
    status_code=202,
    response_model=CancelAcceptedResponse,
    responses=answer(CANCEL_EXAMPLE, 202) | problems(*_ALWAYS, *BODY_ERRORS, errors.RunAlreadyFinished),
    openapi_extra=json_body(
        CancelCommand, {"cancel": {"summary": "Stop the run", "value": {"threadId": "thread-1"}}}
    ),
)
async def cancel_run(
    request: Request, principal: CurrentPrincipal, container: Container, run_id: RunIdPath
) -> Response:
    """Stop a run. Its stream ends with the outcome `cancelled`; the output already streamed stays in history.

    Closing a stream does not stop a run; this request does. The request is idempotent.
    """
    async with container.bodies.read(request, principal, partial(parse, CancelCommand)) as read:
        command = read
    note_request(thread_id=command.thread_id)
    status = await container.service.cancel(principal, command.thread_id, run_id)
    return json_answer(CancelAcceptedResponse(thread_id=command.thread_id, run_id=run_id, status=status), 202)


@router.get(
    "/capabilities",
    responses=answer(CAPABILITIES_EXAMPLE) | problems(errors.Unauthenticated, agent_errors.AgentUnknown),
)
async def read_capabilities(principal: CurrentPrincipal, container: Container) -> Response:
    """Say what the default agent can do, as AG-UI's `AgentCapabilities`."""
    return encoded(container.agents.capabilities(principal))
