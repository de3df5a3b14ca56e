"""The routes of API keys, for admins. Their docstrings are the API reference."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from core import credential_errors, errors
from core.agentscope.schemas.api_keys import (
    ApiKeyItem,
    ApiKeyListResponse,
    CreateKeyCommand,
    IssuedKeyResponse,
    KeyPlace,
    RotateKeyCommand,
)
from core.agentscope.schemas.links import KEYS_PATH
from core.agentscope.schemas.messages import Id
from core.validation import parse, read_parameter
from v1.agent.dependencies import Container, CurrentPrincipal, current_principal, who
from v1.agent.key_examples import (
    CREATE_KEY_EXAMPLES,
    ISSUED_KEY_EXAMPLE,
    KEY_EXAMPLE,
    KEYS_EXAMPLE,
    ROTATE_KEY_EXAMPLES,
)
from v1.agent.openapi import BODY_ERRORS, answer, json_body, problems
from v1.agent.run_answers import json_answer

_ALWAYS = (errors.Unauthenticated, errors.Forbidden, errors.InvalidRequest, errors.StoreUnavailable)

KeyIdPath = Annotated[
    Id, Path(alias="keyId", description="The part of the key behind `ar_`.", examples=["4fQ2bX9mTz7K"])
]

router = APIRouter(prefix=KEYS_PATH, tags=["keys"], dependencies=[Depends(current_principal)])


@router.post(
    "",
    status_code=201,
    response_model=IssuedKeyResponse,
    responses=answer(ISSUED_KEY_EXAMPLE, 201) | problems(*_ALWAYS, *BODY_ERRORS, errors.LimitExceeded),
    openapi_extra=json_body(CreateKeyCommand, CREATE_KEY_EXAMPLES),
)
async def create_key(request: Request, principal: CurrentPrincipal, container: Container) -> Response:
    """Make an API key for a machine of the caller's tenant. The answer has the key: it is shown once.

    The key is a credential like a token: `Authorization: Bearer ar_…`, on every route that its scopes permit.
    """
    keeper = container.keys
    async with container.bodies.read(request, principal, partial(parse, CreateKeyCommand)) as command:
        issued = await keeper.create(
            tenant_id=principal.tenant_id,
            user_id=command.user_id,
            by=who(principal),
            name=command.name,
            scopes=command.scopes,
            days=None if command.expires_in_days == "never" else command.expires_in_days,
        )
    return json_answer(IssuedKeyResponse.of(issued.known, key=issued.key), 201)


@router.get(
    "",
    response_model=ApiKeyListResponse,
    responses=answer(KEYS_EXAMPLE) | problems(*_ALWAYS),
)
async def list_keys(
    principal: CurrentPrincipal,
    container: Container,
    user_id: Annotated[
        str | None, Query(alias="userId", max_length=128, description="Only keys that act as this user.")
    ] = None,
    ended: Annotated[bool, Query(description="Also keys that are revoked or expired.")] = False,
    limit: Annotated[int, Query(ge=1, le=200, description="How many at most.")] = 50,
    before: Annotated[str | None, Query(description="`nextBefore` of the page before this one.")] = None,
) -> Response:
    """List the API keys of the caller's tenant, newest first: whose they are, when they were used and when they end."""
    keeper = container.keys
    place = read_parameter("before", before, KeyPlace.parse)
    found = await keeper.page(
        principal.tenant_id,
        user_id=user_id,
        ended=ended,
        # One more tells whether there is a next page.
        limit=limit + 1,
        before=None if place is None else (place.created_at, place.key_id),
    )
    shown = found[:limit]
    last = KeyPlace(shown[-1].created_at, shown[-1].key_id) if len(found) > limit else None
    return json_answer(
        ApiKeyListResponse(
            keys=[ApiKeyItem.of(known) for known in shown], next_before=None if last is None else str(last)
        )
    )


@router.post(
    "/{keyId}/rotate",
    response_model=IssuedKeyResponse,
    responses=answer(ISSUED_KEY_EXAMPLE)
    | problems(*_ALWAYS, *BODY_ERRORS, errors.NotFound, credential_errors.KeyEnded),
    openapi_extra=json_body(RotateKeyCommand, ROTATE_KEY_EXAMPLES),
)
async def rotate_key(
    request: Request, principal: CurrentPrincipal, container: Container, key_id: KeyIdPath
) -> Response:
    """Give a key a new secret. The one before stays good for `overlapSeconds`, a day if you do not say.

    The key keeps its id, its user and its scopes. Rotated again within the overlap, the oldest secret ends at once.
    """
    keeper = container.keys
    async with container.bodies.read(request, principal, partial(parse, RotateKeyCommand)) as command:
        issued = await keeper.rotate(
            principal.tenant_id,
            key_id,
            by=who(principal),
            overlap_seconds=command.overlap_seconds,
            days=command.expires_in_days,
        )
    return json_answer(IssuedKeyResponse.of(issued.known, key=issued.key))


@router.delete(
    "/{keyId}",
    response_model=ApiKeyItem,
    responses=answer(KEY_EXAMPLE) | problems(*_ALWAYS, errors.NotFound),
)
async def revoke_key(principal: CurrentPrincipal, container: Container, key_id: KeyIdPath) -> Response:
    """Revoke a key for ever. May be repeated; the record of it stays, with who revoked it first.

    This process refuses the key at once, every other one within 30 seconds. Its open streams end within a minute.
    """
    keeper = container.keys
    return json_answer(ApiKeyItem.of(await keeper.revoke(principal.tenant_id, key_id, by=who(principal))))
