"""Gives a request the form that its endpoint takes: the same conversation, with the quirks that were learnt. Pure.

Whatever the quirks, the conversation is legal (``legal_history``). Nothing that was said is dropped, except what the
endpoint cannot take in any form: reasoning, attachments, words beside a tool call.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any

from core.agentscope.runtime.model.call_ids import fit_call_ids
from core.agentscope.runtime.model.legal_history import Message, legal
from core.agentscope.runtime.model.quirks import Quirk

STRUCTURED = "generate_structured_output"
"""The tool by which AgentScope asks for structured output."""
_NO_REASONING = "(no reasoning was recorded)"
_NO_ANSWER = "(no answer)"
_NO_QUESTION = "(the conversation begins)"
_GO_ON = "Go on."
_CALLING = "(calls a tool)"
_NO_MEDIA = "[an attachment that this model cannot see]"
_SPECIAL = re.compile(r"<\|")
_OPAQUE = ("reasoning_details", "thinking_blocks")
_OF_CONTENT = frozenset(
    {
        Quirk.NO_NAMES,
        Quirk.NO_MEDIA,
        Quirk.TEXT_CONTENT,
        Quirk.NO_SPECIAL_TOKENS,
        Quirk.NO_CONTENT_WITH_CALLS,
        Quirk.NO_NULL_CONTENT,
        Quirk.NO_EMPTY_CONTENT,
        Quirk.NO_OPAQUE,
    }
)
"""The quirks that ``_content`` knows."""
_OF_REASONING = frozenset({Quirk.REASONING_ALWAYS, Quirk.REASONING_NOT_EMPTY, Quirk.REASONING_WITH_CALLS})
"""The quirks by which an endpoint wants reasoning."""
_SCHEMA = frozenset({"type", "description", "properties", "required", "items", "enum"})


def adapted(
    body: dict[str, Any], quirks: Collection[Quirk], *, plain: int = 0, blind: int = 0
) -> dict[str, Any]:
    """Return the request as it is sent.

    Args:
        body: The request as any endpoint would be asked: ``max_tokens`` by that name, assistant messages with
            their ``reasoning_content``.
        quirks: What the endpoint is known to refuse or to want.
        plain: So many messages are sent as plain text, without tool calls.
        blind: So many messages are sent without their attachments.
    """
    made = _members(body, quirks)
    messages = legal(body["messages"])
    messages = [*map(_without_media, messages[:blind]), *messages[blind:]]
    if Quirk.NO_TOOLS in quirks or (Quirk.CALLS_NEED_TOOLS in quirks and "tools" not in made):
        plain = len(messages)
    messages = [*in_plain_text(messages[:plain]), *messages[plain:]]
    if Quirk.NO_TOOLS in quirks and is_structured(body):
        messages = [*messages, _asks_for_json(body["tools"][0])]
    if Quirk.RESULTS_WITH_NAMES in quirks:
        messages = _with_names(messages)
    if not _OF_CONTENT.isdisjoint(quirks):
        messages = [_content(message, quirks) for message in messages]
    if Quirk.NO_SYSTEM_ROLE in quirks:
        messages = _without_system(messages)
    if Quirk.ALTERNATING_ROLES in quirks:
        messages = _alternating(messages)
    if _OF_REASONING.isdisjoint(quirks):
        # Most messages are passed on as they are: a conversation may have thousands.
        messages = [_without_reasoning(m) if "reasoning_content" in m else m for m in messages]
    else:
        messages = [_reasoning(message, quirks) for message in messages]
    return made | {"messages": fit_call_ids(messages, quirks)}


def is_structured(body: dict[str, Any]) -> bool:
    """Whether a request asks for structured output."""
    return [tool["function"]["name"] for tool in body.get("tools") or ()] == [STRUCTURED]


def holds_calls(messages: list[Message]) -> bool:
    """Whether messages hold more than plain text."""
    return any(
        message.get("tool_calls") or any(member in message for member in _OPAQUE) for message in messages
    )


def holds_media(messages: list[Message]) -> bool:
    """Whether messages hold attachments."""
    return any(_without_media(message) is not message for message in messages)


def in_plain_text(messages: list[Message]) -> list[Message]:
    """Return messages without tool calls: the calls and their results as text."""
    made: list[Message] = []
    names: dict[str, str] = {}
    for message in messages:
        if message["role"] == "tool":
            name = names.get(message["tool_call_id"], "a tool")
            said = f"[The result of {name}, not written by the user]\n{message['content']}"
            if made and made[-1].get("results"):
                made[-1]["content"] += f"\n\n{said}"
            else:
                made.append({"role": "user", "content": said, "results": True})
        elif message["role"] == "assistant":
            calls = message.get("tool_calls", ())
            names |= {call["id"]: call["function"]["name"] for call in calls}
            lines = [f"[Called {c['function']['name']} with {c['function']['arguments']}]" for c in calls]
            said = "\n\n".join(filter(None, [_text(message.get("content")), *lines]))
            if said:
                made.append({"role": "assistant", "content": said})
        else:
            made.append(message)
    return [{name: value for name, value in message.items() if name != "results"} for message in made]


# --- members beside the conversation ---------------------------------------------------------------------


def _members(body: dict[str, Any], quirks: Collection[Quirk]) -> dict[str, Any]:
    made = dict(body)
    dropped = {
        Quirk.NO_STREAM: ("stream", "stream_options"),
        Quirk.NO_STREAM_OPTIONS: ("stream_options",),
        Quirk.NO_TEMPERATURE: ("temperature",),
        Quirk.NO_MAX_TOKENS: ("max_tokens",),
        Quirk.NO_TOOL_CHOICE: ("tool_choice",),
        Quirk.NO_TOOLS: ("tools", "tool_choice"),
    }
    if Quirk.NO_TOOL_CHOICE in quirks and made.get("tool_choice") == "none":
        # Without the choice the tools would be used.
        made.pop("tools", None)
    for quirk, members in dropped.items():
        if quirk in quirks:
            for member in members:
                made.pop(member, None)
    renamed = Quirk.MAX_COMPLETION_TOKENS in quirks and Quirk.NO_MAX_COMPLETION_TOKENS not in quirks
    if renamed and "max_tokens" in made:
        made["max_completion_tokens"] = made.pop("max_tokens")
    if Quirk.PLAIN_SCHEMAS in quirks and made.get("tools"):
        made["tools"] = [_plain_tool(tool) for tool in made["tools"]]
    return made


def _plain_tool(tool: dict[str, Any]) -> dict[str, Any]:
    function = tool["function"]
    return tool | {"function": function | {"parameters": _plain_schema(function["parameters"])}}


def _plain_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a schema that every endpoint knows. The tool still checks its arguments against all of it."""
    made = {name: value for name, value in schema.items() if name in _SCHEMA}
    if isinstance(made.get("type"), list):
        made["type"] = next((kind for kind in made["type"] if kind != "null"), "string")
    if "type" not in made and "enum" not in made:
        choices = [item for name in ("anyOf", "oneOf", "allOf") for item in schema.get(name, ())]
        typed = [item for item in choices if isinstance(item, dict) and item.get("type") != "null"]
        made |= _plain_schema(typed[0]) if typed else {}
    if isinstance(properties := made.get("properties"), dict):
        made["properties"] = {
            name: _plain_schema(item) if isinstance(item, dict) else {} for name, item in properties.items()
        }
    if isinstance(items := made.get("items"), dict):
        made["items"] = _plain_schema(items)
    return made


