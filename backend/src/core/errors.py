"""Every error this service raises on purpose. Each class carries its own rendering.

Before the first byte of an answer an error becomes a problem document
(``core/problem.py``); after it, a ``RUN_ERROR`` event with the same ``code``.
The docstring of a class is what ``GET /problems/{code}`` tells the caller: what
happened, then what to do. ``docs/problems.md`` has a heading for each code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar


class AgentBackendError(Exception):
    """The service failed in a way it did not foresee. Report the ``requestId``; a repeat may work."""

    # ``detail`` is written for the caller: what was wrong and what to do. It never
    # holds exception text, SQL, hosts, keys or prompts.

    code: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "Internal error"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False
    default_retry_after_seconds: ClassVar[float | None] = None
    """``Retry-After`` when the raiser knows no better figure."""

    def __init__(
        self,
        detail: str = "",
        *,
        retry_after_seconds: float | None = None,
        errors: Sequence[dict[str, str]] = (),
        **members: Any,
    ) -> None:
        super().__init__(detail or self.title)
        self.detail: str = detail or self.title
        self.retry_after_seconds: float | None = (
            self.default_retry_after_seconds if retry_after_seconds is None else retry_after_seconds
        )
        self.errors: list[dict[str, str]] = list(errors)
        """Validation errors: ``{"pointer": "/messages/0/content", "message": "..."}``."""
        self.members: dict[str, Any] = members
        """More problem members, already camelCase."""


# --- 4xx: the caller can mend it -------------------------------------------------


class InvalidRequest(AgentBackendError):
    """The request is well formed but cannot be meant. ``errors`` names each place; mend it and send again."""

    code, title, status = "invalid-request", "Invalid request", 422


class MalformedJson(InvalidRequest):
    """The body is not one strict JSON document (RFC 8259, no repeated members, no NaN). Serialise it again."""

    code, title, status = "malformed-json", "The body is not valid JSON", 400


class CursorInvalid(InvalidRequest):
    """The cursor is not ``<ordinal>-<sequence>``. Send one that an event or ``/history`` gave you."""

    code, title, status = "bad-cursor", "The cursor is not valid", 400


class CursorAhead(InvalidRequest):
    """The cursor names an event that does not exist yet. Read ``/history`` and follow from its cursor."""

    code, title, status = "cursor-ahead", "The cursor is ahead of the log", 400


class BodyTooLarge(InvalidRequest):
    """The body is larger than the server reads. Send less: of a conversation only new messages are needed."""

    code, title, status = "body-too-large", "The body is too large", 413


class UnsupportedMediaType(InvalidRequest):
    """The body's type is not read here. Send ``application/json``; to ``/transcribe`` a form with a sound file."""

    code, title, status = "unsupported-media-type", "Unsupported media type", 415


class InvalidText(InvalidRequest):
    """A string holds U+0000 or half a surrogate pair, which cannot be stored. Remove it."""

    code, title, status = "invalid-text", "The text holds characters that are not allowed", 422


class LimitExceeded(InvalidRequest):
    """The request has more of something than is allowed; ``errors`` says where. Send less."""

    code, title, status = "limit-exceeded", "A limit was exceeded", 422


class IdempotencyMismatch(InvalidRequest):
    """This run id or idempotency key already belongs to another body. Use a fresh key for a new request."""

    code, title, status = "idempotency-mismatch", "The key was used with another body", 422


class UploadTimeout(InvalidRequest):
    """The upload did not arrive in time. Send it again over a better connection, or send less."""

    code, title, status, retryable = "upload-timeout", "The upload took too long", 408, True


class AudioEmpty(InvalidRequest):
    """The file holds no sound. Check the recording."""

    code, title, status = "audio-empty", "The audio is empty", 422


class AudioTooLong(InvalidRequest):
    """The audio is longer than the server takes. Send it in pieces of at most ``maxSeconds``."""

    code, title, status = "audio-too-long", "The audio is too long", 422


class UrlNotAllowed(InvalidRequest):
    """The server does not fetch this URL. Send the content itself."""

    code, title, status = "url-not-allowed", "The URL is not allowed", 422


class Unauthenticated(AgentBackendError):
    """No valid credential came with the request. Send ``Authorization: Bearer <token>``."""

    code, title, status = "unauthenticated", "Authentication is required", 401
    challenge: ClassVar[str] = 'Bearer realm="agentroute"'
    """The ``WWW-Authenticate`` header (RFC 6750, section 3)."""


class InvalidToken(Unauthenticated):
    """A credential came, and a check on it failed. Get a new one; ``detail`` says which check."""

    challenge = 'Bearer realm="agentroute", error="invalid_token"'


class Forbidden(AgentBackendError):
    """The credential is valid but does not allow this. Use one that does."""

    code, title, status = "forbidden", "Not allowed", 403


class NotFound(AgentBackendError):
    """There is nothing here for this user: absent and foreign things look the same. Check the ids."""

    code, title, status = "not-found", "Not found", 404


class MethodNotAllowed(AgentBackendError):
    """The path exists, the method does not. ``Allow`` lists the methods."""

    code, title, status = "method-not-allowed", "Method not allowed", 405


