"""Every error this service raises on purpose. Each class defines its own code, title and status.

Before the first byte of a response, an error is sent as a problem document (``core/problem.py``).
After the first byte, the error is sent as a ``RUN_ERROR`` event with the same ``code``.
``GET /problems/{code}`` returns the docstring of the class: what happened, then what to do.
``docs/problems.md`` has a heading for each code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar


class AgentBackendError(Exception):
    """An unexpected error occurred. Report the ``requestId``. A retry may succeed."""

    # ``detail`` is written for the caller: what was wrong and what to do. ``detail`` never contains exception text,
    # SQL, hosts, keys or prompts.

    code: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "Internal error"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False
    default_retry_after_seconds: ClassVar[float | None] = None
    """``Retry-After`` when the code that raises the error gives no value."""

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
        """Extension members of the problem document. Names are camelCase."""


# --- 4xx: the caller can correct the request -------------------------------------


class InvalidRequest(AgentBackendError):
    """The request is well formed but not valid. ``errors`` lists each invalid place. Correct them and retry."""

    code, title, status = "invalid-request", "Invalid request", 422


class MalformedJson(InvalidRequest):
    """The body is not strict JSON (RFC 8259, no repeated members, no NaN). Correct the JSON and send it again."""

    code, title, status = "malformed-json", "The body is not valid JSON", 400


class CursorInvalid(InvalidRequest):
    """The cursor is not ``<ordinal>-<sequence>``. Send a cursor that an event or ``/history`` gave you.

    The first ids of a connect stream (``3-17.2``) count only with ``connect=true``.
    """

    code, title, status = "bad-cursor", "The cursor is not valid", 400


class CursorAhead(InvalidRequest):
    """The cursor names an event that does not exist yet. Read ``/history`` and continue from its cursor."""

    code, title, status = "cursor-ahead", "The cursor is ahead of the thread's events", 400


class BodyTooLarge(InvalidRequest):
    """The body exceeds the size limit. Send less: only the new messages of a conversation are needed."""

    code, title, status = "body-too-large", "The body is too large", 413


class MalformedHttp(InvalidRequest):
    """The bytes are not a request in HTTP/1.1. Use an HTTP client; check what a proxy in between changes."""

    code, title, status = "malformed-http", "The request is not valid HTTP", 400


class RequestTimeout(InvalidRequest):
    """The head of the request did not arrive in time, and the connection was closed. Open a new one and retry."""

    code, title, status, retryable = "request-timeout", "The request took too long", 408, True


class TargetTooLong(InvalidRequest):
    """The path and the query of the request are too long. Send long values in the body."""

    code, title, status = "target-too-long", "The request target is too long", 414


class HeadersTooLarge(InvalidRequest):
    """The request has too many headers, or too large ones. Send fewer cookies, or a shorter token."""

    code, title, status = "headers-too-large", "The request headers are too large", 431


class UnsupportedMediaType(InvalidRequest):
    """The ``Content-Type`` is not supported. Send ``application/json``; send ``/transcribe`` an audio form."""

    code, title, status = "unsupported-media-type", "Unsupported media type", 415


class EncodedBody(UnsupportedMediaType):
    """The body has a ``Content-Encoding``. Send it as it is."""


class InvalidText(InvalidRequest):
    """A string contains U+0000 or an unpaired surrogate. Neither can be stored. Remove the character."""

    code, title, status = "invalid-text", "The text contains characters that are not allowed", 422


class LimitExceeded(InvalidRequest):
    """A part of the request exceeds a limit. ``errors`` says which part. Send less."""

    code, title, status = "limit-exceeded", "A limit was exceeded", 422


class AttachmentUnsupported(InvalidRequest):
    """An attachment has a type that no model can be given, or no content. ``errors`` says which. Convert or remove it."""

    code, title, status = "attachment-unsupported", "The attachment is not supported", 422


class FileEmpty(InvalidRequest):
    """The uploaded file has no bytes. Check what the client sends."""

    code, title, status = "file-empty", "The file is empty", 422


class FileUnknown(InvalidRequest):
    """A message names a file that the user does not have: never uploaded, deleted, or expired. Upload it again."""

    code, title, status = "file-unknown", "The file does not exist", 422


class FileQuotaExceeded(InvalidRequest):
    """The user's files take all the room that a user has. Delete files or threads, then send the request again."""

    code, title, status = "file-quota-exceeded", "There is no room for the file", 413


class RangeNotSatisfiable(InvalidRequest):
    """The requested range begins after the end of the file. ``bytes`` is the size of the file."""

    code, title, status = "range-not-satisfiable", "The range is not in the file", 416


