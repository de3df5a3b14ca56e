"""The request of a model call: AgentScope's messages and tools as OpenAI chat completions expect them.

Based on AgentScope's own formatter, with less: nothing is read from disk or downloaded, and the result is what most
endpoints accept.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any

import orjson
import structlog
from agentscope.formatter import OpenAIChatFormatter
from agentscope.message import DataBlock, HintBlock, Msg, ThinkingBlock, ToolResultBlock, URLSource
from agentscope.model import OpenAIChatModel
from agentscope.tool import ToolChoice

from core.agentscope.runtime.model.chat_opaque import FIELD, give_back
from core.agentscope.schemas.attachments import (
    Carried,
    carried,
    decoded,
    document_text,
    in_words,
    plain_base64,
)
from core.media_types import essence

_AUDIO_FORMATS = {"audio/wav": "wav", "audio/mpeg": "mp3"}
_MODES = frozenset({"auto", "none", "required"})

log = structlog.get_logger(__name__)


class ChatFormatter(OpenAIChatFormatter):
    """Formats messages without touching the file system or the network.

    AgentScope's formatter reads ``file://`` URLs, downloads audio and PDFs with blocking calls from any address, and
    writes attachments of other types into temporary files, in every call again. Attachments come from users, so none
    of that is safe.
    """

    origin: str = ""
    """Provider and model of the request. Only their own opaque values are sent back (``chat_opaque``)."""

    async def format(self, msgs: list[Msg]) -> list[dict[str, Any]]:
        """Return the messages, each in its plainest form; those of the assistant with their ``reasoning_content``.

        ``request_form`` makes of them what the endpoint takes.
        """
        messages: list[dict[str, Any]] = []
        for msg in msgs:
            for part, values, reasoning in _parts(msg):
                formatted = await super().format([part])
                for message in formatted:
                    _simplify(message)
                    if message["role"] == "assistant":
                        give_back(message, values, self.origin)
                        if reasoning:
                            message["reasoning_content"] = reasoning
                messages += formatted
        return messages

    def _format_openai_data_block(self, block: DataBlock) -> dict[str, Any]:
        """Return an attachment as a content part: words if chat completions have no form for it.

        Never raises and never leaves an attachment out: it is in the thread, so every later run meets it again. New
        ones that have no form are refused when they are sent. Older versions accepted them.
        """
        source = block.source
        form = carried(source.media_type)
        if isinstance(source, URLSource):
            if form is not None and form.form == "image" and source.url.scheme in {"http", "https"}:
                return {"type": "image_url", "image_url": {"url": str(source.url)}}
            return _named(source.media_type)
        match form:
            case Carried("image", media_type):
                return {"type": "image_url", "image_url": {"url": _data_url(media_type, source.data)}}
            case Carried("audio", media_type):
                sound = {"data": plain_base64(source.data), "format": _AUDIO_FORMATS[media_type]}
                return {"type": "input_audio", "input_audio": sound}
            case Carried("pdf", media_type):
                file = {
                    "filename": block.name or "document.pdf",
                    "file_data": _data_url(media_type, source.data),
                }
                return {"type": "file", "file": file}
            case Carried("text") if (content := decoded(source.data)) is not None:
                return {"type": "text", "text": document_text(content)}
            case _:
                return _named(source.media_type)

    @staticmethod
    def _convert_unsupported_data_block_to_string(block: DataBlock) -> str:
        return in_words(block.source.media_type)


def _data_url(media_type: str, data: str) -> str:
    return f"data:{media_type};base64,{plain_base64(data)}"


def _named(media_type: str) -> dict[str, Any]:
    log.warning("attachment_left_out", media_type=essence(media_type))
    return {"type": "text", "text": in_words(media_type)}


def _parts(msg: Msg) -> Iterator[tuple[Msg, list[dict[str, Any]], str]]:
    """Split a message where AgentScope's formatter does, each part with the opaque values and the reasoning of its model.

    A part is one assistant message of the request, or what is between two of them.
    """
    blocks = msg.get_content_blocks()
    if not any(map(_is_thought, blocks)):
        yield msg, [], ""
        return
    for _, group in itertools.groupby(blocks, lambda block: isinstance(block, ToolResultBlock | HintBlock)):
        part = list(group)
        values = [value for block in part if (value := _opaque(block))]
        thoughts = [block.thinking for block in part if isinstance(block, ThinkingBlock) and block.thinking]
        yield msg.model_copy(update={"content": part}), values, "\n".join(thoughts)


def _is_thought(block: object) -> bool:
    return isinstance(block, ThinkingBlock)


def _opaque(block: object) -> dict[str, Any] | None:
    return (block.model_extra or {}).get(FIELD) if isinstance(block, ThinkingBlock) else None


def format_tools(tools: Sequence[dict[str, Any]] | None, choice: ToolChoice | None) -> dict[str, Any]:
    """Return the members ``tools`` and ``tool_choice``, as far as they are needed.

    Schemas are flattened, because some endpoints do not resolve ``$ref``. A schema without references is passed on
    unchanged.
    """
    if not tools:
        return {}
    allowed = choice.tools if choice else None
    chosen = [tool for tool in tools if not allowed or tool["function"]["name"] in allowed]
    members: dict[str, Any] = {"tools": OpenAIChatModel._flatten_tool_schemas([*map(_plain, chosen)])}
    if choice is not None:
        forced = {"type": "function", "function": {"name": choice.mode}}
        members["tool_choice"] = choice.mode if choice.mode in _MODES else forced
    return members


def _plain(tool: dict[str, Any]) -> dict[str, Any]:
    """Return the tool without `$schema`: it names our validator, and some endpoints refuse the member anyway."""
    function = tool["function"]
    parameters = {name: value for name, value in function["parameters"].items() if name != "$schema"}
    return {**tool, "function": {**function, "parameters": parameters}}


def encode(body: dict[str, Any]) -> bytes:
    """Return the body as JSON. Lone surrogates, which no JSON may hold, become question marks."""
    try:
        return orjson.dumps(body)
    except TypeError:
        return json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")


def tool_call_ids(body: dict[str, Any]) -> list[str]:
    """List the ids of the tool calls in the conversation that is sent."""
    return [call["id"] for message in body["messages"] for call in message.get("tool_calls", ())]


def _simplify(message: dict[str, Any]) -> None:
    # A name equal to the role carries no information, and some endpoints refuse it.
    if message["role"] == "tool" or message.get("name") == message["role"]:
        message.pop("name", None)
    content = message.get("content")
    # All endpoints understand plain text. Not all understand content parts in system and tool messages.
    if isinstance(content, list) and len(content) == 1 and content[0]["type"] == "text":
        message["content"] = content[0]["text"]
