"""The routes of threads. Their docstrings are the API reference."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from core import errors
from core.agentscope.schemas.links import API_PREFIX
from core.agentscope.schemas.messages import Id
from core.agentscope.schemas.runs import RunListResponse
from core.agentscope.schemas.threads import RenameThreadCommand, ThreadItem, ThreadListResponse
from core.validation import parse
from v1.agent.dependencies import Container, CurrentPrincipal, current_principal
from v1.agent.openapi import (
    BODY_ERRORS,
    RENAME_EXAMPLES,
    RUNS_EXAMPLE,
    THREAD_EXAMPLE,
    THREADS_EXAMPLE,
    answer,
    json_body,
    problems,
)
from v1.agent.run_answers import json_answer

_ALWAYS = (errors.Unauthenticated, errors.InvalidRequest, errors.StoreUnavailable)
_ONE = (*_ALWAYS, errors.NotFound)

ThreadIdPath = Annotated[Id, Path(alias="threadId", description="The thread.", examples=["thread-1"])]
LimitQuery = Annotated[int, Query(ge=1, le=100, description="How many threads at most.")]
BeforeQuery = Annotated[
    str | None, Query(max_length=64, description="`nextBefore` of the page before this one.")
]
WordsQuery = Annotated[
    str | None,
    Query(
        alias="q",
        max_length=200,
        pattern="^[^\\x00]*$",
        description="Words to search for in titles and messages. The last word may be incomplete.",
        examples=["trip to lis"],
    ),
]
AgentQuery = Annotated[
    Id | None, Query(alias="agentId", description="Only threads of this agent.", examples=["sales"])
]

router = APIRouter(
    prefix=f"{API_PREFIX}/threads", tags=["threads"], dependencies=[Depends(current_principal)]
)


@router.get("", response_model=ThreadListResponse, responses=answer(THREADS_EXAMPLE) | problems(*_ALWAYS))
async def list_threads(
    principal: CurrentPrincipal,
    container: Container,
    limit: LimitQuery = 30,
    before: BeforeQuery = None,
    query: WordsQuery = None,
    agent_id: AgentQuery = None,
) -> Response:
    """List the caller's threads, newest activity first.

    With `q`, the list contains only threads whose title, or one of whose messages, has all the words. Case is ignored.
    The last word may be incomplete if it has at least two letters. An empty `q` counts as absent. With `agentId`, the
    list contains only threads whose `agentId` it is; of an agent that does not exist, none. `nextBefore` is the
    start of the next page. A thread that becomes active while a client pages moves to the front: read the first page
    again to see it.
    """
    return json_answer(
        await container.threads.list_threads(
            principal, limit=limit, before=before, query=query or None, agent_id=agent_id
        )
    )


@router.get("/{threadId}", response_model=ThreadItem, responses=answer(THREAD_EXAMPLE) | problems(*_ONE))
async def read_thread(principal: CurrentPrincipal, container: Container, thread_id: ThreadIdPath) -> Response:
    """Read one thread as the list shows it. Its messages are in `GET /history`."""
    return json_answer(await container.threads.get_thread(principal, thread_id))


@router.get(
    "/{threadId}/runs", response_model=RunListResponse, responses=answer(RUNS_EXAMPLE) | problems(*_ONE)
)
async def list_runs(
    principal: CurrentPrincipal,
    container: Container,
    thread_id: ThreadIdPath,
    limit: Annotated[int, Query(ge=1, le=100, description="How many runs at most.")] = 30,
    before: BeforeQuery = None,
) -> Response:
    """List the runs of a thread, newest first.

    Each run is as `GET /runs/{runId}` shows it: status, timings, usage and cost. A run that was
    resumed under its own id is one run, as its newest segment. `nextBefore` says where the next
    page begins; a run that starts meanwhile is on a new first page.
    """
    return json_answer(await container.runs.list_runs(principal, thread_id, limit=limit, before=before))


@router.patch(
    "/{threadId}",
    response_model=ThreadItem,
    responses=answer(THREAD_EXAMPLE) | problems(*_ONE, *BODY_ERRORS),
    openapi_extra=json_body(RenameThreadCommand, RENAME_EXAMPLES),
)
async def rename_thread(
    request: Request,
    principal: CurrentPrincipal,
    container: Container,
    thread_id: ThreadIdPath,
) -> Response:
    """Change the title of a thread. The thread keeps its place in the list: a new title is not an activity."""
    async with container.bodies.read(request, principal, partial(parse, RenameThreadCommand)) as read:
        command = read
    return json_answer(await container.threads.rename_thread(principal, thread_id, command.title))


@router.delete("/{threadId}", status_code=204, response_class=Response, responses=problems(*_ONE))
async def delete_thread(
    principal: CurrentPrincipal, container: Container, thread_id: ThreadIdPath
) -> Response:
    """Delete a thread with all its data.

    First the live run and the waiting runs end as `cancelled`, so open streams end in order. Messages, runs, events,
    interrupts and checkpoints are deleted, and files that no other thread names; the ids can be used again. Texts that the user asked the
    agent to remember do not belong to the thread and are kept. `GET /usage` still counts the usage of the runs.
    """
    await container.threads.delete_thread(principal, thread_id)
    return Response(status_code=204)
