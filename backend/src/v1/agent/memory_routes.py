"""The routes of notes. Their docstrings are the API reference."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response

from core import errors
from core.agentscope.schemas.links import MEMORY_PATH
from core.agentscope.schemas.memory import MemoryItem, MemoryListResponse
from core.agentscope.schemas.page_place import NumberPlace
from core.validation import read_parameter
from v1.agent.dependencies import Container, CurrentPrincipal, current_principal
from v1.agent.openapi import answer, problems
from v1.agent.run_answers import json_answer

MEMORIES_EXAMPLE: dict[str, Any] = {
    "memories": [{"memoryId": "MTc", "text": "Likes tea.", "createdAt": "2026-11-28T09:12:44.120512Z"}],
    "nextBefore": None,
}
_ALWAYS = (errors.Unauthenticated, errors.StoreUnavailable)

router = APIRouter(prefix=MEMORY_PATH, tags=["memory"], dependencies=[Depends(current_principal)])


@router.get(
    "",
    response_model=MemoryListResponse,
    responses=answer(MEMORIES_EXAMPLE) | problems(*_ALWAYS, errors.InvalidRequest),
)
async def list_memories(
    principal: CurrentPrincipal,
    container: Container,
    limit: Annotated[int, Query(ge=1, le=100, description="How many notes at most.")] = 30,
    before: Annotated[
        str | None, Query(max_length=64, description="`nextBefore` of the page before this one.")
    ] = None,
) -> Response:
    """List what the agents were asked to remember for the caller, newest first."""
    place = read_parameter("before", before, NumberPlace.parse)
    found = await container.memories.list_page(
        principal, limit=limit + 1, before=None if place is None else place.number
    )
    page = found[:limit]
    items = [
        MemoryItem(memory_id=str(NumberPlace(each.id)), text=each.text, created_at=each.created_at)
        for each in page
    ]
    following = items[-1].memory_id if len(found) > limit else None
    return json_answer(MemoryListResponse(memories=items, next_before=following))


@router.delete(
    "/{memoryId}",
    status_code=204,
    response_class=Response,
    responses=problems(*_ALWAYS, errors.NotFound, errors.InvalidRequest),
)
async def delete_memory(
    principal: CurrentPrincipal,
    container: Container,
    memory_id: Annotated[str, Path(alias="memoryId", max_length=64, description="The note.")],
) -> Response:
    """Delete one note. No later run recalls it; messages in which it was said stay."""
    try:
        place = NumberPlace.parse(memory_id)
    except ValueError:
        raise errors.NotFound("No such note.") from None
    if not await container.memories.delete(principal, place.number):
        raise errors.NotFound("No such note.")
    return Response(status_code=204)


@router.delete("", status_code=204, response_class=Response, responses=problems(*_ALWAYS))
async def delete_memories(principal: CurrentPrincipal, container: Container) -> Response:
    """Delete every note of the caller. Also if there is none."""
    await container.memories.delete_all(principal)
    return Response(status_code=204)
