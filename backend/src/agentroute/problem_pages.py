"""The page for the ``type`` of a problem document: the meaning of a code, for people."""

from __future__ import annotations

import inspect

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from core.error_codes import catalogue
from core.errors import InvalidRequest, NotFound
from v1.agent.openapi import problems

router = APIRouter(prefix="/problems", tags=["operations"])


@router.get("/{code}", response_class=PlainTextResponse, responses=problems(NotFound, InvalidRequest))
async def read_problem(code: str) -> str:
    """Explain an error code."""
    kind = catalogue().get(code)
    if kind is None:
        raise NotFound("No error has this code.")
    retry = "a later retry may succeed" if kind.retryable else "a retry alone does not help"
    text = (inspect.getdoc(kind) or "").replace("``", "`")
    return f"{kind.title} ({code}, HTTP {kind.status}; {retry})\n\n{text}\n"
