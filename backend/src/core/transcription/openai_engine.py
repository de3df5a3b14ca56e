"""Speech to text by an OpenAI-compatible endpoint: ``POST {base_url}/audio/transcriptions``.

The original upload is streamed from disk. The endpoint's error message is logged; a caller gets our own message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import httpx
import orjson
import structlog

from core.errors import TranscriptionFailed, TranscriptionRejected, TranscriptionTimeout
from core.litellm_status import meant_status
from core.redaction import Redactor
from core.text import clean_text
from core.transcription.audio_file import AudioFile
from core.transcription.endpoint import Endpoint
from core.transcription.engine import Transcript

# Ten minutes of speech are about 10 KB of text; with segments and word times a hundred times that.
_MAX_ANSWER_BYTES = 4 << 20
_MAX_LOGGED_CHARACTERS = 300
_MAX_REASON = 4096
_MAX_NAME = 128
_COST_HEADER = "x-litellm-response-cost"

_BY_STATUS = {
    401: "The speech service refused its key. The operator should check AGENT_TRANSCRIPTION__API_KEY.",
    403: "The speech service refused its key. The operator should check AGENT_TRANSCRIPTION__API_KEY.",
    404: "The speech service has no such model or path. The operator should check AGENT_TRANSCRIPTION__BASE_URL and AGENT_TRANSCRIPTION__NAME.",
    429: "The speech service is busy or its quota is exhausted. Try again later.",
}
_REJECTED = "The speech service did not accept the audio. Another format or a shorter piece may work."
_UNAVAILABLE = "The speech service is not available right now. Try again later."
_UNREACHABLE = "The speech service cannot be reached. The operator should check its address and the network."
_NONSENSE = "The speech service's answer is not a transcription. The operator should check AGENT_TRANSCRIPTION__BASE_URL."
_SLOW = "The speech service did not answer in time. Try again, or send a shorter piece."

log = structlog.get_logger(__name__)


class OpenAiEngine:
    """One endpoint and its client; whoever builds the client closes it."""

    def __init__(self, client: httpx.AsyncClient, endpoint: Endpoint) -> None:
        self._client = client
        self._endpoint = endpoint
        self._redactor = Redactor([endpoint.api_key])

    @property
    def provider(self) -> str:
        return self._endpoint.url.host

    @property
    def model(self) -> str:
        return self._endpoint.model

    async def transcribe(self, audio: AudioFile, *, language: str | None, prompt: str | None) -> Transcript:
        audio.rewind()
        fields = {"model": self.model, "response_format": "json", "language": language, "prompt": prompt}
        # Our name and type: the caller's values may be wrong, and endpoints trust them.
        file = (f"audio.{audio.kind}", audio.stream, audio.kind.media_type)
        try:
            async with asyncio.timeout(self._endpoint.timeout_seconds):
                async with self._client.stream(
                    "POST",
                    self._endpoint.url,
                    data={name: value for name, value in fields.items() if value},
                    files={"file": file},
                ) as response:
                    return self._read(response, await _body(response))
        # `from None`: one line of the log says it, and an outage must not fill a disk with stacks.
        except (TimeoutError, httpx.ReadTimeout, httpx.WriteTimeout) as exc:
            self._note(type(exc).__name__, f"no answer in {self._endpoint.timeout_seconds:g} s")
            raise TranscriptionTimeout(_SLOW) from None
        except httpx.HTTPError as exc:
            self._note(type(exc).__name__, str(exc))
            connecting = isinstance(exc, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError)
            raise TranscriptionFailed(_UNREACHABLE if connecting else _UNAVAILABLE) from None

    def _read(self, response: httpx.Response, body: bytes) -> Transcript:
        if response.status_code != 200:
            reason = body.decode(errors="replace")
            self._note(f"HTTP {response.status_code}", reason)
            meant = meant_status(response.status_code, reason[:_MAX_REASON])
            if meant in {400, 413, 415, 422}:
                raise TranscriptionRejected(_REJECTED)
            raise TranscriptionFailed(_BY_STATUS.get(meant, _UNAVAILABLE))
        try:
            answer = orjson.loads(body)
        except orjson.JSONDecodeError:
            answer = None
        if not isinstance(answer, dict) or not isinstance(answer.get("text"), str):
            self._note("no transcription", body.decode(errors="replace"))
            raise TranscriptionFailed(_NONSENSE)
        return Transcript(
            text=clean_text(answer["text"]),
            language=_name(answer.get("language")),
            model=_name(answer.get("model")) or self.model,
            cost=_cost(answer, response.headers),
        )

    def _note(self, what: str, reason: str) -> None:
        # Truncated first, so that four megabytes are not searched for secrets.
        reason = self._redactor.text(reason[: 4 * _MAX_LOGGED_CHARACTERS])[:_MAX_LOGGED_CHARACTERS]
        log.warning("transcription_failed", what=what, reason=reason)


async def _body(response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > _MAX_ANSWER_BYTES:
            raise TranscriptionFailed(_NONSENSE)
    return bytes(body)


def _name(value: Any) -> str | None:
    return clean_text(value)[:_MAX_NAME] if isinstance(value, str) and value else None


def _cost(answer: dict[str, Any], headers: Mapping[str, str]) -> Decimal | None:
    """Return the cost that a proxy reports: in a header (LiteLLM), or among the usage."""
    usage = answer.get("usage")
    stated = headers.get(_COST_HEADER) or (usage.get("cost") if isinstance(usage, dict) else None)
    if stated is None or isinstance(stated, bool):
        return None
    try:
        cost = Decimal(str(stated))
    except InvalidOperation:
        return None
    # Less than the ledger's twelve digits before the point: a wrong value of a proxy must not fail an insert.
    return cost if cost.is_finite() and 0 <= cost < 10**9 else None
