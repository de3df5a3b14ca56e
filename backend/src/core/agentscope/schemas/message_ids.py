"""Ids of messages that a client sent without one.

Some clients name no messages (the Dart SDK may omit the id), and most clients send the whole conversation with every
run. So the id is made of what the message says and what came before it: the same message of the same conversation gets
the same id again, and is known then.

A message that the service ignores may also have an id of another backend, in another form. It gets an id of this kind.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any

ID_PATTERN = r"^[A-Za-z0-9._:-]{1,128}$"
_ID = re.compile(ID_PATTERN, re.ASCII)


def with_ids(messages: Sequence[Any]) -> tuple[list[Any], list[int]]:
    """Return messages that all have an id, and the places of those whose id was made here.

    Args:
        messages: As the client sent them. What is no object is returned unchanged. So is a user message whose id is
            malformed: such a message counts, so it is refused.
    """
    named: list[Any] = []
    made: list[int] = []
    before = ""
    for place, message in enumerate(messages):
        if not isinstance(message, dict):
            named.append(message)
            continue
        given = message.get("id")
        if given in (None, "") or (message.get("role") != "user" and not _is_id(given)):
            said = [before, given, message.get("role"), message.get("content"), message.get("toolCallId")]
            named.append({**message, "id": _digest(said)})
            made.append(place)
        else:
            named.append(message)
        before = str(named[-1]["id"])
    return named, made


def repeated_id(message_id: str, run_id: str) -> str:
    """Return the id of a message without one that says again what an earlier message of its thread said."""
    return _digest([message_id, run_id])


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return f"msg-{hashlib.sha256(text.encode()).hexdigest()[:32]}"
