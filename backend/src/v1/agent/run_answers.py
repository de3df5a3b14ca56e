"""The answers of routes: JSON, and what starts runs or opens streams, whatever the URL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Coroutine, Mapping
from contextlib import AbstractContextManager
from typing import Any

import orjson
from fastapi import Request, Response

from core.agentscope.events.connect import ConnectRequest, Peer
from core.agentscope.schemas.agent_runtime import RunCommand
from core.agentscope.schemas.messages import WireModel
from core.identity import Principal
from core.stream_tickets import TicketUse
from core.tracing.trace_context import TraceContext
from core.tracing.tracer import inside
from core.validation import parse
from core.webhooks.run_webhook import SECRET_HEADER, URL_HEADER
from v1.agent.checked_command import CheckedCommand, has_tools, read_command
from v1.agent.container import ApiContainer
from v1.agent.event_stream import EventStreamResponse
from v1.agent.expiring_stream import until_expiry
from v1.agent.limits import check_counts
from v1.agent.negotiation import connect_cursor, idempotency_key, repeat_cursor, wants_event_stream
from v1.agent.wire import ConnectCommand


async def answer_run(
    model: type[RunCommand],
    request: Request,
    principal: Principal,
    container: ApiContainer,
    key: str | None,
    last_event_id: str | None,
    *,
    agent_id: str | None = None,
) -> Response:
    """Make a run durable; answer with its stream, or with 202.

    Args:
        model: What the body is.
        request: Brings the body, and says what the client accepts; may name a webhook.
        principal: Who asks.
        container: Of the process.
        key: The header ``Idempotency-Key``.
        last_event_id: The header ``Last-Event-ID``.
        agent_id: The agent that the URL names.
    """
    service = container.service
    headers = request.headers
    webhook = container.run_webhooks.read(headers.get(URL_HEADER), headers.get(SECRET_HEADER))

    def read(body: Any) -> CheckedCommand:
        return read_command(model, body, service.limits, agent_id=agent_id)

    # Until the run is durable: its body takes memory for as long.
    async with container.bodies.read(request, principal, read, takes_long=has_tools) as command:
        name = idempotency_key(key)
        if wants_event_stream(request.headers.getlist("accept")):
            # Before the run exists: a refusal means that nothing has begun.
            with container.stream_places.take(principal) as place, _trace_of(request):
                frames = await service.stream_run(
                    principal, command, name, last_seen=repeat_cursor(last_event_id), webhook=webhook
                )
                return stream(frames if frames is None else place.keep_for(frames))
        with _trace_of(request):
            return json_answer(await service.enqueue_run(principal, command, name, webhook=webhook), 202)


def _trace_of(request: Request) -> AbstractContextManager[None]:
    """Be a part of the trace that a request names, if it names one."""
    return inside(TraceContext.read(request.headers.get("traceparent")))


async def answer_connect(
    request: Request, principal: Principal, container: ApiContainer, last_event_id: str | None, limit: int
) -> Response:
    """Read AG-UI's ``RunAgentInput``, and answer with a stream for a client that holds nothing."""

    def read(body: Any) -> ConnectCommand:
        check_counts(body, container.service.limits)
        return parse(ConnectCommand, body)

    async with container.bodies.read(request, principal, read) as command:
        asked = ConnectRequest(
            command.thread_id,
            run_id=command.run_id,
            after=connect_cursor(last_event_id, None),
            limit=limit,
            peer=Peer(command.protocol_version),
        )
    return await stream_until_expiry(container.events.connect(principal, asked), principal, container)


async def stream_until_expiry(
    opening: Awaitable[AsyncIterator[bytes] | None],
    principal: Principal,
    container: ApiContainer,
    ticket: TicketUse | None = None,
) -> Response:
    """Answer with a stream that ends when the credential of its request does, and that counts as one of its reader.

    Args:
        opening: Opens the stream. It is not awaited if the reader has too many.
        principal: The reader.
        container: Of the process.
        ticket: What opened it, if it was a ticket.

    Raises:
        RateLimited: The reader has too many.
    """
    try:
        with container.stream_places.take(principal) as place:
            frames = await opening
            if frames is None:
                return stream(None)
            return stream(
                place.keep_for(until_expiry(frames, principal, container.open_streams, ticket=ticket))
            )
    finally:
        if isinstance(opening, Coroutine):
            # Of one that was awaited, this closes nothing.
            opening.close()


def stream(frames: AsyncIterator[bytes] | None) -> Response:
    """Answer with frames; 204 when there are none."""
    return Response(status_code=204) if frames is None else EventStreamResponse(frames)


def json_answer(answer: WireModel, status: int = 200) -> Response:
    """Answer with a model."""
    return encoded(answer.wire(), status)


def encoded(value: Mapping[str, Any], status: int = 200) -> Response:
    """Answer with JSON."""
    return Response(orjson.dumps(value), status_code=status, media_type="application/json")
