"""The shortest text that completes a truncated JSON text.

The arguments of a tool call must be valid JSON, even if the call was cut off (ag-ui-validate, rule AGUI204). Only the
missing end is added; text that was shown is never taken back. See docs/adr/0008.
"""

from __future__ import annotations

import json
import re

_LITERAL = re.compile(r"[a-z]+$")
_NUMBER = re.compile(r"-?[0-9]*\.?[0-9]*(?:[eE][+-]?[0-9]*)?$")
_UNICODE_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*\\u([0-9a-fA-F]{0,3})$")
_OPEN_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*\\$")
_WORDS = ("true", "false", "null")


def completion(text: str) -> str:
    """Return what to append so that ``text`` parses, or ``""`` when it already does or never can."""
    if _parses(text):
        return ""
    closers, in_string = _open_brackets(text)
    if closers is None:
        return ""
    candidates = _string_ends(text) if in_string else _value_ends(text)
    for candidate in candidates:
        # A string may have been a key, a key may lack its value.
        for bridge in ("", ":null"):
            suffix = candidate + bridge + closers
            if suffix and _parses(text + suffix):
                return suffix
    return ""


def _parses(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _open_brackets(text: str) -> tuple[str | None, bool]:
    """Return the closing brackets still due, and whether the text ends inside a string."""
    stack: list[str] = []
    in_string = escaped = False
    for character in text:
        if in_string:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                in_string = False
        elif character == '"':
            in_string = True
        elif character in "{[":
            stack.append("}" if character == "{" else "]")
        elif character in "}]" and (not stack or stack.pop() != character):
            return None, False
    return "".join(reversed(stack)), in_string


def _string_ends(text: str) -> list[str]:
    if match := _UNICODE_ESCAPE.search(text):
        return ["0" * (4 - len(match[1])) + '"']
    return ['\\"'] if _OPEN_ESCAPE.search(text) else ['"']


def _value_ends(text: str) -> list[str]:
    ends = ["", "null", '"":null']
    if match := _LITERAL.search(text):
        ends += [word[len(match[0]) :] for word in _WORDS if word.startswith(match[0])]
    if (match := _NUMBER.search(text)) and match[0]:
        ends += ["0"]
    return ends
