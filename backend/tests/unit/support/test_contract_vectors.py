"""What counts as a change of the wire: a member, an event, a word; not ids, times, and how a text is cut."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.contract_vectors import comparable, text_of, vectors
from tests.support.record_contract import differences

_VECTOR = vectors()["reasoning-and-tools"]
_CUT = vectors()["cancelled"]


def _with_text(vector: dict[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    return json.loads(change(text_of(vector)))


def _blocks(vector: dict[str, Any]) -> list[dict[str, str]]:
    return vector["steps"][0]["stream"]


def _halved(vector: dict[str, Any]) -> dict[str, Any]:
    """Return a vector whose pieces of text came in halves."""
    vector = copy.deepcopy(vector)
    blocks = _blocks(vector)
    for place in range(len(blocks) - 1, -1, -1):
        found = re.search(r'"delta":"([^"\\]{2,})"', blocks[place]["sse"])
        if found:
            text, sse = found[1], blocks[place]["sse"]
            halves = [sse.replace(found[0], f'"delta":"{half}"') for half in (text[:1], text[1:])]
            blocks[place : place + 1] = [{"sse": half} for half in halves]
    return vector


def test_other_ids_times_and_counts_are_no_change() -> None:
    again = _with_text(_VECTOR, lambda text: re.sub(r"[0-9a-f]{32}", lambda found: found[0][::-1], text))
    again = _with_text(again, lambda text: re.sub(r'(timestamp\\":|Ms": |Tokens": )\d+', r"\g<1>7", text))

    assert again != _VECTOR
    assert differences(_VECTOR, again) == []


def test_how_a_text_is_cut_is_no_change() -> None:
    halved = _halved(_VECTOR)

    assert len(_blocks(halved)) > len(_blocks(_VECTOR))
    assert differences(_VECTOR, halved) == []


def test_how_much_of_a_message_came_before_it_was_stopped_is_no_change() -> None:
    shorter = copy.deepcopy(_CUT)
    (message_id,) = shorter["cut"]
    is_piece = f'"TEXT_MESSAGE_CONTENT\\",\\"messageId\\":\\"{message_id}'.replace("\\", "")
    pieces = [block for block in _blocks(shorter) if is_piece in block["sse"]]
    _blocks(shorter)[:] = [block for block in _blocks(shorter) if block not in pieces[1:]]
    for step in shorter["steps"]:
        for message in step.get("answer", {}).get("messages", []):
            if message["id"] == message_id:
                message["content"] = message["content"][:3]

    assert differences(_CUT, shorter) == []


@pytest.mark.parametrize(
    ("word", "instead"),
    [
        ('\\"role\\":\\"assistant\\"', '\\"role\\":\\"helper\\"'),
        ("STEP_STARTED", "STEP_BEGUN"),
        ('\\"protocolVersion\\":\\"1.0\\"', '\\"protocolVersion\\":\\"1.0\\",\\"new\\":null'),
        ('"finishReason": "stop", ', ""),
        ("scripted demo model", "model"),
    ],
)
def test_a_word_more_or_less_is_a_change(word: str, instead: str) -> None:
    changed = _with_text(_VECTOR, lambda text: text.replace(word, instead))

    assert word in text_of(_VECTOR)
    assert differences(_VECTOR, changed) != []


def test_an_event_less_is_a_change_and_so_is_another_order() -> None:
    for change in (lambda blocks: blocks.pop(3), lambda blocks: blocks.insert(3, blocks.pop(4))):
        changed = copy.deepcopy(_VECTOR)
        change(_blocks(changed))
        assert differences(_VECTOR, changed) != []


def test_a_scenario_that_is_new_differs_in_everything() -> None:
    added = [line for line in differences(None, _VECTOR) if line.startswith("+{")]

    assert len(added) == len(comparable(_VECTOR))