def _asks_for_json(tool: dict[str, Any]) -> Message:
    schema = json.dumps(tool["function"]["parameters"], ensure_ascii=False)
    return {
        "role": "user",
        "content": "<system-reminder>You have no tools here. Answer with one JSON object and nothing else. "
        + f"Its JSON Schema: {schema}</system-reminder>",
    }


# --- messages ----------------------------------------------------------------------------------------------


def _content(message: Message, quirks: Collection[Quirk]) -> Message:
    made = dict(message)
    if Quirk.NO_NAMES in quirks and made["role"] != "tool":
        made.pop("name", None)
    if isinstance(made.get("content"), list):
        parts = (_without_media(made) if Quirk.NO_MEDIA in quirks else made)["content"]
        only_text = all(part["type"] == "text" for part in parts)
        joined = only_text and (Quirk.TEXT_CONTENT in quirks or Quirk.NO_MEDIA in quirks)
        made["content"] = _text(parts) if joined else parts
    if Quirk.NO_SPECIAL_TOKENS in quirks:
        made["content"] = _harmless(made.get("content"))
    if made.get("tool_calls") and Quirk.NO_CONTENT_WITH_CALLS in quirks:
        made["content"] = None
    if made.get("content") is None and Quirk.NO_NULL_CONTENT in quirks:
        made["content"] = ""
    if made["role"] == "assistant" and not made.get("content") and Quirk.NO_EMPTY_CONTENT in quirks:
        made["content"] = _CALLING
    if Quirk.NO_OPAQUE in quirks:
        for member in _OPAQUE:
            made.pop(member, None)
        if calls := made.get("tool_calls"):
            made["tool_calls"] = [
                {name: value for name, value in call.items() if name != "extra_content"} for call in calls
            ]
    return made


