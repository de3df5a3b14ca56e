"""Request and response bodies that only the routes use."""

from __future__ import annotations

from pydantic import Field, model_validator

from core.agentscope.schemas.agent_runtime import PROTOCOL_VERSION_PATTERN, RunStatus, without_nulls
from core.agentscope.schemas.messages import Id, WireModel


class ConnectCommand(WireModel):
    """Body of ``POST /events``: of AG-UI's ``RunAgentInput``, only these members count.

    In particular, the messages of the client are not read: the answer has those of the thread.
    """

    thread_id: Id
    run_id: Id | None = None
    """Name of the empty run that stands for a thread without any."""
    protocol_version: str | None = Field(default=None, pattern=PROTOCOL_VERSION_PATTERN)
    """If absent, the answer uses the vocabulary before 1.0."""

    _null_is_absent = model_validator(mode="before")(without_nulls)


class TicketCommand(WireModel):
    """Body of ``POST /events/ticket``."""

    thread_id: Id
    run_id: Id | None = None
    """Only this run; the whole thread when absent."""

    _null_is_absent = model_validator(mode="before")(without_nulls)


class TicketResponse(WireModel):
    """201: a ticket for one stream."""

    ticket: str
    events_url: str
    """The stream, with the ticket in it."""
    first_use_seconds: int
    """The stream must be opened within this time."""
    lasts_seconds: int
    """How long the ticket is good from then on, unless the credential that asked for it ends earlier."""


class CancelCommand(WireModel):
    """Body of ``POST /runs/{runId}/cancel``."""

    thread_id: Id


class CancelAcceptedResponse(WireModel):
    """202: the run was asked to stop. Its stream ends with the outcome ``cancelled``."""

    thread_id: str
    run_id: str
    status: RunStatus
    """The status at the time of the request; ``running`` until the worker has closed all open items."""


class TranscriptionResponse(WireModel):
    """The transcribed text."""

    text: str
    language: str | None = None
    """The language that the speech service reports; otherwise the language in the request."""
    duration_ms: int
    """Duration of the audio."""
    model: str
    latency_ms: int
    """Latency of the speech service."""
    cost: str | None = None
    """US dollars, as a decimal. Absent if unknown; unknown does not mean free."""


class ProblemError(WireModel):
    """One invalid place in the request."""

    pointer: str = Field(
        description="JSON pointer into the body, or /query/…, /path/… or /header/… for other parts of the request."
    )
    message: str


class Problem(WireModel):
    """RFC 9457 problem document. Some codes carry further members."""

    type: str = Field(description="URI reference that ends with the code. GET the URI for an explanation.")
    title: str
    status: int
    detail: str
    instance: str
    code: str
    retryable: bool
    request_id: str
    errors: list[ProblemError] | None = None