class Conflict(AgentBackendError):
    """The thread or run is in a state that excludes the request. Read its state, then decide."""

    code, title, status = "conflict", "Conflict", 409


class RunActive(Conflict):
    """Another run is live on the thread. Follow it, cancel it, wait, or set ``forwardedProps.onBusy``."""

    code, title, retryable = "run-active", "The thread has a live run", True
    default_retry_after_seconds = 2


class RunAlreadyFinished(Conflict):
    """The run has ended, so it cannot be cancelled. Read ``/history``."""

    code, title = "run-finished", "The run has already finished"


class InterruptOpen(Conflict):
    """The thread waits for an answer. Answer with ``resume``, or set ``forwardedProps.onInterrupt``."""

    code, title = "interrupt-open", "The thread waits for an answer"


class InterruptUncovered(Conflict):
    """``resume`` must answer every open interrupt. Add the missing ones."""

    code, title = "interrupt-uncovered", "An open interrupt was not answered"


class InterruptResolved(Conflict):
    """Someone answered this interrupt first. Read ``/history`` to see the outcome."""

    code, title = "interrupt-resolved", "The interrupt was already answered"


class InterruptExpired(Conflict):
    """The interrupt can no longer be answered. Send a new message."""

    code, title = "interrupt-expired", "The interrupt has expired"


class CursorExpired(AgentBackendError):
    """Retention removed the events after this cursor. Read ``historyUrl`` and follow from its cursor."""

    code, title, status = "events-expired", "The events after this cursor are no longer kept", 410


class RateLimited(AgentBackendError):
    """Too many requests came from this user. Wait as long as ``Retry-After`` says."""

    code, title, status, retryable = "rate-limited", "Too many requests", 429, True
    default_retry_after_seconds = 1


class QueueFull(AgentBackendError):
    """Too many runs already wait on this thread. Wait as long as ``Retry-After`` says."""

    code, title, status, retryable = "queue-full", "The thread's queue is full", 429, True
    default_retry_after_seconds = 5


class BudgetExhausted(AgentBackendError):
    """A budget of the user or of the run is used up; ``detail`` says which. Wait for the next day, or ask for more."""

    code, title, status = "budget-exhausted", "The budget is used up", 429
    default_retry_after_seconds = 3600


# --- 5xx: ours, or something behind us -------------------------------------------


class Overloaded(AgentBackendError):
    """The service has more work than it can take. Wait as long as ``Retry-After`` says."""

    code, title, status, retryable = "overloaded", "The service is overloaded", 503, True
    default_retry_after_seconds = 5


class StoreUnavailable(AgentBackendError):
    """The database did not answer. Repeat the same request, with its ids, after ``Retry-After``."""

    code, title, status, retryable = "store-unavailable", "The database is not reachable", 503, True
    default_retry_after_seconds = 2


class TranscriptionFailed(AgentBackendError):
    """The speech service gave no usable answer. Send the same request again later; ``detail`` says more."""

    code, title, status, retryable = "transcription-failed", "The transcription failed", 502, True


class TranscriptionRejected(TranscriptionFailed):
    """The speech service found the request itself wrong: the same one fails again."""

    retryable = False


class TranscriptionTimeout(AgentBackendError):
    """The speech service did not answer in time. Send the same request again, or a shorter piece."""

    code, title, status, retryable = "transcription-timeout", "The transcription took too long", 504, True


class RunFailure(AgentBackendError):
    """The run failed. Its code and detail become the ``RUN_ERROR`` event."""


class ModelUnavailable(RunFailure):
    """The model could not be reached, also after retries. Run again later."""

    code, title, status, retryable = "model-unavailable", "The model is not reachable", 502, True


class ModelTimeout(RunFailure):
    """The model did not answer in time. Run again, or ask for less at once."""

    code, title, status, retryable = "model-timeout", "The model took too long", 504, True


class ModelStreamError(RunFailure):
    """The model's answer broke off after it had begun. What was shown is kept; run again."""

    code, title, status, retryable = "model-stream-error", "The model's answer broke off", 502, True


class MaxIterations(RunFailure):
    """The agent used all the steps it may take. Ask for a smaller piece of work."""

    code, title = "max-iterations", "The agent reached its step limit"


class WorkerLost(RunFailure):
    """The executing process died after it had shown output, so nothing was repeated. Run again."""

    code, title, retryable = "worker-lost", "The process executing the run was lost", True


class WorkerShutdown(RunFailure):
    """The executing process was stopped, for example by a deploy. Run again."""

    code, title, retryable = "worker-shutdown", "The process executing the run was stopped", True


class RunTimeout(RunFailure):
    """The run exceeded the time a run may take. Ask for a smaller piece of work."""

    code, title, retryable = "run-timeout", "The run took too long", True


class QueueTimeout(RunFailure):
    """No worker was free in time. Run again later."""

    code, title, retryable = "queue-timeout", "No worker took the run in time", True


class ConfigurationError(Exception):
    """A process cannot start with these settings. The text is one line for the operator: what and how to mend it."""


class LeaseLost(Exception):
    """This worker no longer owns the run. Internal: it stops and writes nothing more."""
