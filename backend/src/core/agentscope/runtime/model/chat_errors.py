"""Judges a failed model call: the error of the run, whether another try may help, and what is logged.

Details are for the user. The provider's own words go to the log only, shortened and without keys: they may name hosts,
accounts and parts of the prompt.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import orjson
import structlog

from core.agentscope.runtime.model.chat_retry import (
    MAX_RETRY_AFTER_SECONDS,
    is_transient,
    retry_after_seconds,
    spoken_time,
)
from core.agentscope.runtime.model.chat_stream import ProviderFailure, StreamMalformed
from core.agentscope.runtime.model.provider_words import (
    error_text,
    names_content_filter,
    names_exhausted_quota,
)
from core.agentscope.runtime.model.refusals import Refusal, read_refusal
from core.errors import ContentFiltered, ModelStreamError, ModelTimeout, ModelUnavailable, RunFailure
from core.litellm_status import meant_status
from core.metrics.catalogue import MODEL_ERRORS

log = structlog.get_logger(__name__)

_BY_STATUS = {
    401: "The model refused the service's key. The operator should check AGENT_MODEL__API_KEY.",
    402: "The model provider asks for payment. The operator should check the account.",
    403: "The model refused the service's key or account. The operator should check AGENT_MODEL__API_KEY.",
    404: "The model was not found. The operator should check AGENT_MODEL__BASE_URL and the model's name.",
    413: "The conversation is too large for the model. Start a new one, or shorten the message.",
    429: "The model is busy or its quota is exhausted. Try again later.",
}
_REFUSED = (
    "The model did not accept the request. The conversation may be too long for it; if a new one fails too, "
    "the operator should check the model's name and parameters."
)
_UNAVAILABLE = "The model is not available right now. Try again later."
_BROKEN = "The model's answer was cut off. Try again."
_FILTERED = "The content filter of the model's provider refused this request. Change the message, or start a new thread."
_FILTERED_ANSWER = "The content filter of the model's provider stopped the answer. Ask in another way."
_NO_QUOTA = "The model provider's quota or credit is used up. The operator should check the account."


_REFUSAL_WORDS = re.compile(r"\bcontext_length_exceeded\b|\bunsupported_(?:parameter|value)\b")
"""What OpenAI puts where others repeat the HTTP status."""
# The wrong key, an unknown address, too many requests: their texts may name policies too.
_NEVER_A_FILTER = frozenset({401, 402, 404, 429})
_QUOTA = frozenset({402, 403, 429})


class ModelRejected(ModelUnavailable):
    """The provider found the request itself wrong: the same request fails again."""

    retryable = False


class CallFailed(Exception):
    """One try failed. Internal: it becomes ``error``, or another try."""

    def __init__(
        self,
        error: RunFailure,
        *,
        transient: bool,
        retry_after: float | None = None,
        reason: str = "",
        refusal: Refusal | None = None,
    ) -> None:
        super().__init__(error.detail)
        self.error = error
        self.transient = transient
        self.retry_after = retry_after
        self.reason = reason
        """The provider's words, for the log."""
        self.refusal = refusal
        """What the provider said instead of an answer; ``chat_adapting`` may learn from it."""
        self.answered = False
        """Whether a delta had come. Then the fallback must not answer."""
        self.status: int | None = None
        """Of the answer that refused the call, if there was one."""
        self.silent = False
        """Whether the endpoint said nothing at all until the first-token timeout was over."""


def from_status(
    status: int, headers: Mapping[str, str], reason: str = "", body: bytes | str = b""
) -> CallFailed:
    """Judge an HTTP status that is not a success, or the same status reported inside an answer.

    ``body`` is the whole document that ``reason`` is taken from, if there is one.
    """
    failed = _judged_status(status, headers, reason, body)
    failed.status = status
    return failed


