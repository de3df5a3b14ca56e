"""The event classes of the Flutter app against those of AG-UI: the same types, and the same members are required.

No Dart runs here. The factories of the classes are of one form, which a pattern reads.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import ag_ui.core as ag_ui
import pytest

from agentroute.client import FileItem, file_part
from core.agentscope.schemas import files

MODELS = Path(__file__).parents[3] / "apps/lib/features/chat/data/models"
_BEFORE_1_0 = {
    "THINKING_START",
    "THINKING_END",
    "THINKING_TEXT_MESSAGE_START",
    "THINKING_TEXT_MESSAGE_CONTENT",
    "THINKING_TEXT_MESSAGE_END",
}
# The app reads more than the protocol has: a role is always `reasoning`, and the app does not look at it.
_LENIENT = {("REASONING_MESSAGE_START", "role")}
_BASE = {"type", "timestamp", "rawEvent", "metadata", "subagentRunId"}
_FACTORY = re.compile(r"factory (\w+)\._\(JsonObject json\) => \1\((.*?)\n {6}\);", re.DOTALL)
_MEMBER = re.compile(r"^ {8}(\w+): (.*),$", re.MULTILINE)
_REQUIRED = re.compile(
    r"json\.(text|any|list|object)\(|in json\.list\(|MessageContent\.fromJson|_operations\("
)


@cache
def _readers() -> dict[str, str]:
    """Return the class of each type."""
    text = (MODELS / "ag_ui_event.dart").read_text(encoding="utf-8")
    return dict(re.findall(r"^  '([A-Z_]+)': (\w+)\._,$", text, re.MULTILINE))


@cache
def _classes() -> dict[str, dict[str, bool]]:
    """Return the members of each class, and whether they are required."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(MODELS.glob("ag_ui_event_*.dart")))
    return {
        name: {member: bool(_REQUIRED.search(read)) for member, read in _MEMBER.findall(body)}
        for name, body in _FACTORY.findall(text)
    }


@cache
def _protocol() -> dict[str, Any]:
    """Return the model of each type."""
    union = get_args(ag_ui.Event)[0] if get_origin(ag_ui.Event) is Annotated else ag_ui.Event
    return {get_args(model.model_fields["type"].annotation)[0].value: model for model in get_args(union)}


def test_every_type_has_a_class_of_its_name() -> None:
    readers = _readers()
    assert set(readers) == set(_protocol()) | _BEFORE_1_0
    for type_, name in readers.items():
        assert name == "".join(word.capitalize() for word in type_.split("_")) + "Event"
        assert name in _classes()


@pytest.mark.parametrize("type_", sorted(_protocol()))
def test_a_class_has_the_members_of_the_protocol(type_: str) -> None:
    members = _classes()[_readers()[type_]]
    fields = {field.alias or name: field for name, field in _protocol()[type_].model_fields.items()}
    assert set(members) - {"raw"} - _BASE <= set(fields)
    for name, field in fields.items():
        if name in _BASE and name not in members:
            continue
        assert name in members, f"{type_} has no {name}"
        if (type_, name) not in _LENIENT:
            assert members[name] == field.is_required(), f"{type_}.{name}"


def test_a_stored_file_is_read_and_named_as_the_service_has_it() -> None:
    text = (MODELS / "stored_file.dart").read_text(encoding="utf-8")
    read = dict(re.findall(r"^      (\w+): (json\.\w+\('\w+'\).*),$", text, re.MULTILINE))
    wire = {field.alias or name for name, field in files.FileItem.model_fields.items()}
    assert {re.findall(r"\('(\w+)'\)", how)[0] for how in read.values()} == set(read)
    assert {"fileId", "mediaType", "bytes", "name"} == set(read) <= wire
    found = re.search(r"_kinds = \{(.*)\};", text)
    assert found is not None
    kinds = set(re.findall(r"'(\w+)'", found[1]))
    asked = {"image/png", "audio/wav", "video/mp4", "application/pdf", "text/plain", "model/obj"}
    told = {media_type: file_part(_file(media_type))["type"] for media_type in asked}
    assert told == {each: each.split("/")[0] if each.split("/")[0] in kinds else "document" for each in asked}


def _file(media_type: str) -> FileItem:
    return FileItem(
        file_id="f", media_type=media_type, bytes=1, name="a", created_at=datetime.now(UTC), url="/files/f"
    )
