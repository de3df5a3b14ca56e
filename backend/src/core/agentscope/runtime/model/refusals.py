"""Reads a refusal: which quirk of the endpoint it tells of, or that the conversation is too long.

Pure. Endpoints word a refusal as they like, so a rule is a pattern and a condition: only what the request really holds
can be refused. A rule that is wrong costs one more request, because a lesson counts only when the next request is
answered.

Source: refusals of OpenAI, Azure, DeepSeek, Moonshot, Mistral, Groq, Fireworks, Gemini, Anthropic, Bedrock, OpenRouter,
LiteLLM, vLLM, llama.cpp and Ollama, as their users reported them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from core.agentscope.runtime.model.provider_words import REPEATED, names_content_filter, names_exhausted_quota
from core.agentscope.runtime.model.quirks import Quirk

_STATUSES = frozenset({400, 404, 405, 413, 415, 422, 500, 501})
_MAX_CHARACTERS = 4000
_ECHO = re.compile(r"['\"]input['\"]: .*?(?=['\"](?:loc|msg|ctx|url)['\"]: |$)", re.DOTALL)
"""A repeated request in Python's own notation, as some servers write it into the message."""

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the endpoint said instead of an answer."""

    status: int
    text: str
    """All words of it, in lower case, without what it repeats of the request."""


def read_refusal(status: int, body: bytes | str) -> Refusal:
    """Return a refusal; ``body`` is JSON or plain text."""
    try:
        words = _words(orjson.loads(body))
    except orjson.JSONDecodeError:
        words = [body if isinstance(body, str) else body.decode("utf-8", "replace")]
    return Refusal(status, _ECHO.sub("", " ".join(words)[: 4 * _MAX_CHARACTERS])[:_MAX_CHARACTERS].lower())


def lesson(refusal: Refusal, body: Body, known: Collection[Quirk]) -> Quirk | None:
    """Return the quirk that a refusal tells of; ``None`` when it tells of none, or of one that is known.

    Args:
        refusal: What the endpoint said.
        body: The request as it was sent.
        known: The quirks the request was made for, and those that are never to be learnt.
    """
    if (
        refusal.status not in _STATUSES
        or names_content_filter(refusal.text)
        or _NO_LESSON.search(refusal.text)
    ):
        return None
    for rule in _RULES:
        if rule.quirk is Quirk.NO_MEDIA and is_about_one_attachment(refusal):
            continue
        if rule.quirk is Quirk.NO_TOOLS and _is_about_one_call(refusal, body):
            continue
        if rule.quirk not in known and rule.pattern.search(refusal.text) and rule.holds(body):
            return rule.quirk
    return None


def is_too_long(refusal: Refusal) -> bool:
    """Whether the conversation is longer than the model takes."""
    if refusal.status == 413:
        return True
    return refusal.status in {400, 422, 500} and bool(_TOO_LONG.search(refusal.text))


def named_limit(refusal: Refusal) -> tuple[int | None, int | None]:
    """Return the tokens that a model takes, and the tokens it counted, as far as a refusal names them."""
    return _number(_LIMIT, refusal.text), _number(_COUNTED, refusal.text)


def is_about_one_attachment(refusal: Refusal) -> bool:
    """Whether an attachment of the conversation cannot be used, though the model takes others."""
    return refusal.status in {400, 413, 422, 500} and bool(_BAD_MEDIA.search(refusal.text))


def _is_about_one_call(refusal: Refusal, body: Body) -> bool:
    """Whether a tool call of the conversation, or its result, is refused: it says nothing about tools as such.

    A request without tools has no calls in its conversation either, so it is answered. As a lesson, that would take
    the tools from every later run.
    """
    return bool(_ONE_CALL.search(refusal.text)) and any(
        message["role"] == "tool" or _calls(message) for message in body["messages"]
    )


def may_be_the_conversation(refusal: Refusal) -> bool:
    """Whether a refusal that no rule reads may be about what was said, and not about key, account, model or content."""
    elsewhere = names_content_filter(refusal.text) or names_exhausted_quota(refusal.text)
    return refusal.status in {400, 422, 500} and not (elsewhere or _NOT_THE_FORM.search(refusal.text))


# --- patterns ------------------------------------------------------------------------------------------

_UNSUPPORTED = (
    r"(?:not? (?:longer )?support|unsupported|n.t support|extra|unrecogni|unknown|unexpected|forbidden"
    + r"|not (?:permitted|allowed|available|enabled|implemented)|invalid (?:param|arg)|cannot find field)"
)
# A tool call that the model wrote wrongly is no quirk: another try may go well.
# Nor is a refusal of what was said, or of the key.
_NO_LESSON = re.compile(r"tool_use_failed|tool call validation failed|failed to call a function|api.?key")
_TOO_LONG = re.compile(
    r"context_length_exceeded|maximum context|max_model_len|prompt is too long|input is too long"
    + r"|(?:context|prompt|input)[ _-](?:size|window|length)|too many (?:input )?tokens|request too large"
    + r"|reduce (?:the length|your (?:prompt|message|input))|token (?:count|limit).{0,60}exceed"
    + r"|exceed.{0,60}(?:tokens|context)|tokens.{0,60}exceed|prompt .{0,40}too long"
)
_MEDIA = r"(?:image|picture|audio|attachment|\bfile\b|media|base64)"
_SPOILT = (
    r"(?:invalid|corrupt|unsupported (?:image|format|media type)|dimension|pixels|too (?:large|small|many)|resolution"
    + r"|exceed|following formats|could not|cannot|can't|unable|failed to (?:process|decode|load|download|fetch)|malformed)"
)
_BAD_MEDIA = re.compile(rf"{_MEDIA}.{{0,80}}{_SPOILT}|{_SPOILT}.{{0,80}}{_MEDIA}", re.DOTALL)
# The id of a call, a role, a result, the arguments, or the place of a message.
_ONE_CALL = re.compile(
    r"tool[_ ]?(?:call|use)?[_ ]?ids?\b|\brole|(?:tool|function)[_ ]?(?:call[_ ]?)?(?:result|message|response|output|argument)"
    + r"|\btool_?use\b.{0,40}(?:block|without)|messages?[.\[]+\d|pars(?:e|ing) (?:the )?(?:tool|function)[_ ]call"
)
_NOT_THE_FORM = re.compile(
    r"safety|blocked|api.?key|billing|credit|quota|balance|authenticat|permission"
    + r"|model.{0,80}(?:not found|not exist|unknown)"
)
_LIMIT = re.compile(
    r"(?:maximum context length(?: is)?|context (?:length|size|window)(?: is| of)?|max_model_len(?: is)?|limit:?(?: of)?|n_ctx\W+|[>] )"
    + r"\D{0,12}?(\d{3,9})"
)
_COUNTED = re.compile(
    r"(?:requested|resulted in|has|total length|prompt is too long:|n_prompt_tokens\W+|request \()\D{0,20}?(\d{3,9})"
)


@dataclass(frozen=True, slots=True)
class _Rule:
    quirk: Quirk
    pattern: re.Pattern[str]
    holds: Callable[[Body], bool]


def _rule(quirk: Quirk, pattern: str, holds: Callable[[Body], bool]) -> _Rule:
    return _Rule(quirk, re.compile(pattern, re.DOTALL), holds)


def _has(*members: str) -> Callable[[Body], bool]:
    return lambda body: all(body.get(member) is not None for member in members)


def _any(test: Callable[[dict[str, Any]], Any]) -> Callable[[Body], bool]:
    return lambda body: any(test(message) for message in body["messages"])


def _calls(message: dict[str, Any]) -> bool:
    return bool(message.get("tool_calls"))


def _said(message: dict[str, Any]) -> bool:
    return message["role"] == "assistant"


def _media(message: dict[str, Any]) -> bool:
    content = message.get("content")
    return isinstance(content, list) and any(part["type"] != "text" for part in content)


_WANTED = r"missing|must|require|passed back|expected|absent|empty|provide"
_MISSING_REASONING = (
    rf"reasoning(?:_content|_text)?\b.{{0,80}}(?:{_WANTED})|(?:{_WANTED}).{{0,80}}reasoning_content"
)
_CALL_ID = r"(?:tool_calls?(?:[\[.]\d+\]?)?\.id|tool_?call_?id|tool_use\.id|tooluseid|tool call id|tool call ids|call_id|\bid\b.{0,40}(?:tool|call))"
_LENGTH = (
    r"(?:too long|maximum length|max_length|at most|characters|pattern|length|alphanumeric|must be|invalid)"
)

_RULES = (
    # Reasoning: first the refusal of it, then the wish for more and more of it.
    _rule(
        Quirk.NO_OPAQUE,
        r"reasoning_details|thinking_blocks|extra_content|invalid .?signature",
        _any(
            lambda m: (
                {"reasoning_details", "thinking_blocks"} & m.keys()
                or any("extra_content" in c for c in m.get("tool_calls", ()))
            )
        ),
    ),
    _rule(
        Quirk.NO_REASONING,
        rf"reasoning_content.{{0,80}}{_UNSUPPORTED}|{_UNSUPPORTED}.{{0,80}}reasoning_content",
        _any(lambda m: "reasoning_content" in m),
    ),
    _rule(Quirk.REASONING_WITH_CALLS, _MISSING_REASONING, _any(_calls)),
    _rule(Quirk.REASONING_ALWAYS, _MISSING_REASONING, _any(_said)),
    _rule(Quirk.REASONING_NOT_EMPTY, _MISSING_REASONING, _any(_said)),
    # Ids of tool calls.
    _rule(
        Quirk.CALL_IDS_9, rf"{_CALL_ID}.*(?:length of 9|exactly (?:9|nine)|\b9 (?:char|alpha))", _any(_calls)
    ),
    _rule(Quirk.CALL_IDS_40, rf"{_CALL_ID}.*{_LENGTH}", _any(_calls)),
    _rule(Quirk.CALL_IDS_9, rf"{_CALL_ID}.*{_LENGTH}", _any(_calls)),
    # Roles.
    _rule(
        Quirk.NO_SYSTEM_ROLE,
        rf"(?:system (?:role|message|prompt)|'system'|\"system\"|`system`|developer).{{0,60}}{_UNSUPPORTED}"
        + rf"|(?:{_UNSUPPORTED}|invalid value).{{0,60}}(?:system (?:role|message)|'system'|\"system\"|`system`)"
        + rf"|(?:{_UNSUPPORTED}|invalid) role\W{{0,4}}system",
        _any(lambda m: m["role"] == "system"),
    ),
    _rule(
        Quirk.ALTERNATING_ROLES,
        r"alternat|successive|consecutive|interleave|unexpected role|roles? must|last (?:role|message)"
        + r"|after role|first message|role order|multiple (?:user|assistant) messages",
        lambda _body: True,
    ),
    # The longest answer. One of two names is the right one; some endpoints have a ceiling.
    _rule(
        Quirk.NO_MAX_TOKENS,
        r"max_(?:completion_)?tokens.{0,80}(?:too large|less than or equal|at most|exceed)",
        lambda body: "max_tokens" in body or "max_completion_tokens" in body,
    ),
    _rule(
        Quirk.NO_MAX_COMPLETION_TOKENS,
        r"max_completion_tokens|max completion tokens",
        _has("max_completion_tokens"),
    ),
    _rule(Quirk.MAX_COMPLETION_TOKENS, r"max_completion_tokens|max_tokens", _has("max_tokens")),
    _rule(Quirk.NO_MAX_TOKENS, r"max_tokens", _has("max_tokens")),
    # Further members.
    _rule(
        Quirk.RESULTS_WITH_NAMES,
        r"function_?response\.name|(?:tool|result).{0,60}\bname\b.{0,40}(?:required|missing|empty)",
        _any(lambda m: m["role"] == "tool" and "name" not in m),
    ),
    _rule(Quirk.NO_STREAM_OPTIONS, r"stream_options|include_usage|streamoptions", _has("stream_options")),
    _rule(
        Quirk.NO_STREAM,
        rf"\bstream(?:ing)?\b.{{0,60}}(?:{_UNSUPPORTED}|must be false)|{_UNSUPPORTED}.{{0,60}}\bstream(?:ing)?\b",
        _has("stream"),
    ),
    _rule(Quirk.NO_TEMPERATURE, r"temperature", _has("temperature")),
    _rule(
        Quirk.NO_TOOL_CHOICE,
        r"tool_?choice|tool choice|forced? (?:tool|function)|function_calling_config",
        _has("tools", "tool_choice"),
    ),
    _rule(
        Quirk.PLAIN_SCHEMAS,
        r"schema|additionalproperties|function_declarations|exclusiveminimum|\$ref|\$defs|unknown name",
        _has("tools"),
    ),
    _rule(
        Quirk.CALLS_NEED_TOOLS,
        r"without .{0,6}tools|must define tools|toolconfig|tools.{0,40}(?:must|require|specified|defined|provided)",
        lambda body: "tools" not in body and _any(_calls)(body),
    ),
    _rule(
        Quirk.NO_TOOLS,
        rf"(?:\btools?\b|tool[_ ]call|function[_ ]call|functions).{{0,80}}(?:{_UNSUPPORTED}|requires)"
        + rf"|(?:{_UNSUPPORTED}|no endpoints|requires).{{0,80}}(?:\btools?\b|tool[_ ]call|function[_ ]call|functions)",
        _has("tools"),
    ),
    # The content of messages.
    _rule(Quirk.NO_MEDIA, r"image|vision|multi-?modal|audio|\bfile|media|content type|'text'", _any(_media)),
    _rule(Quirk.NO_SPECIAL_TOKENS, r"special token", lambda body: "<|" in str(body["messages"])),
    _rule(
        Quirk.NO_CONTENT_WITH_CALLS,
        r"content.{0,40}tool_calls.{0,40}(?:not both|mutually)|not both",
        _any(lambda m: _calls(m) and m.get("content")),
    ),
    _rule(
        Quirk.NO_EMPTY_CONTENT,
        r"(?:not|n.t) be empty|non-?empty|content is empty|empty content|at least one char",
        _any(lambda m: _said(m) and not m.get("content")),
    ),
    _rule(Quirk.NO_NULL_CONTENT, r"\bnull\b|\bnone|nonetype", _any(lambda m: m.get("content") is None)),
    _rule(
        Quirk.TEXT_CONTENT,
        r"content|string|\bstr\b|list|array|sequence",
        _any(lambda m: isinstance(m.get("content"), list) and not _media(m)),
    ),
    _rule(Quirk.NO_MEDIA, r"content|string", _any(_media)),
    _rule(Quirk.NO_NULL_CONTENT, r"content", _any(lambda m: m.get("content") is None)),
    _rule(Quirk.NO_NAMES, r"\bname\b", _any(lambda m: "name" in m)),
)


def _number(pattern: re.Pattern[str], text: str) -> int | None:
    found = pattern.search(text.replace(",", ""))
    return int(found[1]) if found else None


def _words(value: Any, name: str = "") -> list[str]:
    match value:
        case dict():
            return [
                word
                for key, item in value.items()
                if key not in REPEATED
                for word in (_words(item, str(key)))
            ]
        case list():
            # The path of a member, as pydantic writes it: ["body", "messages", 1, "content"].
            if name == "loc":
                return [".".join(map(str, value))]
            return [word for item in value for word in _words(item)]
        case str():
            return [value]
        case _:
            return [] if value is None or isinstance(value, bool) else [str(value)]
