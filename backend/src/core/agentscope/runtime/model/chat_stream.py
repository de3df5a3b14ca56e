"""Parses the body of an OpenAI chat completion: bytes in, deltas out; tokens, cost and finish reason at the end.

Pure: no I/O, no clock, no AgentScope. ``chat_frames`` splits the body into JSON documents, ``chat_order`` orders the
deltas. This file interprets the documents, including the deviations of compatible servers. The same bytes give the same
text, however the reads divide them; only the merging of deltas differs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any, Literal

import orjson

from core.agentscope.runtime.model.chat_frames import DocumentTooLarge, FrameSplitter
from core.agentscope.runtime.model.chat_opaque import OpaqueCollector
from core.agentscope.runtime.model.chat_order import BlockOrder, Delta, ToolCallOverrun, random_id
from core.agentscope.runtime.model.token_counts import TokenCounts

_DONE = b"[DONE]"
_OVERRUN = "a tool call went on after its end"
_SURROGATE = re.compile("[\ud800-\udfff]")


class StreamMalformed(ValueError):
    """The answer is not a chat completion."""


class ProviderFailure(Exception):
    """The provider reported an error inside its answer.

    ``message`` is the provider's own text: for the log, never for a user.
    """

    def __init__(self, error: Any) -> None:
        fields: dict[str, Any] = error if isinstance(error, dict) else {"message": error}
        self.message = str(fields.get("message") or "")
        self.kind = str(fields.get("type") or "")
        super().__init__(self.message)
        code = str(fields.get("code") or fields.get("status") or "")
        # OpenRouter and LiteLLM repeat the HTTP status here; OpenAI puts a word.
        self.status = int(code) if code.isdecimal() and len(code) == 3 else None
        self.code = code


class ChatStreamParser:
    """Turns reads of one answer into deltas. Feed it until it is ``done`` or the body ends, then close it."""

    def __init__(self, taken_ids: Iterable[str] = (), new_id: Callable[[], str] = random_id) -> None:
        """Start an answer.

        Args:
            taken_ids: Tool call ids of the conversation so far; the answer's are different.
            new_id: Makes replacement ids for tool calls.
        """
        self.model: str | None = None
        self.response_id: str | None = None
        self.finish_reason: str | None = None
        self.tokens: TokenCounts | None = None
        """What the provider counted; the last report counts."""
        self.done = False
        """The provider said that nothing follows."""
        self.failure: StreamMalformed | ProviderFailure | None = None
        """Why parsing stopped. Earlier deltas were returned, later bytes are ignored."""
        self.documents = 0
        """Documents seen. A stream that only sends comments has none."""
        self.output_bytes = 0
        """UTF-8 bytes of everything the model wrote."""
        self.opaque = OpaqueCollector()
        """The opaque values that the provider wants back."""
        self._frames = FrameSplitter()
        self._order = BlockOrder(taken_ids, new_id)

    @property
    def finished(self) -> bool:
        """Whether the model's answer is complete: it gave a finish reason or the end marker."""
        return self.done or self.finish_reason is not None

    @property
    def is_json(self) -> bool:
        """Whether the endpoint answered with one document instead of a stream."""
        return bool(self._frames.is_json)

    def feed(self, data: bytes) -> list[Delta]:
        """Add a read and return its deltas, adjacent deltas of one block merged. Check ``failure`` afterwards."""
        if self.done or self.failure:
            return []
        try:
            for document in self._frames.feed(data):
                self._document(document)
                if self.done:
                    break
        except (StreamMalformed, ProviderFailure) as exc:
            self._stop(exc)
        except DocumentTooLarge:
            self._stop(StreamMalformed("a document has no end"))
        return self._order.take()

    def close(self) -> list[Delta]:
        """Return the deltas that waited for the end of the body. Check ``failure`` and ``finished`` afterwards."""
        if not self.done and not self.failure:
            try:
                for document in self._frames.close():
                    self._document(document)
            except (StreamMalformed, ProviderFailure) as exc:
                self._stop(exc)
        if not self.failure:
            try:
                self._order.finish()
            except ToolCallOverrun:
                self.failure = StreamMalformed(_OVERRUN)
        return self._order.take()

    def _stop(self, failure: StreamMalformed | ProviderFailure) -> None:
        # After the finish reason the answer is complete. A failure then loses the token counts, not the answer.
        if self.finished:
            self.done = True
        else:
            self.failure = failure

    def _document(self, document: bytes) -> None:
        if not document:
            return
        if document == _DONE:
            self.done = True
            return
        self.documents += 1
        try:
            self._chunk(_loads(document))
        except (AttributeError, TypeError, KeyError, IndexError) as exc:
            raise StreamMalformed("a member has the wrong type") from exc
        except ToolCallOverrun as exc:
            raise StreamMalformed(_OVERRUN) from exc

    def _chunk(self, chunk: dict[str, Any]) -> None:
        if error := chunk.get("error"):
            raise ProviderFailure(error)
        self.model = self.model or _word(chunk.get("model"))
        self.response_id = self.response_id or _word(chunk.get("id"))
        if usage := chunk.get("usage"):
            self.tokens = TokenCounts.parse(usage) or self.tokens
        # In a usage chunk this is empty or holds an empty delta; in a keep-alive it is absent.
        if choices := chunk.get("choices"):
            choice: dict[str, Any] = choices[0]
            if written := choice.get("message" if self.is_json else "delta"):
                self._written(written)
            self.finish_reason = _word(choice.get("finish_reason")) or self.finish_reason
            self.done = self.is_json

    def _written(self, written: dict[str, Any]) -> None:
        self.opaque.message(written)
        # Some servers send the same reasoning under both names.
        if reasoning := written.get("reasoning_content") or written.get("reasoning"):
            self._text("thinking", reasoning)
        if text := written.get("content") or written.get("refusal"):
            self._text("text", text)
        for call in written.get("tool_calls") or ():
            self._tool_call(call)

    def _text(self, kind: Literal["text", "thinking"], value: Any) -> None:
        text = _plain(value)
        if text:
            self.output_bytes += _size(text)
            self._order.text(kind, text)

    def _tool_call(self, call: dict[str, Any]) -> None:
        function: dict[str, Any] = call.get("function") or {}
        index, wire_id = call.get("index"), call.get("id")
        name, arguments = function.get("name") or "", function.get("arguments") or ""
        if not isinstance(arguments, str):
            # Ollama and others send the object itself instead of its JSON text.
            arguments = orjson.dumps(arguments).decode()
        if not isinstance(name, str):
            raise TypeError
        self.output_bytes += _size(arguments) + len(name)
        written = self._order.tool_call(
            index if isinstance(index, int) else None,
            wire_id if isinstance(wire_id, str) else None,
            name,
            arguments,
        )
        self.opaque.call(written, call)


def _loads(document: bytes) -> dict[str, Any]:
    try:
        value: Any = orjson.loads(document)
    except orjson.JSONDecodeError:
        value = _loads_leniently(document)
    if not isinstance(value, dict):
        raise StreamMalformed("a chunk is not a JSON object")
    return value


def _loads_leniently(document: bytes) -> Any:
    """Parse what Python servers write and orjson refuses: lone surrogates, NaN, and bytes that are not UTF-8."""
    try:
        return _clean(json.loads(document.decode("utf-8", "replace")))
    except (ValueError, RecursionError) as exc:
        raise StreamMalformed("a chunk is not JSON") from exc


def _clean(value: Any) -> Any:
    # Not core.text.clean_json: it also removes NUL, and orjson's result, above, would keep it.
    match value:
        case str():
            return _SURROGATE.sub("\ufffd", value)
        case dict():
            return {key: _clean(item) for key, item in value.items()}
        case list():
            return [_clean(item) for item in value]
        case _:
            return value


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _plain(value: Any) -> str:
    """Return a text, or the joined texts of a list of content parts; empty for anything else."""
    if isinstance(value, str):
        return value
    return "".join(part.get("text") or "" for part in value) if isinstance(value, list) else ""


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
