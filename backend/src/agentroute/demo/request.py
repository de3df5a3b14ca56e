"""What the scripted demo model reads in an OpenAI chat request: who said what, and what it may call.

Pure. Deciding on an answer is left to ``demo_script``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

# AgentScope and the stage prompts put instructions and summaries into user messages between these tags.
_REMINDER = re.compile(r"<system-reminder>(.*?)</system-reminder>", re.DOTALL)
_MACHINE_TEXT = re.compile(r"<(system-[a-z]+)>.*?</\1>", re.DOTALL)

STRUCTURED_OUTPUT_TOOLS = frozenset({"generate_structured_output", "GenerateStructuredOutput"})
"""Names under which AgentScope asks for structured output."""


class RequestInvalid(ValueError):
    """The body is not a chat request; the message says why, for the caller."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """A tool's answer, with the call it belongs to."""

    name: str
    arguments: Mapping[str, Any]
    text: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """One chat request, reduced to what the script decides on.

    The *turn* is everything from the last message a person wrote: a user
    message that holds more than machine text.
    """

    user_text: str = ""
    """The turn's user message without machine text."""
    attachments: tuple[str, ...] = ()
    """Types of its content parts that are not text, such as ``image_url``."""
    instruction: str = ""
    """Text of the reminder that ends the request; empty when something else ends it."""
    reminders: str = ""
    """All reminders of the turn."""
    results: tuple[ToolResult, ...] = ()
    """What the turn's tools answered, oldest first; the receipt of structured output is no result."""
    calls_made: tuple[str, ...] = ()
    """Names of the tools the turn called, answered or not, oldest first."""
    previous_answer: str = ""
    """The turn's last assistant text."""
    statements: tuple[str, ...] = ()
    """Everything said to the model, newest first, summaries and system prompts last."""
    tools: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Tools on offer: name to JSON Schema of the arguments; empty when ``tool_choice`` is ``none``."""
    must_call: str | None = None
    """The tool the caller insists on; ``*`` for any."""
    answer_schema: Mapping[str, Any] | None = None
    """JSON Schema of ``response_format``, when the answer itself has to be JSON."""


def read_conversation(body: Mapping[str, Any]) -> Conversation:
    """Read the body of ``POST /v1/chat/completions``.

    Unknown members are ignored; content may be text or a list of parts.

    Raises:
        RequestInvalid: ``messages`` is missing, empty or not a list of objects.
    """
    messages: Any = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise RequestInvalid("'messages' must be a list with at least one message.")
    if not all(isinstance(message, dict) for message in messages):
        raise RequestInvalid("Each message must be an object.")

    start = _turn_start(messages)
    turn = messages[start:]
    first = turn[0] if turn and _is_person(turn[0]) else {}
    return Conversation(
        user_text=_spoken(first),
        attachments=tuple(kind for kind in _part_types(first) if kind != "text"),
        instruction=_instruction(messages[-1]),
        reminders=" ".join(text for message in turn for text in _reminders(message)),
        results=_results(turn),
        calls_made=tuple(str(call["function"].get("name")) for message in turn for call in _calls(message)),
        previous_answer=_last_answer(turn),
        statements=_statements(messages),
        tools={} if body.get("tool_choice") == "none" else _tools(body.get("tools")),
        must_call=_must_call(body.get("tool_choice")),
        answer_schema=_answer_schema(body.get("response_format")),
    )


def text_of(message: Mapping[str, Any]) -> str:
    """Return a message's text; of a list of parts, the texts joined by newlines."""
    content: Any = message.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = [part.get("text") for part in content if isinstance(part, dict)]
    return "\n".join(text for text in texts if isinstance(text, str))


def _spoken(message: Mapping[str, Any]) -> str:
    return _MACHINE_TEXT.sub("", text_of(message)).strip()


def _reminders(message: Mapping[str, Any]) -> list[str]:
    return [text.strip() for text in _REMINDER.findall(text_of(message))] if _is_user(message) else []


def _part_types(message: Mapping[str, Any]) -> list[str]:
    content: Any = message.get("content")
    if not isinstance(content, list):
        return []
    return [str(part.get("type", "unknown")) for part in content if isinstance(part, dict)]


def _is_user(message: Mapping[str, Any]) -> bool:
    return message.get("role") == "user"


def _is_person(message: Mapping[str, Any]) -> bool:
    # AgentScope repeats a tool's pictures in a user message of this name.
    if not _is_user(message) or message.get("name") == "system-reminder":
        return False
    has_attachment = any(kind != "text" for kind in _part_types(message))
    return bool(_spoken(message)) or (has_attachment and not _reminders(message))


def _turn_start(messages: Sequence[Mapping[str, Any]]) -> int:
    for index in range(len(messages) - 1, -1, -1):
        if _is_person(messages[index]):
            return index
    return 0


def _instruction(last: Mapping[str, Any]) -> str:
    return " ".join(_reminders(last)) if not _is_person(last) else ""


def _calls(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    calls: Any = message.get("tool_calls")
    if message.get("role") != "assistant" or not isinstance(calls, list):
        return []
    return [call for call in calls if isinstance(call, dict) and isinstance(call.get("function"), dict)]


def _results(turn: Sequence[Mapping[str, Any]]) -> tuple[ToolResult, ...]:
    functions = {str(call.get("id")): call["function"] for message in turn for call in _calls(message)}
    results: list[ToolResult] = []
    for message in turn:
        if message.get("role") != "tool":
            continue
        function: Mapping[str, Any] = functions.get(str(message.get("tool_call_id")), {})
        name = str(function.get("name") or message.get("name") or "unknown")
        if name not in STRUCTURED_OUTPUT_TOOLS:
            results.append(ToolResult(name, _object(function.get("arguments")), text_of(message).strip()))
    return tuple(results)


def _object(text: Any) -> Mapping[str, Any]:
    try:
        value: Any = orjson.loads(text) if isinstance(text, str) else None
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _last_answer(turn: Sequence[Mapping[str, Any]]) -> str:
    answers = [text_of(message).strip() for message in turn if message.get("role") == "assistant"]
    return next((answer for answer in reversed(answers) if answer), "")


def _statements(messages: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    spoken = [_spoken(message) for message in reversed(messages) if _is_person(message)]
    machine = [
        text_of(message)
        for message in reversed(messages)
        if message.get("role") in ("system", "developer") or (_is_user(message) and not _is_person(message))
    ]
    return tuple(text for text in (*spoken, *machine) if text)


def _tools(offered: Any) -> Mapping[str, Mapping[str, Any]]:
    tools: dict[str, Mapping[str, Any]] = {}
    for tool in offered if isinstance(offered, list) else []:
        function: Any = tool.get("function") if isinstance(tool, dict) else None
        if isinstance(function, dict) and isinstance(function.get("name"), str):
            parameters: Any = function.get("parameters")
            tools[function["name"]] = parameters if isinstance(parameters, dict) else {}
    return tools


def _must_call(choice: Any) -> str | None:
    if choice == "required":
        return "*"
    function: Any = choice.get("function") if isinstance(choice, dict) else None
    name: Any = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) else None


def _answer_schema(response_format: Any) -> Mapping[str, Any] | None:
    if not isinstance(response_format, dict) or response_format.get("type") != "json_schema":
        return None
    wrapper: Any = response_format.get("json_schema")
    schema: Any = wrapper.get("schema") if isinstance(wrapper, dict) else None
    return schema if isinstance(schema, dict) else None
