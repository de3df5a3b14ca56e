"""Which tools a sentence asks the scripted demo model for.

Pure. `` and also `` joins calls of one turn, `` and then `` turns: the second
part waits for the results of the first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import orjson

from agentroute.demo.client_tools import CHART, THEME, chart_arguments, theme_arguments
from agentroute.demo.shared_list import TOOL as STATE_TOOL
from agentroute.demo.shared_list import ListWish, list_wish

_Arguments = Callable[[re.Match[str]], dict[str, Any]]

# Plain talk that may follow a tool.
_PHRASE = re.compile(r"\W*(?:fail|help|say|slowly|tell|think|what is my)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class RequestedCall:
    """A call the user asked for, whether or not the tool is on offer."""

    name: str
    arguments: str | None
    """JSON text, unchecked; ``None`` when the user left them to the model."""
    wish: ListWish | None = None
    """A change of the shared state: its arguments depend on the state."""


@dataclass(frozen=True, slots=True)
class Step:
    """What the user wants done in one turn of the model."""

    text: str
    calls: tuple[RequestedCall, ...]


_IGNORE = re.IGNORECASE | re.DOTALL

_CALL_THE_TOOL = re.compile(
    r"\bcall (?:the )?tool [\"'`]?(?P<name>\w[\w.-]{0,63})[\"'`]?(?:\s+with\s+(?P<arguments>\{.*))?", _IGNORE
)

_NAMED: tuple[tuple[re.Pattern[str], str, _Arguments], ...] = (
    (re.compile(r"\bwhat do you remember\b", _IGNORE), "recall", lambda _: {}),
    (
        re.compile(r"\bremember that\s+(?P<text>.*[^\s.!?])", _IGNORE),
        "remember",
        lambda match: {"text": match["text"]},
    ),
    (
        re.compile(r"\bfetch\s+<?(?P<url>[a-z][a-z0-9+.-]*://[^\s<>\"']*[^\s<>\"'.,;!?)])", _IGNORE),
        "fetch_url",
        lambda match: {"url": match["url"]},
    ),
    (
        re.compile(r"\bcalculate\s+(?P<expression>[^?!]*\d[^?!]*)", _IGNORE),
        "calculate",
        lambda match: {"expression": match["expression"].strip().rstrip(".= ")},
    ),
    (
        re.compile(
            r"\bwhat(?:'s| is)\s+(?P<expression>[\d(][\d\s.()]*(?:[-+*/%^]{1,2}[\d\s.()]+)+)", _IGNORE
        ),
        "calculate",
        lambda match: {"expression": match["expression"].strip().rstrip(".")},
    ),
    (
        re.compile(r"\bwhat(?:'s| is) the time\b|\bwhat time is it\b", _IGNORE),
        "current_time",
        lambda _: {},
    ),
)
"""Tried in order; the first that fits decides."""

_NAMED_IF_OFFERED: tuple[tuple[re.Pattern[str], str, _Arguments], ...] = (
    (CHART, "show_chart", chart_arguments),
    (THEME, "set_theme", theme_arguments),
)
"""Tools of applications that not every one has. Where they are not offered, the sentence is plain talk."""


def requested_call(text: str, offered: Collection[str] | None = None) -> RequestedCall | None:
    """Return the tool a sentence asks for, or ``None`` for plain talk.

    Args:
        text: What the user said.
        offered: The tools on offer; ``None`` if they are not known yet.
    """
    if match := _CALL_THE_TOOL.search(text):
        name = match["name"].rstrip(".-")
        return RequestedCall(name, _first_object(match["arguments"]) if match["arguments"] else None)
    for pattern, name, arguments in _NAMED:
        if match := pattern.search(text):
            return RequestedCall(name, orjson.dumps(arguments(match)).decode())
    for pattern, name, arguments in _NAMED_IF_OFFERED:
        if (offered is None or name in offered) and (match := pattern.search(text)):
            return RequestedCall(name, orjson.dumps(arguments(match)).decode())
    if (offered is None or STATE_TOOL in offered) and (wish := list_wish(text)):
        return RequestedCall(STATE_TOOL, None, wish)
    return None


def requested_steps(text: str, offered: Collection[str] | None = None) -> tuple[Step, ...]:
    """Split a message into steps, in order; the last may be plain talk.

    A joining word splits only between parts that mean something, so
    "remember that I like tea and then coffee" stays one step.

    Args:
        text: The message.
        offered: The tools on offer; ``None`` if they are not known yet.
    """
    first, *rest = re.split(r"\s+and then\s+", text, maxsplit=1, flags=re.IGNORECASE)
    if (
        rest
        and requested_call(first, offered)
        and (requested_call(rest[0], offered) or _PHRASE.match(rest[0]))
    ):
        return (_step(first, offered), *requested_steps(rest[0], offered))
    return (_step(text, offered),)


def _step(text: str, offered: Collection[str] | None) -> Step:
    parts = re.split(r"\s+and also\s+", text, flags=re.IGNORECASE)
    calls = [requested_call(part, offered) for part in parts]
    if all(calls):
        return Step(text, tuple(call for call in calls if call))
    single = requested_call(text, offered)
    return Step(text, (single,) if single else ())


def _first_object(text: str) -> str:
    """Cut a JSON object off the text that follows it.

    What is no JSON is passed on as it is: real models write broken arguments
    too, and this is how to see what happens then.
    """
    depth, in_string, escaped = 0, False, False
    for index, character in enumerate(text):
        if in_string:
            in_string = escaped or character != '"'
            escaped = not escaped and character == "\\"
        elif character == '"':
            in_string = True
        elif character in "{}":
            depth += 1 if character == "{" else -1
            if depth == 0:
                return text[: index + 1]
    return text.strip()