class IdempotencyMismatch(InvalidRequest):
    """This run id or idempotency key was already used with a different body. Use a new one for a new request."""

    code, title, status = "idempotency-mismatch", "The key was used with a different body", 422


class UploadTimeout(InvalidRequest):
    """The body did not arrive in time. Retry over a faster connection, or send less."""

    code, title, status, retryable = "upload-timeout", "The upload took too long", 408, True


class AudioEmpty(InvalidRequest):
    """The file contains no audio. Check the recording."""

    code, title, status = "audio-empty", "The audio is empty", 422


class AudioTooLong(InvalidRequest):
    """The audio exceeds the duration limit. Send pieces of at most ``maxSeconds`` seconds."""

    code, title, status = "audio-too-long", "The audio is too long", 422


class UrlNotAllowed(InvalidRequest):
    """The server does not fetch this URL. Send the content in the request.

    A run that names a webhook (``Webhook-Url``) may name hosts of ``AGENT_WEBHOOKS__RUN_HOSTS`` only, over https.
    """

    code, title, status = "url-not-allowed", "The URL is not allowed", 422


class Unauthenticated(AgentBackendError):
    """The request has no valid credential. Send ``Authorization: Bearer <token>``."""

    code, title, status = "unauthenticated", "Authentication is required", 401
    challenge: ClassVar[str] = 'Bearer realm="agentroute"'
    """The ``WWW-Authenticate`` header (RFC 6750, section 3)."""


class InvalidToken(Unauthenticated):
    """The credential is not valid. ``detail`` says which check failed. Get a new credential."""

    challenge = 'Bearer realm="agentroute", error="invalid_token"'


class Forbidden(AgentBackendError):
    """The credential is valid but does not permit this request. Use a credential that does."""

    code, title, status = "forbidden", "Not allowed", 403


class NotFound(AgentBackendError):
    """The resource does not exist, or belongs to another user: both get this answer. Check the ids."""

    code, title, status = "not-found", "Not found", 404


class MethodNotAllowed(AgentBackendError):
    """The path does not support this method. The ``Allow`` header lists the supported methods."""

    code, title, status = "method-not-allowed", "Method not allowed", 405


class Conflict(AgentBackendError):
    """The current state of the thread or run does not permit the request. Read the state, then decide."""

    code, title, status = "conflict", "Conflict", 409


class RunActive(Conflict):
    """Another run of the thread is live. Follow that run, cancel it, wait, or set ``forwardedProps.onBusy``."""

    code, title, retryable = "run-active", "The thread has a live run", True
    default_retry_after_seconds = 2


class RunAlreadyFinished(Conflict):
    """The run has ended and cannot be cancelled. Read ``/history`` for the outcome."""

    code, title = "run-finished", "The run has already finished"


class InterruptOpen(Conflict):
    """The thread has an open interrupt. Answer it with ``resume``, or set ``forwardedProps.onInterrupt``."""

    code, title = "interrupt-open", "The thread has an open interrupt"


class InterruptUncovered(Conflict):
    """``resume`` must answer every open interrupt. Add the missing answers."""

    code, title = "interrupt-uncovered", "An open interrupt was not answered"


class InterruptResolved(Conflict):
    """The interrupt was answered by an earlier request. Read ``/history`` for the outcome."""

    code, title = "interrupt-resolved", "The interrupt was already answered"


class InterruptExpired(Conflict):
    """The interrupt can no longer be answered. Send a new message."""

    code, title = "interrupt-expired", "The interrupt has expired"


class CursorExpired(AgentBackendError):
    """Retention deleted the events after this cursor. Read ``historyUrl`` and continue from its cursor."""

    code, title, status = "events-expired", "The events after this cursor were deleted", 410


class RateLimited(AgentBackendError):
    """The user or the tenant has too many requests, runs, uploads or streams. Retry after the time in ``Retry-After``."""

    code, title, status, retryable = "rate-limited", "Too many requests", 429, True
    default_retry_after_seconds = 1


class QueueFull(AgentBackendError):
    """Too many runs of this thread, or of this tenant, are waiting. Retry after the time in ``Retry-After``."""

    code, title, status, retryable = "queue-full", "The queue is full", 429, True
    default_retry_after_seconds = 5


class BudgetExhausted(AgentBackendError):
    """A budget of the user or of the run is exhausted. ``detail`` says which. Wait for the next day or ask for more."""

    code, title, status = "budget-exhausted", "The budget is exhausted", 429
    default_retry_after_seconds = 3600


# --- 5xx: a fault of this service or of a service it depends on -------------------


class Overloaded(AgentBackendError):
    """The service is at capacity. Retry after the time in ``Retry-After``."""

    code, title, status, retryable = "overloaded", "The service is overloaded", 503, True
    default_retry_after_seconds = 5


