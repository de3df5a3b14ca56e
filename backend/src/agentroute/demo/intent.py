"""Structured output of the scripted demo model: an intent, a summary, or any schema, from what was said.

Pure. Members are filled by what their name promises; the rest by ``demo_schema``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from agentroute.demo.memory import digest
from agentroute.demo.request import Conversation
from agentroute.demo.schema import properties_of, resolve, synthesize
from agentroute.demo.triggers import requested_steps

_SEVERAL_THINGS = re.compile(
    r"\band also\b|\band then\b|^\s*(?:[-*]|\d+[.)])\s+\S", re.IGNORECASE | re.MULTILINE
)

_LANGUAGE_BY_SCRIPT: tuple[tuple[str, str], ...] = (
    # Kana before Han: Japanese uses both.
    ("ja", r"[\u3040-\u30ff]"),
    ("zh", r"[\u4e00-\u9fff]"),
    ("ko", r"[\uac00-\ud7af]"),
    ("ru", r"[\u0400-\u04ff]"),
    ("ar", r"[\u0600-\u06ff]"),
    ("el", r"[\u0370-\u03ff]"),
    ("he", r"[\u0590-\u05ff]"),
    ("hi", r"[\u0900-\u097f]"),
)

_LANGUAGE_BY_WORD: tuple[tuple[str, str], ...] = (
    ("de", r"\b(?:und|ich|nicht|bitte|wie|ist|der|das)\b"),
    ("fr", r"\b(?:et|je|est|bonjour|merci|les|une|vous)\b"),
    ("es", r"\b(?:hola|gracias|por|qué|está|los|una|cómo)\b"),
    ("it", r"\b(?:ciao|grazie|sono|che|perché|una|gli)\b"),
    ("pt", r"\b(?:olá|obrigado|você|não|uma|está)\b"),
)


def language_of(text: str) -> str:
    """Guess a language tag by script, then by at least two common words; ``en`` otherwise."""
    for language, script in _LANGUAGE_BY_SCRIPT:
        if re.search(script, text):
            return language
    counts = {tag: len(re.findall(words, text, re.IGNORECASE)) for tag, words in _LANGUAGE_BY_WORD}
    best = max(counts, key=lambda tag: counts[tag])
    return best if counts[best] >= 2 else "en"


def structured_arguments(schema: Mapping[str, Any], conversation: Conversation) -> dict[str, Any]:
    """Fill an object schema: known members from the conversation, other required ones from the schema."""
    members = properties_of(resolve(schema, schema))
    required: Any = resolve(schema, schema).get("required")
    arguments: dict[str, Any] = {}
    for name, member in members.items():
        # A member's reference is to the definitions of the whole schema.
        member_schema = {**member, **{key: schema[key] for key in ("$defs", "definitions") if key in schema}}
        value = _known(name, member_schema, conversation)
        if value is not None:
            arguments[name] = value
        elif isinstance(required, list) and name in required:
            arguments[name] = synthesize(member_schema, name)
    return arguments


def _known(name: str, member: Mapping[str, Any], conversation: Conversation) -> Any:
    member = resolve(member, member)
    if fill := _BY_NAME.get(name):
        value = fill(conversation)
        choices: Any = member.get("enum")
        return value if not isinstance(choices, list) or value in choices else None
    if member.get("type") == "string" and not any(key in member for key in ("enum", "const", "format")):
        # Free text: what the model knows, so that a summary keeps the facts of what it replaces.
        longest: Any = member.get("maxLength")
        return digest(conversation)[: longest if isinstance(longest, int) else None]
    return None


def _needs_tools(conversation: Conversation) -> bool:
    return any(step.calls for step in requested_steps(conversation.user_text))


def _kind(conversation: Conversation) -> str:
    several = _SEVERAL_THINGS.search(conversation.user_text) is not None
    return "task" if several or _needs_tools(conversation) else "chat"


def _plan(conversation: Conversation) -> list[str]:
    steps = requested_steps(conversation.user_text)
    return [f"Call {call.name}" for step in steps for call in step.calls]


def _title(conversation: Conversation) -> str:
    return " ".join(conversation.user_text.split()[:6])[:60] or "Scripted demo"


_BY_NAME: Mapping[str, Callable[[Conversation], Any]] = {
    "kind": _kind,
    "language": lambda conversation: language_of(conversation.user_text),
    "needs_tools": _needs_tools,
    "plan": _plan,
    "title": _title,
}