def _without_media(message: Message) -> Message:
    content = message.get("content")
    if not isinstance(content, list) or all(part["type"] == "text" for part in content):
        return message
    return message | {
        "content": [part if part["type"] == "text" else _text_part(_NO_MEDIA) for part in content]
    }


def _harmless(content: Any) -> Any:
    """Return a content whose text holds no special tokens of a model's template."""
    if isinstance(content, list):
        return [
            part | {"text": _SPECIAL.sub("< |", part["text"])} if "text" in part else part for part in content
        ]
    return _SPECIAL.sub("< |", content) if content else content


def _with_names(messages: list[Message]) -> list[Message]:
    names = {call["id"]: call["function"]["name"] for m in messages for call in m.get("tool_calls") or ()}
    return [
        message | {"name": names.get(message["tool_call_id"], "unknown")}
        if message["role"] == "tool"
        else message
        for message in messages
    ]


def _without_reasoning(message: Message) -> Message:
    if message["role"] != "assistant":
        return message
    return {name: value for name, value in message.items() if name != "reasoning_content"}


def _reasoning(message: Message, quirks: Collection[Quirk]) -> Message:
    """Return an assistant message with the reasoning that the endpoint wants."""
    if message["role"] != "assistant":
        return message
    made = dict(message)
    reasoning = made.pop("reasoning_content", None)
    always = Quirk.REASONING_ALWAYS in quirks or Quirk.REASONING_NOT_EMPTY in quirks
    wanted = always or (Quirk.REASONING_WITH_CALLS in quirks and made.get("tool_calls"))
    if wanted and Quirk.NO_REASONING not in quirks:
        made["reasoning_content"] = reasoning or (
            _NO_REASONING if Quirk.REASONING_NOT_EMPTY in quirks else ""
        )
    return made


def _without_system(messages: list[Message]) -> list[Message]:
    """Put the instructions before the first words of the user."""
    told = "\n\n".join(_text(message["content"]) for message in messages if message["role"] == "system")
    others = [message for message in messages if message["role"] != "system"]
    if not told:
        return others
    instructions = {"role": "user", "content": told}
    if others and others[0]["role"] == "user":
        return [_merged(instructions, others[0]), *others[1:]]
    return [instructions, *others]


def _alternating(messages: list[Message]) -> list[Message]:
    """Return user and assistant in turn, beginning and ending with the user or with results of tools."""
    made: list[Message] = []
    for message in messages:
        role, before = message["role"], made[-1]["role"] if made else "system"
        if role == before and role == "user":
            made[-1] = _merged(made[-1], message)
            continue
        if role == before and role == "assistant":
            if not made[-1].get("tool_calls"):
                made[-1] = _merged(made[-1], message)
                continue
            made.append({"role": "user", "content": _GO_ON})
        elif role == "user" and before == "tool":
            made.append({"role": "assistant", "content": _NO_ANSWER})
        elif role == "assistant" and before == "system":
            made.append({"role": "user", "content": _NO_QUESTION})
        made.append(message)
    if made and made[-1]["role"] in ("assistant", "system"):
        made.append({"role": "user", "content": _GO_ON})
    return made


def _merged(first: Message, second: Message) -> Message:
    """Return two messages of one role as one; the members of the second go first."""
    one, two = first["content"], second["content"]
    if isinstance(one, list) or isinstance(two, list):
        content: Any = [*_parts(one), *_parts(two)]
    else:
        content = "\n\n".join(filter(None, (one, two)))
    made = first | second | {"content": content}
    reasoning = "\n".join(filter(None, (first.get("reasoning_content"), second.get("reasoning_content"))))
    return made | ({"reasoning_content": reasoning} if reasoning else {})


def _parts(content: Any) -> list[dict[str, Any]]:
    return content if isinstance(content, list) else [_text_part(content)] if content else []


def _text_part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "\n\n".join(part.get("text", _NO_MEDIA) for part in content)
    return content or ""
