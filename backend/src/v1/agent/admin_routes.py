"""The routes of operators that belong to no other subject. They need the scope ``admin``.

In no OpenAPI document: what apps are built from does not show them. ``docs/access.md`` does.
"""

from __future__ import annotations

from fastapi import APIRouter, Depends, Response

from v1.agent.dependencies import current_principal
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
