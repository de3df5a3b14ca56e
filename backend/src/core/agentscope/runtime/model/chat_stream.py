"""Parses the body of an OpenAI chat completion: bytes in, deltas out; tokens, cost and finish reason at the end.

Pure: no I/O, no clock, no AgentScope. ``chat_frames`` splits the body into JSON documents, ``chat_order`` orders the
deltas, ``chat_parts`` reads content, ``chat_thoughts`` finds reasoning inside text, ``provider_words`` knows the
providers' words. This file interprets the documents, including the deviations of compatible servers. The same bytes give
the same text, however the reads divide them; only the merging of deltas differs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

import orjson

from core.agentscope.runtime.model.chat_frames import DONE, DocumentTooLarge, ErrorFrame, FrameSplitter
from core.agentscope.runtime.model.chat_opaque import OpaqueCollector
from core.agentscope.runtime.model.chat_order import BlockOrder, Delta, ToolCallOverrun, random_id
from core.agentscope.runtime.model.chat_parts import reasoning_of, text_of
from core.agentscope.runtime.model.chat_thoughts import ThoughtSplitter
from core.agentscope.runtime.model.lenient_json import NotJson, SurrogateHalves, loads, whole
from core.agentscope.runtime.model.provider_words import (
    Finish,
    error_in,
    error_text,
    finish_meaning,
    finish_word,
)
from core.agentscope.runtime.model.token_counts import TokenCounts

_OVERRUN = "a tool call went on after its end"
_OLD_CALL = -1
"""Index of the one call that ``function_call`` can hold."""


class StreamMalformed(ValueError):
    """The answer is not a chat completion."""


class ProviderFailure(Exception):
    """The provider reported an error inside its answer.

    ``message`` is the provider's own text: for the log, never for a user.
    """

    def __init__(self, error: Any) -> None:
        fields: dict[str, Any] = error if isinstance(error, dict) else {"message": error}
        self.message = error_text(fields)
        super().__init__(self.message)
        code = str(fields.get("code") or fields.get("status") or "")
        # OpenRouter and LiteLLM repeat the HTTP status here; OpenAI puts a word.
        self.status = int(code) if code.isdecimal() and len(code) == 3 else None


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
        """What the provider counted, over all its reports."""
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
        self._thoughts = ThoughtSplitter()
        self._halves = SurrogateHalves()
        self._lenient = False
        """Whether the strings of the newest document may hold surrogates."""
        self._wrote = False
        """Whether a delta wrote anything."""
        self._bare_finish = False
        """Whether the newest finish reason came in a chunk that wrote nothing, and nothing was written since."""
        self._went_on = False
        """Whether the answer went on after a finish reason. Then no finish reason of it is believed."""

    @property
    def finished(self) -> bool:
        """Whether the model's answer can be complete: it gave a finish reason or the end marker."""
        return self.done or self.finish_reason is not None

    @property
    def settled(self) -> bool:
        """Whether nothing more of the answer is to come.

        Some servers put a finish reason into every chunk. So one that comes with text may not be the last.
        """
        return self.done or self._bare_finish

    @property
    def broken_off(self) -> bool:
        """Whether the answer is incomplete if its connection breaks here."""
        return not self.done and (self.finish_reason is None or self._went_on)

    @property
    def meaning(self) -> Finish:
        """What the finish reason says about the answer."""
        return "complete" if self.finish_reason is None else finish_meaning(self.finish_reason)

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
                self._flush()
            except ToolCallOverrun:
                self.failure = StreamMalformed(_OVERRUN)
        return self._order.take()

    def _flush(self) -> None:
        """Hand out what was held back: the body has ended."""
        for kind in ("thinking", "text"):
            self._put(kind, self._halves.rest(kind))
        for found, piece in self._thoughts.close():
            self._order.text(found, piece)
        self._order.finish()

    def _stop(self, failure: StreamMalformed | ProviderFailure) -> None:
        # After the end of the answer a failure loses the token counts, not the answer.
        if self.settled or (isinstance(failure, StreamMalformed) and not self.broken_off):
            self.done = True
        else:
            self.failure = failure

    def _document(self, document: bytes) -> None:
        if not document:
            return
        if document == DONE:
            self.done = True
            return
        self.documents += 1
        try:
            chunk, self._lenient = loads(document)
            if isinstance(chunk, list) and len(chunk) == 1:
                # Gemini's endpoint wraps its errors.
                chunk = chunk[0]
            if chunk is None:
                return
            if not isinstance(chunk, dict):
                raise StreamMalformed("a chunk is not a JSON object")
            self._chunk(chunk, labelled=isinstance(document, ErrorFrame))
        except NotJson as exc:
            if isinstance(document, ErrorFrame):
                raise ProviderFailure(document.decode("utf-8", "replace")) from exc
            raise StreamMalformed("a chunk is not JSON") from exc
        except (AttributeError, TypeError, KeyError, IndexError) as exc:
            raise StreamMalformed("a member has the wrong type") from exc
        except ToolCallOverrun as exc:
            raise StreamMalformed(_OVERRUN) from exc

    def _chunk(self, chunk: dict[str, Any], *, labelled: bool) -> None:
        if (error := error_in(chunk, labelled=labelled)) is not None:
            raise ProviderFailure(error)
        self.model = self.model or _word(chunk.get("model"))
        self.response_id = self.response_id or _word(chunk.get("id"))
        self._count(chunk)
        # In a usage chunk this is empty or holds an empty delta; in a keep-alive it is absent.
        if not (choices := chunk.get("choices")):
            return
        choice: dict[str, Any] = choices[0] if isinstance(choices, list) else choices
        self._count(choice)
        wrote = self._written(self._of(choice))
        if self.finish_reason is not None and wrote:
            self._went_on, self._bare_finish = True, False
        if (word := finish_word(choice.get("finish_reason"))) is not None:
            self.finish_reason = word
            self._bare_finish = not wrote and not self._went_on
        self.done = self.is_json

    def _of(self, choice: dict[str, Any]) -> dict[str, Any]:
        """Return what a choice says, wherever it says it."""
        delta: dict[str, Any] | None = choice.get("message" if self.is_json else "delta")
        if delta is None and not self._wrote:
            # A stream of one chunk that holds the whole message; and the form before chats.
            delta = choice.get("message" if not self.is_json else "delta")
        if delta is None and isinstance(text := choice.get("text"), str):
            return {"content": text}
        return delta or {}

    def _count(self, holder: dict[str, Any]) -> None:
        # Some servers count in the choice, and Groq in a member of its own.
        own = holder.get("x_groq")
        for usage in (holder.get("usage"), own.get("usage") if isinstance(own, dict) else None):
            if usage and (counts := TokenCounts.parse(usage)) is not None:
                self.tokens = counts if self.tokens is None else self.tokens.merged(counts)

    def _written(self, written: dict[str, Any]) -> bool:
        """Take in what a delta writes; returns whether that was anything."""
        before = self.output_bytes
        self.opaque.message(self._clean(written))
        if thought := reasoning_of(written):
            self._thoughts.leave_alone()
            self._put("thinking", self._halves.join("thinking", thought))
        if text := text_of(written.get("content")) or text_of(written.get("refusal")):
            self._put("text", self._halves.join("text", text))
        pieces = written.get("tool_calls") or ()
        for call in [pieces] if isinstance(pieces, dict) else pieces:
            self._tool_call(call)
        if not pieces and isinstance(old := written.get("function_call"), dict):
            self._tool_call({"index": _OLD_CALL, "function": old})
        wrote = self.output_bytes > before
        self._wrote = self._wrote or wrote
        return wrote

    def _put(self, kind: Literal["text", "thinking"], text: str) -> None:
        if not text:
            return
        self.output_bytes += _size(text)
        if kind == "thinking":
            self._order.text(kind, text)
            return
        for found, piece in self._thoughts.feed(text):
            self._order.text(found, piece)

    def _tool_call(self, call: dict[str, Any]) -> None:
        # Some servers leave out the level of the function.
        function: dict[str, Any] = call.get("function") or call
        index, wire_id = call.get("index"), call.get("id")
        name, arguments = function.get("name") or "", function.get("arguments") or ""
        if not isinstance(name, str):
            raise TypeError
        if isinstance(arguments, str):
            arguments = self._halves.join(index if isinstance(index, int) else "call", arguments)
        else:
            # Ollama and others send the object itself instead of its JSON text.
            arguments = orjson.dumps(self._clean(arguments)).decode()
        self.output_bytes += _size(arguments) + len(name)
        written = self._order.tool_call(
            index if isinstance(index, int) else None,
            wire_id if isinstance(wire_id, str) else None,
            self._clean(name),
            arguments,
        )
        self.opaque.call(written, self._clean(call))

    def _clean(self, value: Any) -> Any:
        return whole(value) if self._lenient else value


def _word(value: Any) -> str | None:
    return whole(value) if isinstance(value, str) and value else None


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
