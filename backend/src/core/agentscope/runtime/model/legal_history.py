"""The conversation in a form that every endpoint takes, whatever a model, a client or an older version left in it.

Pure. What is repaired here would otherwise be refused with each later request, and the thread would be stuck:

* the name of a tool is ``^[A-Za-z0-9_-]{1,64}$``, and its arguments are a JSON object;
* every tool call is followed by exactly one result, and every result belongs to a call; ids differ;
* no message is empty.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict, deque
from typing import Any

from core.agentscope.events.json_completion import completion

Message = dict[str, Any]

NO_RESULT = "The call was interrupted; it has no result."
_ILLEGAL = re.compile(r"[^A-Za-z0-9_-]+", re.ASCII)
_MAX_NAME = 64
_EMPTY = {"user": "(empty message)", "tool": "(no output)", "system": "(no instructions)"}
_BARE = frozenset({"role", "name", "content", "reasoning_content"})


def legal(messages: list[Message]) -> list[Message]:
    """Return the messages, repaired; those without a fault are passed on as they are."""
    results: defaultdict[str, deque[Message]] = defaultdict(deque)
    for message in messages:
        if message["role"] == "tool":
            results[message["tool_call_id"]].append(message)
    made: list[Message] = []
    known = {call["id"] for message in messages for call in message.get("tool_calls") or ()}
    called: set[str] = set()
    for message in messages:
        if message["role"] == "tool":
            # The results of a call follow it, wherever they were.
            if message["tool_call_id"] not in known:
                made.append(_stray(message))
        elif message.get("tool_calls"):
            made += _with_results(message, results, called)
        elif (kept := _not_empty(message)) is not None:
            made.append(kept)
    return made


def legal_name(name: str) -> str:
    """Return a tool's name as every endpoint takes it."""
    return _ILLEGAL.sub("_", name).strip("_")[:_MAX_NAME] or "unknown"


def object_arguments(text: str) -> str:
    """Return arguments as a JSON object, the only form that all endpoints take back.

    What was cut off is completed, JSON in a JSON string is decoded once, and all else becomes an empty object.
    """
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        missing = completion(text)
        return object_arguments(text + missing) if missing else "{}"
    if isinstance(value, dict):
        return text or "{}"
    return decoded_once(text) or "{}"


def decoded_once(text: str) -> str | None:
    """Return the JSON object that a JSON string holds; ``None`` when it is no such string."""
    try:
        inner = json.loads(text)
        if isinstance(inner, str) and isinstance(json.loads(inner), dict):
            return inner
    except (ValueError, RecursionError):
        pass
    return None


def _with_results(
    message: Message, results: defaultdict[str, deque[Message]], called: set[str]
) -> list[Message]:
    calls: list[dict[str, Any]] = []
    answers: list[Message] = []
    for call in message["tool_calls"]:
        own = results[call["id"]]
        answer = own.popleft() if own else {"role": "tool", "content": NO_RESULT}
        call_id = _fresh(call["id"], called)
        function = call["function"]
        legal_function = {
            "name": legal_name(function["name"]),
            "arguments": object_arguments(function["arguments"]),
        }
        calls.append(call | {"id": call_id, "function": function | legal_function})
        filled = answer if answer.get("content") else answer | {"content": _EMPTY["tool"]}
        answers.append(filled | {"tool_call_id": call_id})
    content = message.get("content")
    if isinstance(content, str) and not content.strip():
        content = None
    return [message | {"content": content, "tool_calls": calls}, *answers]


def _fresh(call_id: str, called: set[str]) -> str:
    fresh, number = call_id, 1
    while fresh in called:
        number += 1
        fresh = f"{call_id}-{number}"
    called.add(fresh)
    return fresh


def _not_empty(message: Message) -> Message | None:
    content = message.get("content")
    if isinstance(content, list):
        content = [part for part in content if part["type"] != "text" or part["text"].strip()]
        if content:
            return message if len(content) == len(message["content"]) else message | {"content": content}
    elif isinstance(content, str) and content.strip():
        return message
    if message["role"] == "assistant":
        return None if message.keys() <= _BARE else message
    return message | {"content": _EMPTY.get(message["role"], "(empty)")}


def _stray(message: Message) -> Message:
    return {
        "role": "user",
        "content": f"[The result of a tool call, not written by the user]\n{message['content']}",
    }
