"""The routes of a user's data as a whole. Their docstrings are the API reference."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Response

from core import errors
from core.agentscope.schemas.links import EXPORT_PATH, ME_PATH
from v1.agent.dependencies import Container, CurrentPrincipal, current_principal
from v1.agent.erasure_answer import answer_erasure
from v1.agent.export_response import ExportResponse
from v1.agent.openapi import answer, problems
from v1.agent.user_data_wire import ERASING_EXAMPLE, ERASURE_EXAMPLE, ErasureResponse

EXPORT_EXAMPLE = """{"type":"manifest","format":"agentroute-export","version":1,"counts":{"thread":1,"message":2}}
{"type":"thread","threadId":"thread-1","title":"what time is it in Lisbon?"}
{"type":"end","lines":2,"sha256":"2f0a3a7d6f…"}
"""

router = APIRouter(tags=["user data"], dependencies=[Depends(current_principal)])


@router.delete(
    ME_PATH,
    response_model=ErasureResponse,
    responses=answer(ERASURE_EXAMPLE)
    | {
        202: {
            "model": ErasureResponse,
            "description": "It is under way, and goes on by itself.",
            "content": answer(ERASING_EXAMPLE)[200]["content"],
        }
    }
    | problems(errors.Unauthenticated, errors.StoreUnavailable),
)
async def erase_me(principal: CurrentPrincipal, container: Container) -> Response:
    """Erase everything of the caller: threads, runs, files, notes, connections, keys, and what Redis knows of them.

    Live runs end as cancelled first. Other requests of the caller get 409 `erasure-under-way` until it is over. The
    answer is the receipt: what was removed, store by store. 202 says that it is not over yet; it goes on by itself, and
    the same request again shows how far it is. What model calls and transcriptions cost stays without the caller's name.
    Afterwards the caller can come back, as a new user. Once a day; an operator can do it at any time.
    """
    return await answer_erasure(container, principal, "owner")


@router.get(
    EXPORT_PATH,
    response_class=Response,
    responses={
        200: {
            "description": "Lines of JSON.",
            "content": {"application/x-ndjson": {"schema": {"type": "string"}, "example": EXPORT_EXAMPLE}},
        }
    }
    | problems(errors.Unauthenticated, errors.StoreUnavailable, errors.Overloaded),
)
async def export_me(principal: CurrentPrincipal, container: Container) -> Response:
    """Export everything of the caller as lines of JSON: threads, runs, messages, questions, files with their bytes,
    notes, usage and connections, never a token.

    The first line is a manifest with counts, the last one (`"type": "end"`) has the SHA-256 of all bytes before it: an
    export without it was cut off. Rows are of one moment; bytes of files come behind them. An operator loads an export
    into an empty user with `agentroute import-user`. `docs/how-to/user-data.md` describes the lines.
    """
    chunks = container.exports.export(principal)
    # The first bytes come after every refusal, and before the status.
    first = await anext(chunks)
    return ExportResponse(first, chunks)