def _judged_status(status: int, headers: Mapping[str, str], reason: str, body: bytes | str) -> CallFailed:
    told = f"HTTP {status}: {reason}"
    if status < 500 and status not in _NEVER_A_FILTER and names_content_filter(reason):
        return CallFailed(ContentFiltered(_FILTERED), transient=False, reason=told)
    if status in _QUOTA and names_exhausted_quota(reason):
        return CallFailed(ModelUnavailable(_NO_QUOTA), transient=False, reason=told)
    meant = meant_status(status, reason)
    rejected = meant in {400, 413, 422}
    error = (ModelRejected if rejected else ModelUnavailable)(
        _BY_STATUS.get(meant, _REFUSED if rejected else _UNAVAILABLE)
    )
    asked = retry_after_seconds(headers)
    if asked is not None and asked > MAX_RETRY_AFTER_SECONDS and not rejected:
        # Waiting for so long helps nobody: the user is told at once, or the fallback answers.
        error = ModelUnavailable(
            f"The model is busy, and asks to wait {spoken_time(asked)}. Try again after that.",
            retry_after_seconds=asked,
        )
        return CallFailed(error, transient=False, retry_after=asked, reason=told)
    return CallFailed(
        error,
        transient=is_transient(status, headers),
        retry_after=asked,
        reason=told,
        refusal=read_refusal(status, body or reason),
    )


def from_answer(failure: ProviderFailure | StreamMalformed, *, answering: bool) -> CallFailed:
    """Judge an answer that reports an error or cannot be parsed."""
    if isinstance(failure, ProviderFailure):
        status = refused_as(failure) or failure.status
        if status is not None and not answering:
            # A proxy that has sent its headers can report an error only inside the answer.
            return from_status(status, {}, failure.message)
        if names_content_filter(failure.message):
            return CallFailed(
                ContentFiltered(_FILTERED_ANSWER if answering else _FILTERED),
                transient=False,
                reason=str(failure),
            )
    return CallFailed(ModelStreamError(_BROKEN), transient=True, reason=str(failure))


def refused_as(failure: ProviderFailure) -> int | None:
    """Return the status of a refusal that is reported inside an answer; ``None`` when it is another failure."""
    if failure.status is not None:
        return failure.status if 400 <= failure.status < 500 else None
    return 400 if _REFUSAL_WORDS.search(failure.message) else None


def from_finish(word: str, *, filtered: bool) -> CallFailed:
    """Judge a finish reason that says that the answer is not complete."""
    reason = f"finish reason {word}"
    if filtered:
        return CallFailed(ContentFiltered(_FILTERED_ANSWER), transient=False, reason=reason)
    return CallFailed(ModelStreamError(_BROKEN), transient=True, reason=reason)


def from_web_page() -> CallFailed:
    """Judge an answer in HTML: a page of the provider's site."""
    detail = "The model's address answers with a web page. The operator should check AGENT_MODEL__BASE_URL."
    return CallFailed(ModelUnavailable(detail), transient=False)


def from_cut() -> CallFailed:
    """Judge an answer that ended without an end marker."""
    return CallFailed(ModelStreamError(_BROKEN), transient=True)


def from_transport(exc: httpx.HTTPError) -> CallFailed:
    """Judge a failure below HTTP, before the answer's head."""
    if isinstance(exc, httpx.PoolTimeout):
        detail = "Too many model calls at once. The operator may raise AGENT_MODEL__MAX_CONNECTIONS."
    elif isinstance(exc, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError):
        detail = (
            "The model cannot be reached. The operator should check AGENT_MODEL__BASE_URL and the network."
        )
    else:
        detail = _UNAVAILABLE
    return CallFailed(ModelUnavailable(detail), transient=not isinstance(exc, httpx.UnsupportedProtocol))


def from_silence(*, answering: bool) -> CallFailed:
    """Judge a deadline that passed, before the first delta or between two."""
    detail = (
        "The model stopped in the middle of its answer."
        if answering
        else "The model did not begin to answer."
    )
    failed = CallFailed(ModelTimeout(f"{detail} Try again."), transient=True)
    failed.silent = not answering
    return failed


def log_failure(failed: CallFailed, safe: Callable[[str], str], **ids: str) -> None:
    """Count a failure, and log it in the provider's words; ``safe`` shortens them and takes the key out, as ``ChatEndpoint.safe``."""
    MODEL_ERRORS.add(failed.error.code)
    reason = safe(failed.reason or repr(failed.__cause__))
    log.warning("model_call_failed", code=failed.error.code, transient=failed.transient, reason=reason, **ids)


def refusal_text(body: bytes) -> str:
    """Return what a refused request's body says: message, code and type. For judging and for the log."""
    try:
        document: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode("utf-8", "replace")
    return error_text(document)