class StoreUnavailable(AgentBackendError):
    """The database did not answer. Retry the same request with the same ids after the time in ``Retry-After``."""

    code, title, status, retryable = "store-unavailable", "The database is not reachable", 503, True
    default_retry_after_seconds = 2


class FilesUnavailable(AgentBackendError):
    """The store of files did not answer, or has no room. Retry after the time in ``Retry-After``."""

    code, title, status, retryable = "files-unavailable", "The file store is not available", 503, True
    default_retry_after_seconds = 5


class FilesOff(AgentBackendError):
    """This service stores no files. Send the content inline; the operator can set ``AGENT_FILES__URL``."""

    code, title, status = "files-off", "Files are off", 501


class SchemaIncompatible(AgentBackendError):
    """A newer version migrated the database, and this version cannot use its schema. Start the newer version."""

    code, title, status, retryable = "schema-incompatible", "The database is too new", 503, True
    default_retry_after_seconds = 30


class TranscriptionFailed(AgentBackendError):
    """The speech service returned no usable answer. ``detail`` says why. Retry the same request later."""

    code, title, status, retryable = "transcription-failed", "The transcription failed", 502, True


class TranscriptionRejected(TranscriptionFailed):
    """The speech service rejected the request. The same request would fail again."""

    retryable = False


class TranscriptionTimeout(AgentBackendError):
    """The speech service did not answer in time. Retry the same request, or send a shorter recording."""

    code, title, status, retryable = "transcription-timeout", "The transcription took too long", 504, True


class RunFailure(AgentBackendError):
    """The run failed. The code and the detail of the error become the ``RUN_ERROR`` event."""


class ModelUnavailable(RunFailure):
    """The model could not be reached, even after retries. Start a new run later."""

    code, title, status, retryable = "model-unavailable", "The model is not reachable", 502, True


class ModelTimeout(RunFailure):
    """The model did not answer in time. Start a new run, or ask for less at once."""

    code, title, status, retryable = "model-timeout", "The model took too long", 504, True


class ModelStreamError(RunFailure):
    """The model's answer stopped before its end. The part already streamed is kept. Start a new run."""

    code, title, status, retryable = "model-stream-error", "The model's answer was cut off", 502, True


class ContextTooLong(RunFailure):
    """The conversation is longer than the model takes, and a summary of its older part did not help.

    Send a shorter message, or start a new thread. The thread itself goes on.
    """

    code, title, status = "context-too-long", "The conversation is too long for the model", 413


class ModelEmpty(RunFailure):
    """The model ended without an answer, and did so again when it was asked for one. Try again, or ask differently."""

    code, title, status, retryable = "model-empty", "The model gave no answer", 502, True


class ContentFiltered(RunFailure):
    """A content filter refused the request or stopped the answer. What was streamed is kept. Ask differently."""

    code, title, status = "content-filtered", "A content filter refused the request or the answer", 422


class AgentFailed(RunFailure):
    """The code of the agent failed: its factory or runner, a middleware of it, or a model of its own.

    The operator finds the reason in the log of the worker, and checks the agent with ``agentroute check``.
    """

    code, title = "agent-failed", "The code of the agent failed"


class MaxIterations(RunFailure):
    """The agent used all its allowed steps. Its last message, if any, sums up the work. Ask for a smaller task."""

    code, title = "max-iterations", "The agent reached its step limit"


class OutputTooLarge(RunFailure):
    """The run produced more than may be stored. What it said before is kept. Send the next message; ask for less."""

    code, title = "output-too-large", "The run produced too much"


class OutputNotStorable(RunFailure):
    """The database refuses a value the run produced. What it said before is kept. Send the next message."""

    code, title = "output-not-storable", "The run produced a value that cannot be stored"


class WorkerLost(RunFailure):
    """The worker process died after the run had streamed output, so the run was not repeated. Start a new run."""

    code, title, retryable = "worker-lost", "The process executing the run was lost", True


class WorkerShutdown(RunFailure):
    """The worker process was stopped, for example by a deployment. Start a new run."""

    code, title, retryable = "worker-shutdown", "The process executing the run was stopped", True


class RunTimeout(RunFailure):
    """The run exceeded its time limit. Ask for a smaller task."""

    code, title, retryable = "run-timeout", "The run took too long", True


class QueueTimeout(RunFailure):
    """No worker was free in time. Start a new run later."""

    code, title, retryable = "queue-timeout", "No worker took the run in time", True


class ConfigurationError(Exception):
    """A process cannot start with these settings. The message is one line: what is wrong and how to fix it."""


class LeaseLost(Exception):
    """This worker no longer owns the run. Internal: the worker stops and writes nothing more."""
