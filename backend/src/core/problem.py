"""Errors as problem documents (RFC 9457). The only file that knows HTTP errors.

Every answer outside 2xx and 3xx is ``application/problem+json`` with the documented members. No member contains
exception text.
"""

from __future__ import annotations

import asyncio
import math
from typing import Any, cast

import orjson
import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp, ExceptionHandler, Message, Receive, Scope, Send

from core.erased_users import is_refused
from core.errors import (
    AgentBackendError,
    BodyTooLarge,
    EncodedBody,
    Forbidden,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    Overloaded,
    RangeNotSatisfiable,
    RateLimited,
    StoreUnavailable,
    Unauthenticated,
    UnsupportedMediaType,
)
from core.gate import soon
from core.log import current_request_id
from core.metrics.catalogue import PROBLEMS
from core.store_failure import is_crowd, is_store_failure
from core.user_data_errors import BEING_ERASED, ErasureUnderWay
from core.validation import escape, from_errors

MEDIA_TYPE = "application/problem+json"
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")

log = structlog.get_logger(__name__)

_BY_STATUS: dict[int, type[AgentBackendError]] = {
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    405: MethodNotAllowed,
    413: BodyTooLarge,
    415: UnsupportedMediaType,
    429: RateLimited,
    503: Overloaded,
}


def problem(error: AgentBackendError, *, instance: str) -> dict[str, Any]:
    """Return the document of an error.

    Args:
        error: What happened.
        instance: The path of the request, without its query.
    """
    document: dict[str, Any] = {
        "type": f"/problems/{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "instance": instance,
        "code": error.code,
        "retryable": error.retryable,
        "requestId": current_request_id(),
    }
    if error.errors:
        document["errors"] = error.errors
    # The extension members of an error cannot overwrite the standard members.
    return {**error.members, **document}


def problem_response(error: AgentBackendError, request: Request) -> Response:
    """Return the response for an error, with the headers of the error."""
    PROBLEMS.add(str(error.status), error.code)
    headers: dict[str, str] = {}
    if (wait := retry_after(error)) is not None:
        headers["Retry-After"] = wait
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = error.challenge
    if error.status == 408:
        # RFC 9110, section 15.5.9. The rest of the body would be read as the next request.
        headers["Connection"] = "close"
    if isinstance(error, RangeNotSatisfiable):
        # RFC 9110, section 15.5.17.
        headers["Content-Range"] = f"bytes */{error.members.get('bytes', '*')}"
    if isinstance(error, EncodedBody):
        # RFC 9110, section 15.5.16: what may be sent instead.
        headers["Accept-Encoding"] = "identity"
    return Response(
        orjson.dumps(problem(error, instance=request.url.path), default=str),
        status_code=error.status,
        headers=headers,
        media_type=MEDIA_TYPE,
    )


def retry_after(error: AgentBackendError) -> str | None:
    """Return the value of the header ``Retry-After``; ``None`` if the error has none."""
    return None if error.retry_after_seconds is None else str(max(1, math.ceil(error.retry_after_seconds)))


def install_problem_handlers(app: FastAPI) -> None:
    """Make an application answer every error as a problem document.

    Exceptions without a handler reach :class:`ErrorBoundary`. A ``ValidationError`` of pydantic deliberately has no
    handler: ``core.validation.parse`` reports invalid input, so any other ``ValidationError`` is a fault of the
    service.
    """
    # The casts: a handler only gets the class for which it is registered. The type of the framework cannot express
    # this.
    app.add_exception_handler(AgentBackendError, cast("ExceptionHandler", _on_error))
    app.add_exception_handler(RequestValidationError, cast("ExceptionHandler", _on_invalid_parameters))
    app.add_exception_handler(HTTPException, cast("ExceptionHandler", _on_http_exception))


class ErrorBoundary:
    """ASGI middleware: an unexpected exception becomes a problem document, and is logged once.

    After the first byte, the status can no longer change: the answer stays unfinished, and the server closes the
    connection.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def noting(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except ClientDisconnect:
            log.debug("request_abandoned")
        except asyncio.CancelledError:
            # The server ends what its drain has not: without an answer of ours it would send a bare 500.
            if not started:
                error = Overloaded(
                    "The process stops. Send the same request again.", retry_after_seconds=soon()
                )
                await problem_response(error, Request(scope))(scope, receive, send)
            raise
        except Exception as exc:  # noqa: BLE001  the HTTP border: nothing may pass
            error = _foresee(exc)
            if not started:
                await problem_response(error, Request(scope))(scope, receive, send)


def passing(exc: Exception) -> AgentBackendError | None:
    """Return what a client is told of a failure that will pass by itself; None for any other."""
    if is_crowd(exc):
        return Overloaded(
            "Too many requests at once. Send this one again after the time in Retry-After.",
            retry_after_seconds=soon(),
        )
    if is_store_failure(exc):
        return StoreUnavailable("The database is not reachable. Retry with the same ids.")
    if is_refused(exc):
        return ErasureUnderWay(BEING_ERASED)
    return None


def _foresee(exc: Exception) -> AgentBackendError:
    if (error := passing(exc)) is not None:
        # One line without a stack: during an outage, identical stack traces would fill the disk.
        log.warning("store_failed", code=error.code, error=f"{type(exc).__name__}: {exc}")
        return error
    log.error("request_failed", exc_info=exc)
    return AgentBackendError("An internal error occurred. Include the requestId when you report it.")


async def _on_error(request: Request, exc: AgentBackendError) -> Response:
    if exc.status >= 500:
        log.warning("request_refused", code=exc.code, exc_info=exc.__cause__)
    return problem_response(exc, request)


async def _on_invalid_parameters(request: Request, exc: RequestValidationError) -> Response:
    # Parameters are not in the JSON body, so their pointers are /query/threadId, /path/runId.
    found = [
        {
            "pointer": "".join("/" + escape(step) for step in entry["loc"]),
            "message": str(entry["msg"])[:200],
        }
        for entry in exc.errors()
    ]
    return problem_response(from_errors(found), request)


async def _on_http_exception(request: Request, exc: HTTPException) -> Response:
    if exc.status_code < 400:
        return Response(status_code=exc.status_code, headers=exc.headers)
    fallback = InvalidRequest if exc.status_code < 500 else AgentBackendError
    response = problem_response(_BY_STATUS.get(exc.status_code, fallback)(), request)
    for name, value in (exc.headers or {}).items():
        response.headers.setdefault(name, value)
    if exc.status_code == 405:
        response.headers["Allow"] = ", ".join(_allowed(request, response.headers.get("Allow", "")))
    return response


def _allowed(request: Request, known: str) -> list[str]:
    """Return all methods of a path. The framework names those of one route, and a path may have several."""
    found = {method.strip() for method in known.split(",") if method.strip()}
    for method in _METHODS:
        scope = {**request.scope, "method": method}
        if any(route.matches(scope)[0] is Match.FULL for route in request.app.router.routes):
            found.add(method)
    if "GET" in found:
        found.add("HEAD")
    return sorted(found)
