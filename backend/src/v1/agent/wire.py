"""Bodies that only the routes know."""

from __future__ import annotations

from pydantic import Field

from core.agentscope.schemas.agent_runtime import RunStatus
from core.agentscope.schemas.messages import Id, WireModel


class CancelCommand(WireModel):
    """Body of ``POST /runs/{runId}/cancel``."""

    thread_id: Id


class CancelAcceptedResponse(WireModel):
    """202: the run was asked to stop. Its stream ends with the outcome ``cancelled``."""

    thread_id: str
    run_id: str
    status: RunStatus
    """At the moment of asking; ``running`` until the worker has closed what is open."""


class TranscriptionResponse(WireModel):
    """What was said."""

    text: str
    language: str | None = None
    """As the speech service names it; the caller's word when it does not say."""
    duration_ms: int
    """Of the audio."""
    model: str
    latency_ms: int
    """Of the speech service."""
    cost: str | None = None
    """US dollars, as a decimal; absent when it is not known, which is not free."""


class ProblemError(WireModel):
    """One place of the request that does not fit."""

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
