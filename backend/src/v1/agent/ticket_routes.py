"""The route of stream tickets, and the check of a ticket. Its docstring is the API reference."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter, Depends, Request, Response

from core import credential_errors, errors
from core.agentscope.schemas.links import TICKET_PATH, events_url
from core.log import note_request
from core.stream_tickets import FIRST_USE_SECONDS
from core.validation import parse
from v1.agent.dependencies import Container, CurrentPrincipal, current_principal
from v1.agent.key_examples import TICKET_EXAMPLE, TICKET_EXAMPLES
from v1.agent.openapi import BODY_ERRORS, answer, json_body, problems
from v1.agent.run_answers import json_answer
from v1.agent.wire import TicketCommand, TicketResponse

router = APIRouter(prefix=TICKET_PATH, tags=["agent"], dependencies=[Depends(current_principal)])


@router.post(
    "",
    status_code=201,
    response_model=TicketResponse,
    responses=answer(TICKET_EXAMPLE, 201)
    | problems(
        errors.Unauthenticated,
        errors.Forbidden,
        errors.NotFound,
        errors.InvalidRequest,
        errors.StoreUnavailable,
        credential_errors.TicketsUnavailable,
        *BODY_ERRORS,
    ),
    openapi_extra=json_body(TicketCommand, TICKET_EXAMPLES),
)
async def issue_ticket(request: Request, principal: CurrentPrincipal, container: Container) -> Response:
    """Make a ticket for one stream: for a browser's `EventSource`, which cannot send a token.

    Open `eventsUrl` within 30 seconds; `cursor` may be added, and `connect` and `limit` if the ticket is for the whole
    thread. From then on the ticket is good for this stream, also when the `EventSource` reconnects, for as long as a stream may last and never longer than the
    credential of this request. A ticket opens nothing else. A second connection with it takes the stream over, and the
    first one ends. After a 401 `ticket-invalid`, ask for another ticket and go on with the last cursor.
    """
    async with container.bodies.read(request, principal, partial(parse, TicketCommand)) as read:
        command = read
    note_request(thread_id=command.thread_id, run_id=command.run_id)
    # Here, because an EventSource can not read why its stream was refused.
    await container.threads.get_thread(principal, command.thread_id)
    if command.run_id is not None:
        await container.runs.get_run(principal, command.thread_id, command.run_id)
    ticket = await container.tickets.issue(principal, command.thread_id, command.run_id)
    return json_answer(
        TicketResponse(
            ticket=ticket,
            events_url=events_url(command.thread_id, command.run_id, ticket=ticket),
            first_use_seconds=FIRST_USE_SECONDS,
            lasts_seconds=int(container.tickets.lasts_seconds),
        ),
        201,
    )
