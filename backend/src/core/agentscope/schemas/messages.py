"""AG-UI messages as clients send them and as history returns them.

Unknown members are ignored, malformed known ones are refused
(AG-UI 1.0, ``RunAgentInput``).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:-]{1,128}$")]
"""An opaque identifier on the wire."""


class WireModel(BaseModel):
    """Base of everything that crosses HTTP: camelCase outside, snake_case inside."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="ignore",
        frozen=True,
        ser_json_inf_nan="null",
        serialize_by_alias=True,
    )

    def wire(self) -> dict[str, Any]:
        """Return the JSON form: camelCase, absent rather than null."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class DataSource(WireModel):
    type: Literal["data"]
    value: str
    mime_type: str


class UrlSource(WireModel):
    type: Literal["url"]
    value: str
    mime_type: str | None = None


class FileSource(WireModel):
    type: Literal["file"]
    value: str
    provider: str | None = None
    mime_type: str | None = None


ContentSource = Annotated[DataSource | UrlSource | FileSource, Field(discriminator="type")]


class _Part(WireModel):
    id: str | None = None
    metadata: Any = None
    """Any JSON value here, unlike elsewhere."""


class TextPart(_Part):
    type: Literal["text"]
    text: str


class MediaPart(_Part):
    type: Literal["image", "audio", "video", "document"]
    source: ContentSource


ContentPart = Annotated[TextPart | MediaPart, Field(discriminator="type")]


class FunctionCall(WireModel):
    name: str
    arguments: str


class ToolCall(WireModel):
    id: Id
    type: Literal["function"] = "function"
    function: FunctionCall
    encrypted_value: str | None = None
    metadata: dict[str, Any] | None = None


class _Message(WireModel):
    id: Id
    name: str | None = None
    encrypted_value: str | None = None
    metadata: dict[str, Any] | None = None


class UserMessage(_Message):
    role: Literal["user"]
    content: str | list[ContentPart]

    def text(self) -> str:
        """Return the text parts, joined by line breaks."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content if isinstance(part, TextPart))


class AssistantMessage(_Message):
    role: Literal["assistant"]
    content: str | None = None
    tool_calls: list[ToolCall] | None = None


class ToolMessage(_Message):
    role: Literal["tool"]
    tool_call_id: Id
    content: str | list[ContentPart]
    error: str | None = None


class OtherMessage(_Message):
    """Roles that a client may echo and the server ignores."""

    role: Literal["system", "developer", "reasoning", "activity"]
    content: Any = None


Message = Annotated[UserMessage | AssistantMessage | ToolMessage | OtherMessage, Field(discriminator="role")]
