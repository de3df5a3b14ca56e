"""What goes wrong, as exceptions. Every error of the client is an ``AgentRouteError``.

============================  =====================================================================================
``ConnectionFailed``          The service did not answer, not even after the retries.
``ProblemError``              The service refused. ``code`` says why; docs/problems.md has every code.
``UnexpectedAnswer``          What answered is not an AgentRoute, or is behind something that changes its answers.
``RunFailed``                 The run ended with ``RUN_ERROR``; only ``result()`` and ``ask()`` raise it.
============================  =====================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentroute.client.backoff import retry_after_seconds
from agentroute.client.wire_form import WireFormError, parse

_EXCERPT_CHARACTERS = 120


class AgentRouteError(Exception):
    """Base of every error of this client."""


class ConnectionFailed(AgentRouteError):
    """The service could not be reached, or stopped to answer, for longer than the client was to try.

    A request may have arrived all the same. Every request of this client can be sent again: ``run`` and ``resume`` with
    the same ``run_id`` and the same arguments are never executed twice.
    """


class UnexpectedAnswer(AgentRouteError):
    """The answer is none of AgentRoute. Check the address, and what a proxy in between does."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class RunFailed(AgentRouteError):
    """A run ended with ``RUN_ERROR``. What it had said by then is in the thread's history."""

    def __init__(self, code: str, message: str, *, thread_id: str, run_id: str) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        """For example ``model-unavailable``."""
        self.message = message
        """Written for the user."""
        self.thread_id = thread_id
        self.run_id = run_id


@dataclass(frozen=True, slots=True)
class InvalidPlace:
    """One invalid place in a request."""

    pointer: str
    """JSON pointer into the body, or ``/query/…``, ``/path/…``, ``/header/…``."""
    message: str


class ProblemError(AgentRouteError):
    """The service refused a request and said why (RFC 9457).

    Catch a subclass for a kind of refusal, and look at ``code`` for the exact one.
    """

    def __init__(self, status: int, problem: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        self.status = status
        """HTTP status."""
        self.code = str(problem.get("code", ""))
        """Stable, for example ``run-active``."""
        self.title = str(problem.get("title", ""))
        self.message = str(problem.get("detail") or self.title)
        """What was wrong and what to do."""
        self.retryable = problem.get("retryable") is True
        """Whether the same request may succeed later."""
        self.request_id = str(problem.get("requestId", ""))
        """Finds the request in the log of the service."""
        self.retry_after_seconds = retry_after_seconds(headers)
        """When to come back, if the service says so."""
        self.errors = tuple(
            InvalidPlace(str(each.get("pointer", "")), str(each.get("message", "")))
            for each in problem.get("errors") or ()
            if isinstance(each, Mapping)
        )
        """The invalid places of the request."""
        self.problem = dict(problem)
        """The whole document; some codes have more members."""
        places = "".join(f"; {place.pointer}: {place.message}" for place in self.errors[:3])
        super().__init__(f"{self.message} ({self.code}{places})")


class InvalidRequest(ProblemError):
    """400, 408, 413, 415, 422: the request has to be corrected."""


class Unauthenticated(ProblemError):
    """401: no token, or one that is not valid (any more)."""


class Forbidden(ProblemError):
    """403: the token does not permit it."""


class NotFound(ProblemError):
    """404: there is none, or it is another user's."""


class Conflict(ProblemError):
    """409: the thread is in another state: a live run (``run-active``), an open interrupt (``interrupt-open``), …"""


class EventsExpired(ProblemError):
    """410: the events after the cursor were deleted. Read ``history()`` and go on from its cursor."""


class TooMany(ProblemError):
    """429: too many requests, a full queue, or an exhausted budget."""


class Unavailable(ProblemError):
    """5xx: the service, or what it needs, is down at the moment."""


_BY_STATUS: Mapping[int, type[ProblemError]] = {
    400: InvalidRequest,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    408: InvalidRequest,
    409: Conflict,
    410: EventsExpired,
    413: InvalidRequest,
    415: InvalidRequest,
    422: InvalidRequest,
    429: TooMany,
}


def refusal(status: int, headers: Mapping[str, str], body: bytes) -> ProblemError | UnexpectedAnswer:
    """Return what an answer that is no success means. Never raises."""
    try:
        problem = parse(body)
    except WireFormError:
        problem = None
    if not isinstance(problem, dict) or not isinstance(problem.get("code"), str):
        excerpt = " ".join(body.decode(errors="replace").split())[:_EXCERPT_CHARACTERS]
        return UnexpectedAnswer(f"HTTP {status}, without a problem document: {excerpt or 'empty'}", status)
    kind = _BY_STATUS.get(status, Unavailable if status >= 500 else ProblemError)
    return kind(status, problem, headers)
