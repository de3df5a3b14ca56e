"""The routes of operators that belong to no other subject. They need the scope ``admin``.

In no OpenAPI document: what apps are built from does not show them. ``docs/access.md`` does.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from core.identity import Principal
from v1.agent.dependencies import Container, CurrentPrincipal, current_principal
from v1.agent.erasure_answer import answer_erasure
from v1.agent.route_access import ACCESS, ADMIN_PREFIX, PUBLIC
from v1.agent.run_answers import encoded

router = APIRouter(
    prefix=ADMIN_PREFIX, tags=["admin"], dependencies=[Depends(current_principal)], include_in_schema=False
)


@router.get("/access")
async def list_access() -> Response:
    """Say who may do what: each route with its scope and the roles it is open to, and the public ones with the reason."""
    asking = [
        {
            "method": method,
            "path": path,
            "scope": access.scope,
            "roles": sorted(access.roles),
            "byAgent": access.by_agent,
        }
        for (method, path), access in ACCESS.items()
    ]
    public = [{"method": method, "path": path, "why": why} for (method, path), why in PUBLIC.items()]
    return encoded({"routes": asking, "public": public})


@router.delete("/users")
async def erase_user(
    principal: CurrentPrincipal,
    container: Container,
    # Not in the path: the log has paths, and no ids of users.
    user_id: Annotated[str, Query(alias="userId", min_length=1, max_length=1024)],
) -> Response:
    """Erase everything of a user of the caller's tenant; the answer is that of ``DELETE /me``. At any time, and again."""
    return await answer_erasure(container, Principal(principal.tenant_id, user_id), "admin")
