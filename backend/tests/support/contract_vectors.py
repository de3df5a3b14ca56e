"""The vectors of ``contract/``: recorded streams, and the state of a chat after every event. See ``contract/README.md``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.chat_events import read_chat_event
from tests.support.chat_reducer import asked, opened, receive, with_older
from tests.support.chat_state import ChatState
from tests.support.comparable import Names, joined
from tests.support.json_patch import same_json

VECTORS = Path(__file__).parents[3] / "contract" / "vectors"

Json = dict[str, Any]
Changes = dict[str, Json]


def vectors() -> dict[str, Json]:
    """Return all vectors by their names."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(VECTORS.glob("*.json"))}


def text_of(vector: Json) -> str:
    """Return the text of a vector's file: a frame a line, so that a change can be read in a diff."""
    head = json.dumps({name: value for name, value in vector.items() if name != "steps"})[:-1]
    steps = ",\n".join(_step_text(step) for step in vector["steps"])
    return f'{head},\n"steps": [\n{steps}\n]}}\n'


def _step_text(step: Json) -> str:
    if "stream" not in step:
        return json.dumps(step)
    head = json.dumps({name: value for name, value in step.items() if name != "stream"})[:-1]
    stream = ",\n".join(json.dumps(frame) for frame in step["stream"])
    return f'{head}, "stream": [\n{stream}\n]}}'


# --- frames -----------------------------------------------------------------------


@dataclass(frozen=True)
class Told:
    """What one block of a stream tells."""

    cursor: str | None
    event: Json


def read_block(sse: str) -> Told | None:
    """Return what a block tells; ``None`` for a comment and for the time to wait."""
    fields = dict(line.split(": ", 1) for line in sse.removesuffix("\n\n").split("\n") if line[:1] != ":")
    if "data" not in fields:
        return None
    return Told(fields.get("id"), json.loads(fields["data"]))


# --- states -----------------------------------------------------------------------


def changes_between(before: Any, after: Any, place: str = "") -> Changes:
    """Return what makes one JSON value of another, in the order in which it has to be done."""
    if same_json(before, after):
        return {}
    if isinstance(before, dict) and isinstance(after, dict):
        gone: Changes = {_inside(place, name): {"remove": True} for name in before if name not in after}
        for name, value in after.items():
            there = _inside(place, name)
            gone |= changes_between(before[name], value, there) if name in before else {there: {"set": value}}
        return gone
    if isinstance(before, list) and isinstance(after, list) and before and after:
        last = range(len(before) - 1, len(after) - 1, -1)
        cut: Changes = {_inside(place, item): {"remove": True} for item in last}
        for item, value in enumerate(after):
            there = _inside(place, item)
            is_new = item >= len(before)
            cut |= {there: {"set": value}} if is_new else changes_between(before[item], value, there)
        return cut
    if isinstance(before, str) and isinstance(after, str) and before and after.startswith(before):
        return {place: {"append": after[len(before) :]}}
    return {place: {"set": after}}


def changed(value: Any, changes: Changes) -> Any:
    """Return a JSON value after changes."""
    holder = [json.loads(json.dumps(value))]
    for place, change in changes.items():
        *path, last = _names(place)
        inner: Any = holder
        for name in path:
            inner = inner[name if isinstance(inner, dict) else int(name)]
        key: Any = last if isinstance(inner, dict) else int(last)
        if "remove" in change:
            del inner[key]
        elif "append" in change:
            inner[key] += change["append"]
        elif isinstance(inner, list) and key == len(inner):
            inner.append(change["set"])
        else:
            inner[key] = change["set"]
    return holder[0]


def _inside(place: str, name: str | int) -> str:
    return f"{place}/{str(name).replace('~', '~0').replace('/', '~1')}"


def _names(place: str) -> list[str]:
    """Return the way to a place, from a list that has the whole value."""
    return ["0", *(name.replace("~1", "/").replace("~0", "~") for name in place.split("/")[1:])]


def begin(state: ChatState, step: Mapping[str, Any]) -> ChatState:
    """Return the state of a client before a step's stream: what it does by itself."""
    if step.get("holds") == "nothing":
        state = opened(step["answer"]) if step["step"] == "history" else ChatState()
    if step["step"] == "older":
        return with_older(state, step["answer"])
    asks = step.get("asks")
    return state if asks is None else asked(state, asks["messages"], asks.get("regenerateFrom"))


def with_states(vector: Json) -> Json:
    """Return a vector with the states that the reducer makes of its streams."""
    state, held = ChatState(), ChatState().to_json()
    steps: list[Json] = []
    for step in vector["steps"]:
        state = begin(state, step)
        if step.get("holds") == "nothing":
            held = ChatState().to_json()
        filled = {name: value for name, value in step.items() if name not in ("begins", "stream")}
        now = state.to_json()
        if begins := changes_between(held, now):
            filled["begins"] = begins
        held = now
        if "stream" in step:
            filled["stream"] = []
            for frame in step["stream"]:
                filled["stream"].append({"sse": frame["sse"]})
                if told := read_block(frame["sse"]):
                    state = receive(state, told.cursor, read_chat_event(told.event))
                    now = state.to_json()
                    filled["stream"][-1]["changes"], held = changes_between(held, now), now
        steps.append(filled)
    return {**vector, "steps": steps}


def history_of(state: ChatState) -> Json:
    """Return what ``GET /history`` has to say too."""
    held = state.to_json()
    return {name: held[name] for name in ("threadId", "messages", "interrupts", "sharedState")}


# --- comparison -------------------------------------------------------------------


def comparable(vector: Json) -> list[str]:
    """Return what two recordings of one scenario have in common, a line for each event and answer."""
    names = Names({})
    cut = set(vector.get("cut", ()))
    return [json.dumps(names.plain(_constant(line))) for line in _lines(vector, cut)]


def _lines(vector: Json, cut: set[str]) -> Iterator[Any]:
    for step in vector["steps"]:
        yield {name: step[name] for name in ("step", "holds", "request") if name in step}
        if "answer" in step:
            yield _without_cut_text(step["answer"], cut, whole=True)
            continue
        told = [told for frame in step["stream"] if (told := read_block(frame["sse"]))]
        yield from (
            _without_cut_text(event, cut)
            for event in joined((_ordinal(each.cursor), each.event) for each in told)
        )


def _ordinal(cursor: str | None) -> int | None:
    return None if cursor is None else int(cursor.split("-")[0])


def _without_cut_text(value: Json, cut: set[str], *, whole: bool = False) -> Json:
    """Return an event or a history without the text of messages that were cut off at some time or other."""
    if value.get("messageId") in cut and "delta" in value:
        return {**value, "delta": "*"}
    if "messages" not in value and not whole:
        return value
    messages = [
        {**message, "content": "*"} if message["id"] in cut and message.get("content") else message
        for message in value["messages"]
    ]
    return {**value, "messages": messages}


_OF_A_SERVICE = ("inputTokens", "outputTokens", "provider", "agentId")


def _constant(value: Any) -> Any:
    """Return a value without what belongs to one service: its names, and counts of tokens.

    The counts depend on the prompt, and on what the user's memory has; those that are not always there are left out.
    """
    if isinstance(value, list):
        return [_constant(item) for item in value]
    if isinstance(value, str):
        # The run of a thread that nobody has begun is named by the time.
        return re.sub(r"^connect-\d+$", "connect-*", value)
    if not isinstance(value, dict):
        return value
    return {
        name: "*" if name in _OF_A_SERVICE else _constant(item)
        for name, item in value.items()
        if name in _OF_A_SERVICE or not name.endswith("Tokens")
    }
