"""How the scripted demo model's answer looks on the wire: OpenAI chat completions, whole or as chunks.

Pure. Token counts are estimates of four characters a token, the same for the
same request, so that a ledger can be checked against them.
"""

from __future__ import annotations

import base64
import hashlib
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from agentroute.demo.script import Call, Script

_WORD = re.compile(r"\s*\S{1,16}")
_ARGUMENT_PIECE_CHARACTERS = 16
# OpenAI caches prompts in blocks of this many tokens.
_CACHE_BLOCK_TOKENS = 128

DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer's envelope: the ids that all its chunks share."""

    model: str
    id: str = field(default_factory=lambda: f"chatcmpl-demo-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    def chunk(self, delta: Mapping[str, Any], finish_reason: str | None = None) -> bytes:
        """Return one delta as a server-sent event."""
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return sse(self._envelope("chat.completion.chunk", choices=[choice]))

    def usage_chunk(self, usage: Mapping[str, Any]) -> bytes:
        """Return the last chunk, sent when the caller asked for ``include_usage``."""
        return sse(self._envelope("chat.completion.chunk", choices=[], usage=usage))

    def whole(self, script: Script, usage: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to a request without ``stream``."""
        message: dict[str, Any] = {"role": "assistant", "content": script.text or None}
        if script.reasoning:
            message["reasoning_content"] = script.reasoning
            message["reasoning_details"] = [encrypted(script.reasoning)]
        if script.calls:
            message["tool_calls"] = [_tool_call(call) for call in script.calls]
        choice = {"index": 0, "message": message, "finish_reason": script.finish_reason}
        return self._envelope("chat.completion", choices=[choice], usage=usage)

    def _envelope(self, kind: str, **members: Any) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model, **members}


def sse(body: Mapping[str, Any]) -> bytes:
    """Frame a JSON object as a server-sent event."""
    return b"data: %s\n\n" % orjson.dumps(body)


def deltas(script: Script) -> Iterator[dict[str, Any]]:
    """Cut an answer into deltas: words of reasoning and its encrypted form, words of text, then each call's arguments in pieces."""
    for word in words(script.reasoning):
        yield {"reasoning_content": word}
    if script.reasoning:
        yield {"reasoning_details": [encrypted(script.reasoning)]}
    for word in words(script.text):
        yield {"content": word}
    for index, call in enumerate(script.calls):
        yield {"tool_calls": [{"index": index, **_tool_call(Call(call.name, ""))}]}
        for start in range(0, len(call.arguments), _ARGUMENT_PIECE_CHARACTERS):
            piece = call.arguments[start : start + _ARGUMENT_PIECE_CHARACTERS]
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def encrypted(reasoning: str) -> dict[str, Any]:
    """Return what a provider with encrypted reasoning would want back with the next request; here it is a digest."""
    data = base64.b64encode(hashlib.sha256(reasoning.encode()).digest()).decode()
    return {"type": "reasoning.encrypted", "data": data, "format": "agentroute-demo", "index": 0}


def words(text: str) -> list[str]:
    """Cut a text into word-sized pieces that join to it again; scripts without spaces are cut by length."""
    pieces = _WORD.findall(text)
    rest = text[sum(map(len, pieces)) :]
    return [*pieces, rest] if rest else pieces


def usage_of(body: Mapping[str, Any], script: Script) -> dict[str, Any]:
    """Estimate an answer's usage.

    ``cost`` is 0, not absent: the demo's price is known. The prompt without
    its last message counts as cached, in whole blocks, as a provider would
    have it after the turn before.
    """
    messages: Any = body["messages"]
    prompt = estimate_tokens(messages) + estimate_tokens(body.get("tools") or [])
    cached = estimate_tokens(messages[:-1]) // _CACHE_BLOCK_TOKENS * _CACHE_BLOCK_TOKENS
    reasoning = estimate_tokens(script.reasoning)
    calls = sum(estimate_tokens(call.name) + estimate_tokens(call.arguments) for call in script.calls)
    completion = reasoning + estimate_tokens(script.text) + calls
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
        "cost": 0,
    }


def estimate_tokens(value: Any) -> int:
    """Estimate the tokens of a text, or of anything else as JSON; 0 for nothing."""
    if not value:
        return 0
    length = len(value) if isinstance(value, str) else len(orjson.dumps(value))
    return max(1, length // 4)


def error_body(message: str, kind: str, code: str | None = None) -> dict[str, Any]:
    """Return an error the way OpenAI words it."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def _tool_call(call: Call) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": f"call_{uuid.uuid4().hex[:24]}", "type": "function", "function": function}
